import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

Script = Callable[[str], ModuleType]
QUICK = ["--epochs", "2", "--training.switch_epoch", "1", "--training.refit_epochs", "1"]


def test_answers(script: Script) -> None:
    links = torch.tensor([[0, 1, 2], [5, 6, 7]])
    asked = torch.tensor([[0, 1, 3, 9], [5, 7, 6, 9]])
    found = script("review/review.py").answers(asked, links)
    assert [(each.verdict, each.pair) for each in found] == [
        ("accept", (0, 5)),
        ("reject", (1, 7)),
        ("reject", (3, 6)),
    ]


def test_what_is_written(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = script("review/review.py")
    monkeypatch.setattr(module, "data_arguments", lambda name: ["--data", "FakeMMKG", *QUICK])
    ways = {name: way for name, way in module.WAYS.items() if name in ("none", "queue")}
    monkeypatch.setattr(module, "WAYS", ways)
    results = tmp_path / "page" / "results"
    arguments = ["review.py", "emoji", "--answers", "5", "--work", str(tmp_path / "work")]
    monkeypatch.setattr("sys.argv", [*arguments, "--results", str(results)])
    module.main()
    found = json.loads((results / "emoji_5.json").read_text())
    assert list(found["ways"]) == ["none", "queue"]
    assert [way["asked"] for way in found["ways"].values()] == [0, 5]
    assert found["ways"]["queue"]["accepted"] + found["ways"]["queue"]["rejected"] > 0
    assert "| the queue of `pyg-mmea review` |" in (tmp_path / "page" / "README.md").read_text()
