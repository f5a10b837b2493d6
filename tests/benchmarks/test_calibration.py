import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from pyg_mmea.cli.train import build_parser

Script = Callable[[str], ModuleType]


def _write(folder: Path, data: str, setting: str, hits: float, precision: float | None) -> None:
    path = folder / data / setting / "seed0.json"
    path.parent.mkdir(parents=True)
    row = {"hits@1": hits, "hits@10": 1.0, "mrr": (1 + hits) / 2}
    result = {
        "seed": 0,
        "test": {"mean": row},
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
    monkeypatch.setattr(report, "HERE", tmp_path / "calibration")
    _write(tmp_path / "results", "emoji", "supervised", 0.5, None)
    _write(tmp_path / "results", "emoji", "calibrated", 0.75, 0.95)
    study = tmp_path / "calibration" / "results"
    _write(study, "emoji", "naive_pseudo_labels", 0.625, 0.875)
    _write(study, "emoji+wrong_seeds_20", "calibrated", 0.7, 0.9)
    _write(study, "emoji+wrong_seeds_5", "calibrated", 0.725, 0.9)
    _write(study, "zh_en+seeds_1", "calibrated", 0.25, 0.8)
    report.main()
    page = (tmp_path / "calibration" / "README.md").read_text()
    assert "| `calibrated` | 0.750<br>7 (0.950) |" in page
    assert "| `naive_pseudo_labels` | 0.625<br>7 (0.875) |" in page
    assert "| DBP15K zh_en, seeds 1 |  |  | 0.250<br>7 (0.800) |" in page
    assert page.index(", wrong seeds 5 |") < page.index(", wrong seeds 20 |")
    assert (tmp_path / "calibration" / "plots" / "noise.svg").exists()
    assert "pyg-mmea train naive_pseudo_labels" in page


def test_conditions_are_options_of_train(script: Script) -> None:
    run = script("run.py")
    parser = build_parser()
    for condition in run.CONDITIONS:
        _, *arguments = run.command("calibrated", f"emoji+{condition}", 0)
        config = parser.parse_args([*arguments, "--out=none"])
        assert config.data.class_path.endswith("AlignmentFolder")
        ratio = config.data.init_args.get("seed_ratio")
        assert (ratio == 0.3) == (not condition.startswith("seeds_")), condition


def test_misspelt_jobs_are_refused_at_once(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    run = script("run.py")
    monkeypatch.setattr(run, "run", lambda *args: pytest.fail("a run was started"))
    for arguments, message in (
        (["--data", "emoji", "emojis"], "no data 'emojis'"),
        (["--settings", "supervised", "superb"], "no setting 'superb'"),
        (["--study", "calibrations"], "no folder"),
    ):
        monkeypatch.setattr("sys.argv", ["run.py", *arguments])
        with pytest.raises(SystemExit, match=message):
            run.main()


def test_settings_and_conditions_are_found(script: Script) -> None:
    run = script("run.py")
    study = run.HERE / "calibration"
    arguments = run.command("no_vote_image", "emoji+wrong_seeds_5", 2, study)
    assert arguments[2] == str(study / "configs" / "no_vote_image.yaml")
    assert arguments[-6:-2] == [
        "--data.transform",
        "CorruptSeeds",
        "--data.transform.ratio",
        "0.05",
    ]
    assert run.command("supervised", "zh_en", 0, study)[2].endswith(
        "benchmarks/configs/supervised.yaml"
    )
    for setting, spec in (("none_such", "emoji"), ("calibrated", "emoji+noise")):
        with pytest.raises(SystemExit, match="there is no"):
            run.command(setting, spec, 0, study)
