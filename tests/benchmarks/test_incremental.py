import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch_geometric.data import HeteroData

from pyg_mmea.data import HideEntities
from pyg_mmea.datasets import FakeMMKG
from pyg_mmea.typing import ANCHOR_EDGE

Script = Callable[[str], ModuleType]
QUICK = ["--epochs", "2", "--training.switch_epoch", "1", "--training.refit_epochs", "1"]


def _ends(data: HeteroData, links: torch.Tensor) -> set[tuple[str, str]]:
    return {(data["source"].uri[s], data["target"].uri[t]) for s, t in links.t().tolist()}


def test_hidden_links(script: Script) -> None:
    whole = FakeMMKG()[0]
    part = HideEntities(0.3)(whole)
    hidden = _ends(whole, script("incremental/incremental.py").hidden_links(whole, part))
    masks = [data[ANCHOR_EDGE].test_mask for data in (whole, part)]
    links = [data[ANCHOR_EDGE].edge_label_index for data in (whole, part)]
    assert len(hidden) > 0
    assert hidden == _ends(whole, links[0][:, masks[0]]) - _ends(part, links[1][:, masks[1]])


def test_what_is_written(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = script("incremental/incremental.py")
    monkeypatch.setattr(module, "data_arguments", lambda name: ["--data", "FakeMMKG", *QUICK])
    results = tmp_path / "page" / "results"
    arguments = ["incremental.py", "emoji", "--ratio", "0.3"]
    arguments += ["--work", str(tmp_path / "work"), "--results", str(results)]
    monkeypatch.setattr("sys.argv", arguments)
    module.main()
    found = json.loads((results / "emoji_0.3.json").read_text())
    assert found["num_links"] > 0
    assert 0 <= found["extended"]["ranks"]["hits@1"] <= 1
    page = (tmp_path / "page" / "README.md").read_text()
    assert page.count("| emoji noto_twemoji_en_zh | 30% |") == 2
    assert "--data.transform HideEntities --data.transform.ratio 0.3" in page
