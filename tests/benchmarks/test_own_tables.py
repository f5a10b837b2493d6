import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Script = Callable[[str], ModuleType]


@pytest.mark.slow
def test_what_is_written(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = script("own_tables/own_tables.py")
    results = tmp_path / "page" / "results"
    arguments = ["own_tables.py", "--rows", "300", "--work", str(tmp_path / "work")]
    monkeypatch.setattr("sys.argv", [*arguments, "--results", str(results)])
    module.main()
    found = json.loads((results / "300.json").read_text())
    assert list(found["phases"]) == ["init", "check", "prepare"]
    for phase in found["phases"].values():
        assert phase["seconds"] > 0
        assert phase["peak_rss_mb"] > 50
        assert phase["progress"]
    text = (tmp_path / "work" / "300" / "pair.yaml").read_text()
    for line in ("price: number", "mass: {role: number, as: weight}", "parent: {role: reference"):
        assert line in text  # what was generated is what it is meant to be
    assert "| 2 x 300 |" in (tmp_path / "page" / "README.md").read_text()
