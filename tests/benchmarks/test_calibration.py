import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Script = Callable[[str], ModuleType]


def _write(folder: Path, data: str, setting: str, hits: float, precision: float | None) -> None:
    path = folder / data / setting / "seed0.json"
    path.parent.mkdir(parents=True)
    row = {"hits@1": hits, "hits@5": 1.0, "hits@10": 1.0, "mrr": (1 + hits) / 2}
    result = {
        "seed": 0,
        "test": dict.fromkeys(("source_to_target", "target_to_source", "mean"), row),
        "num_pseudo_labels": 7 if precision else 0,
        "pseudo_label_precision": precision,
        "git": "0123456789abcdef",
        "command": f"pyg-mmea train {setting}",
        "environment": {"threads": 1},
    }
    path.write_text(json.dumps(result))


def test_the_page_has_what_was_run(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    report = script("calibration/report.py")
    files = script("specs.py").config_files(report.HERE)
    monkeypatch.setattr(report, "HERE", tmp_path / "calibration")
    _write(tmp_path / "results", "emoji", "supervised", 0.5, None)
    _write(tmp_path / "results", "emoji", "calibrated", 0.75, 0.95)
    study = tmp_path / "calibration" / "results"
    _write(study, "emoji", "naive_pseudo_labels", 0.625, 0.875)
    _write(study, "emoji+wrong_seeds_20", "calibrated", 0.7, 0.9)
    _write(study, "emoji+wrong_seeds_5", "calibrated", 0.725, 0.9)
    _write(study, "zh_en+seeds_1", "calibrated", 0.25, 0.8)
    _write(study, "emoji", "momentum_0.9", 0.7, 0.9)
    _write(study, "emoji", "switch_auto", 0.7, None)
    report.main()
    page = (tmp_path / "calibration" / "README.md").read_text()
    assert "| `calibrated` | 0.750<br>7 (0.950) |" in page
    assert "| `naive_pseudo_labels` | 0.625<br>7 (0.875) |" in page
    assert "| DBP15K zh_en, seeds 1 |  |  | 0.250<br>7 (0.800) |" in page
    assert page.index(", wrong seeds 5 |") < page.index(", wrong seeds 20 |")
    assert (tmp_path / "calibration" / "plots" / "noise.svg").exists()
    assert (tmp_path / "calibration" / "plots" / "sweeps.svg").exists()
    assert {*report.SWEEP, *report.DECIDERS} <= {*files}
    assert "```\n# 0123456789\npyg-mmea train calibrated\npyg-mmea train momentum" in page
