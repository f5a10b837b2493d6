import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Script = Callable[[str], ModuleType]


def _run(folder: Path, table: str) -> Path:
    folder.mkdir()
    (folder / "metrics.csv").write_text(table)
    result = {
        "dataset": "toy",
        "git": None,
        "epochs": 4,
        "refit_epochs": 0,
        "test": {"mean": {"hits@1": 0.75}},
    }
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def test_curve_of_the_first_phase(script: Script, tmp_path: Path) -> None:
    table = (
        "phase,epoch,seconds,val/hits@1\n"
        "select,0,1.5,0.2\nselect,1,3.0,\nselect,2,4.5,0.795\nselect,3,6.0,0.8\nrefit,0,1.0,0.9\n"
    )
    curve = script("speed/curves.py").curve(_run(tmp_path / "gat", table), "curves.py")
    assert curve["seconds"] == [1.5, 4.5, 6.0]
    assert curve["hits@1"] == [0.2, 0.795, 0.8]
    assert curve["seconds_to_final"] == 4.5
    assert (curve["data"], curve["setting"], curve["test"]) == ("toy", "gat", 0.75)


def test_table_without_seconds_is_refused(script: Script, tmp_path: Path) -> None:
    run = _run(tmp_path / "old", "phase,epoch,val/hits@1\nselect,0,0.2\n")
    with pytest.raises(ValueError, match="needs a column 'seconds'"):
        script("speed/curves.py").curve(run, "curves.py")
