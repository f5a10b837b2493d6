import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from pyg_mmea.cli.settings import build_parser
from pyg_mmea.datasets import FakeMMKG
from pyg_mmea.typing import ANCHOR_EDGE

Script = Callable[[str], ModuleType]
ROW = {"hits@1": 0.5, "hits@5": 0.75, "hits@10": 1.0, "mrr": 0.6, "mr": 2.0}
MEASURED = dict.fromkeys(("source_to_target", "target_to_source", "mean"), ROW)


def test_data_and_conditions_are_options_of_train(script: Script) -> None:
    specs = script("specs.py")
    parser = build_parser()
    for data in (
        *specs.DATA,
        *specs.OWN_FILES,
        *(f"emoji+{condition}" for condition in specs.CONDITIONS),
    ):
        config = parser.parse_args([*specs.data_arguments(data), "--out=none"])
        arguments = config.data.init_args
        _, _, condition = data.partition("+")
        drawn = condition.startswith("seeds_") or data.startswith("fb15k")
        assert (arguments.split == "random") == drawn, data
        if data.startswith("fb15k"):
            assert arguments.seed_ratio == int(data[-2:]) / 100


def test_specs(script: Script) -> None:
    expand = script("specs.py").expand
    assert expand("emoji/calibrated") == [("emoji", "calibrated")]
    assert expand("emoji+seeds_5/calibrated") == [("emoji+seeds_5", "calibrated")]
    assert expand("*_en/supervised") == [("zh_en", "supervised"), ("fr_en", "supervised")]
    assert expand("fb15k_db15k_*/supervised")[0] == ("fb15k_db15k_20", "supervised")
    assert ("emoji", "eva") in expand("emoji/*")
    for spec in ("emojis/calibrated", "emoji+noise/calibrated", "emoji/superb", "emoji"):
        with pytest.raises(SystemExit, match=r"there is no|needs to be DATA"):
            expand(spec)


def test_misspelt_jobs_are_refused_at_once(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    run = script("run.py")
    monkeypatch.setattr(run, "run", lambda *args: pytest.fail("a run was started"))
    for arguments, message in (
        (["emoji/supervised", "emojis/supervised"], "no data 'emojis'"),
        (["emoji/supervised", "--study", "calibrations"], "no folder"),
        (["emoji/supervised", "--jobs", "0"], "--jobs"),
    ):
        monkeypatch.setattr("sys.argv", ["run.py", *arguments])
        with pytest.raises(SystemExit, match=message):
            run.main()


def test_baselines_have_one_seed(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    run = script("run.py")
    started: list[tuple[str, int]] = []
    monkeypatch.setattr(run, "run", lambda setting, data, seed, *_: started.append((setting, seed)))
    specs = ["emoji/supervised", "emoji/lightea", "--seeds", "3", "4"]
    monkeypatch.setattr("sys.argv", ["run.py", *specs])
    run.main()
    assert started == [("supervised", 3), ("lightea", 3), ("supervised", 4)]


def test_a_study_has_settings_of_its_own(script: Script) -> None:
    run = script("run.py")
    study = run.HERE / "calibration"
    call = run.command("no_vote_image", "emoji+wrong_seeds_5", 2, study)
    assert call[:4] == [
        "-m",
        "pyg_mmea",
        "train",
        "--config",
    ]
    assert call[4] == str(study / "configs" / "no_vote_image.yaml")
    assert call[-6:-2] == [
        "--data.transform",
        "CorruptSeeds",
        "--data.transform.ratio",
        "0.05",
    ]
    assert run.command("supervised", "zh_en", 0, study)[4].endswith("configs/supervised.yaml")


class Recorder:
    """Stands for a training: writes the result that it would."""

    def __init__(self, result: dict[str, Any] | None = None) -> None:
        self.calls: list[list[str]] = []
        self.result = result or {"seed": 0, "test": MEASURED}

    def __call__(self, call: list[str], check: bool, env: dict[str, str]) -> None:
        self.calls.append(call)
        out = Path(call[call.index("--out") + 1])
        out.mkdir(parents=True, exist_ok=True)
        (out / "result.json").write_text(json.dumps(self.result))


def test_a_run_is_kept_and_skipped_next_time(
    script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = script("run.py")
    started = Recorder()
    monkeypatch.setattr(run, "describe_source", lambda: {"git": None})
    monkeypatch.setattr(run.subprocess, "run", started)
    monkeypatch.setattr(run, "measure", lambda folder: {"test_sinkhorn": MEASURED})
    monkeypatch.setenv("PYG_MMEA_DATA", str(tmp_path / "data"))
    job = ("supervised", "emoji", 0, tmp_path / "work", run.HERE, tmp_path / "results")
    run.run_all([job, job], 1)
    assert len(started.calls) == 1
    kept = json.loads((tmp_path / "results/emoji/supervised/seed0.json").read_text())
    assert kept["setting"] == "supervised"
    assert kept["settings"] == run.settings_hash(run.config_of("supervised", run.HERE))
    assert kept["test_sinkhorn"] == MEASURED
    assert kept["command"].startswith("pyg-mmea train --config benchmarks/configs/supervised.yaml")
    assert str(tmp_path) not in kept["command"]


def test_results_of_other_settings_are_no_results(
    script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = script("run.py")
    (tmp_path / "configs").mkdir()
    config = tmp_path / "configs" / "mine.yaml"
    config.write_text("calibration: none\ntraining: {epochs: 3, lr: 0.1}\n")
    path = tmp_path / "results" / "emoji" / "mine" / "seed0.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"settings": run.settings_hash(config)}))
    config.write_text("# said otherwise\ntraining: {lr: 0.1, epochs: 3}\ncalibration: none\n")
    run.refuse_others("mine", "emoji", 0, tmp_path, tmp_path / "results")
    config.write_text("calibration: none\ntraining: {epochs: 4, lr: 0.1}\n")
    with pytest.raises(SystemExit, match=r"of other settings than .*mine\.yaml has now"):
        run.refuse_others("mine", "emoji", 0, tmp_path, tmp_path / "results")
    path.write_text("{}")
    run.refuse_others("mine", "emoji", 0, tmp_path, tmp_path / "results")
    path = tmp_path / "results" / "emoji" / "supervised" / "seed0.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"settings": "others"}))
    arguments = ["run.py", "emoji/supervised", "--results", str(tmp_path / "results")]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit, match=r"of other settings than .*supervised\.yaml has now"):
        run.main()


def test_commands_run_in_a_shell(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    run = script("run.py")
    monkeypatch.setenv("PYG_MMEA_DATA", "data")
    named = run.shown(run.command("names_lightea", "zh_en+names", 0))
    assert named.startswith("python benchmarks/baseline.py --config benchmarks/configs/names_l")
    assert shlex.split(named)[1:] == [
        word.replace(str(run.HERE), "benchmarks")
        for word in run.command("names_lightea", "zh_en+names", 0)
    ]
    assert " --data.root $PYG_MMEA_DATA/emoji/" in run.shown(run.command("eva", "emoji", 0))
    marked = run.shown(run.command(f"eva{run.protocol.MARK}", "emoji", 0))
    assert marked.startswith("PYTHONPATH=benchmarks pyg-mmea train ")


def test_a_run_that_goes_on_is_that_of_two_commits(
    script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = script("run.py")
    out = tmp_path / "emoji" / "supervised" / "seed0"
    for commit in ("first", "second"):
        monkeypatch.setattr(run, "describe_source", lambda commit=commit: {"git": commit})
        assert run.begin(out, baseline=False) == ([], commit)
    out.mkdir()
    (out / "config.yaml").touch()
    monkeypatch.setattr(run, "describe_source", lambda: {"git": "third"})
    assert run.begin(out, baseline=False) == (["--resume"], "second")
    out.with_name("seed0.commit").unlink()
    assert run.begin(out, baseline=False) == (["--resume"], "unknown")

    commits = script("tables.py").commits
    began = "0123456789abcdef-dirty"
    assert commits([{"git": "abcdef0123456789", "git_begun": began}]) == (
        "0123456789-dirty, abcdef0123"
    )
    assert commits([{"git": began}]) == "0123456789-dirty"


def test_a_baseline_whose_result_was_lost_runs_again(
    script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = script("run.py")
    out = tmp_path / "work" / "emoji" / "paris" / "seed0"
    out.mkdir(parents=True)
    (out / "result.json").write_text("{}")  # which baseline.py does not overwrite

    def start(call: list[str], **kwargs: Any) -> None:
        assert not (out / "result.json").exists()
        Recorder()(call, **kwargs)

    monkeypatch.setattr(run, "describe_source", lambda: {"git": None})
    monkeypatch.setattr(run.subprocess, "run", start)
    run.run("paris", "emoji", 0, tmp_path / "work", run.HERE, tmp_path / "results")
    kept = json.loads((tmp_path / "results/emoji/paris/seed0.json").read_text())
    assert kept["test"] == MEASURED


def test_several_jobs_at_a_time(script: Script, tmp_path: Path) -> None:
    path = script("run.py").HERE / "run.py"
    done = tmp_path / "results" / "zh_en" / "eva"
    done.mkdir(parents=True)
    (done / "seed0.json").write_text("{}")
    folders = ["--results", str(tmp_path / "results"), "--work", str(tmp_path / "work")]
    call = [sys.executable, str(path), "emoji/eva", "zh_en/eva", "--jobs", "2", *folders]
    environment = {**os.environ, "PYG_MMEA_DATA": str(tmp_path / "none")}
    ended = subprocess.run(call, env=environment, check=False, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "zh_en/eva/seed0.json is there" in ended.stdout
    assert "emoji/eva with seed 0: " in ended.stderr  # there are no data
    assert "zh_en/eva with seed 0" not in ended.stderr


def test_protocol_of_papers(
    script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = script("run.py")
    anchors = FakeMMKG()[0][ANCHOR_EDGE]
    changed = run.protocol.SelectOnTest()(FakeMMKG()[0])[ANCHOR_EDGE]
    assert torch.equal(changed.val_mask, anchors.test_mask)
    assert torch.equal(changed.train_mask, anchors.train_mask | anchors.val_mask)
    assert not changed.test_mask.any()

    started = Recorder({"seed": 0, "val": MEASURED, "test": None})
    monkeypatch.setattr(run, "describe_source", lambda: {"git": None})
    monkeypatch.setattr(run.subprocess, "run", started)
    monkeypatch.setattr(run, "measure", lambda folder: pytest.fail("there are no test links"))
    monkeypatch.setattr(run, "learning_curve", lambda folder: {})
    folders = ["--work", str(tmp_path / "work"), "--results", str(tmp_path / "results")]
    monkeypatch.setattr("sys.argv", ["run.py", "emoji/eva", "--protocol", "paper", *folders])
    run.main()
    assert "protocol.SelectOnTest" in started.calls[0]
    kept = json.loads((tmp_path / "results/emoji/eva@paper/seed0.json").read_text())
    assert kept["test"] == MEASURED
    assert kept["setting"] == "eva@paper"
    monkeypatch.setattr("sys.argv", ["run.py", "emoji/supervised", "--protocol", "paper"])
    with pytest.raises(SystemExit, match="would be learned from"):
        run.main()


def test_rows_that_cannot_be(script: Script) -> None:
    possible = script("tables.py").possible
    assert possible(ROW)
    assert not possible({**ROW, "mrr": 0.49})
    assert not possible({**ROW, "mrr": 0.9})
    assert not possible({**ROW, "hits@5": 0.4})
    tied = {"hits@1": 0.0, "hits@5": 1.0, "hits@10": 1.0, "mrr": 1 / 1.5}
    assert possible(tied)


def test_page_of_models(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    report = script("report.py")
    result = {
        "test": MEASURED,
        "test_all": MEASURED,
        "train_seconds": 12.3,
        "peak_rss_mb": 99.0,
        "git": "0123456789abcdef",
        "command": "pyg-mmea train",
        "environment": {"threads": 1, "machine": "a machine"},
    }
    trained = {
        "num_pseudo_labels": 7,
        "pseudo_label_precision": 0.9,
        "test_sinkhorn": {**MEASURED, "mean": {**ROW, "hits@1": 0.51}},
        "curve": {"epoch": [1, 2], "seconds": [1.0, 2.0], "hits@1": [0.1, 0.2]},
    }
    for name, data, more in (
        ("supervised", "emoji", {**trained, "val_all": MEASURED}),
        ("supervised", "zh_en+names", {}),
        ("names_lightea", "zh_en+names", {}),
        ("supervised", "zh_en_images", {}),
    ):
        for seed in (0, 1):
            path = tmp_path / "results" / data / name / f"seed{seed}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({**result, **more, "seed": seed}))
    path = tmp_path / "encoders" / "results" / "emoji" / "gat" / "seed0.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({**result, "val_all": MEASURED, "seed": 0, "command": "of gat"}))
    configs = tmp_path / "configs"
    configs.mkdir()
    for name in ("supervised", "names_lightea"):
        (configs / f"{name}.yaml").write_text("# What it is.\nseed: 0\n")
    (tmp_path / "papers.yaml").write_text(
        'names_lightea: {paper: x, zh_en+names: "0.952 (Sinkhorn)"}\n'
        'other: {title: Of others, paper: x, zh_en+names: "0.96", fr_en: "0.5"}\n'
    )
    monkeypatch.setattr(report, "HERE", tmp_path)
    filled = []
    monkeypatch.setattr(report, "fill", lambda path, text: filled.append(text))
    report.main()
    page = (tmp_path / "README.md").read_text()
    assert "| DBP15K zh_en, with names | 0.96 (Of others) | 0.500 ± 0.000 (LightEA" in filled[0]
    assert "| Of others (not run) |" in page
    assert "## emoji noto_twemoji_en_zh\n" in page
    assert (
        "| `supervised` | 0.500 ± 0.000 | 1.000 ± 0.000 | 0.600 ± 0.000 | 0.510 ± 0.000 |" in page
    )
    assert "## DBP15K zh_en, with names\n" in page
    assert "## zh_en_images\n" in page
    row = next(line for line in page.splitlines() if line.startswith("| `names_lightea`"))
    assert row.endswith("| 0, 1 | 0123456789 | 0.952 (Sinkhorn) |")
    start, end = page.index("## Structure encoders"), page.index("![Hits@1 over seconds]")
    ours = "| `supervised` | 0.600 ± 0.000, 0.500 ± 0.000 | 0123456789 |"
    assert f"{ours}\n| `gat` | 0.600, 0.500 | 0123456789 |" in page[start:end]
    assert "```\nof gat\n```" in page[start:end]
    path = tmp_path / "results" / "emoji" / "supervised" / "seed0.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "settings": "others"}))
    with pytest.raises(SystemExit, match="'supervised' are of other settings"):
        report.main()
    wrong = {**MEASURED, "mean": {**ROW, "mrr": 0.99}}
    path.write_text(json.dumps({**json.loads(path.read_text()), "test": wrong}))
    with pytest.raises(SystemExit, match=r"emoji/supervised/seed0\.json: test of mean cannot be"):
        report.main()
    assert "What it is." in page
    assert "plots/curves.svg" in page
    assert (tmp_path / "plots" / "curves.svg").exists()


def test_the_best_of_other_methods_is_named(script: Script) -> None:
    report = script("report.py")

    def runs(*hits: float) -> dict[str, list[dict]]:
        return {"emoji": [{"test": {"mean": {"hits@1": each}}} for each in hits]}

    results = {"paris": runs(0.7), "mclea": runs(0.9, 0.4), "supervised": runs(0.99)}
    assert report.best_of_others(results, "emoji") == "0.700 (PARIS; of 2)"
    assert report.best_of_others(results, "zh_en") == "not run"
