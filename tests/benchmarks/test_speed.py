import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from pyg_mmea.cli.settings import build_parser

ROOT = Path(__file__).parents[2]
Script = Callable[[str], ModuleType]


def _call(*command: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_speed_of_a_tiny_pair(tmp_path: Path) -> None:
    results, work = str(tmp_path / "results"), str(tmp_path / "work")
    options = ["--threads=1", "--repeats=1", "--batch-entities=100", "--work", work]
    _call("benchmarks/speed/run.py", "--sizes", "200", *options, "--results", results)
    result = json.loads((tmp_path / "results" / "cpu_200.json").read_text())
    stages = {"load", "features", "forward", "batch_backward", "propagate_links", "rank_csls"}
    assert stages <= set(result["stages"])
    assert not {"forward", "rank_csls"} & set(result["skipped"])
    assert result["num_triples"] == 1000
    assert result["batch_entities"] < 200
    assert result["environment"]["command"].startswith("python benchmarks/speed/run.py --sizes 200")
    assert all(stage["seconds"] > 0 for stage in result["stages"].values())
    assert {"forward", "backward", "rank_csls"} <= set(result["bounds"])


def test_meter_sees_memory_and_forgets(script: Script) -> None:
    meter = script("speed/machine.py").Meter(torch.device("cpu"))
    for repeat in range(2):
        with meter("big"):
            torch.ones(1 << 24)  # 64 MB
        if repeat == 0:
            meter.forget("big")
    assert len(meter.stages["big"]["all_seconds"]) == 1
    if Path("/proc/self/clear_refs").exists():
        assert 50 < meter.stages["big"]["extra_mb"] < 200


def test_full_graph_is_left_out_where_memory_would_not_do(script: Script) -> None:
    needs = script("speed/run.py").needs
    stage = {"peak_mb": 2048.0}
    before = {"num_entities": 1000, "stages": dict.fromkeys(("forward", "backward"), stage)}
    before["stages"]["optimizer"] = {"peak_mb": 1024.0}
    assert needs(None, 1000) == 0
    assert needs(before, 3000) == pytest.approx(6)
    assert needs({"num_entities": 1000, "stages": {}}, 3000) == float("inf")


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks" / "scale").glob("*.yaml")), ids=str)
def test_settings_parse(path: Path) -> None:
    parser = build_parser()
    config = parser.parse_args(["--config", str(path), "--data=FakeMMKG", "--out=none"])
    assert parser.instantiate(config).training.epochs > 0


@pytest.mark.slow
def test_from_files_to_alignment(tmp_path: Path) -> None:
    sizes = ["--num-entities=300", "--num-triples=1500", "--threads=1", "--sample=50"]
    folders = ["--work", str(tmp_path), "--results", str(tmp_path / "results")]
    short = ["--training.epochs=2", "--training.switch_epoch=1", "--target-precision=0.5"]
    _call("benchmarks/scale/run.py", *sizes, *folders, *short)
    result = json.loads((tmp_path / "results" / "million_300.json").read_text())
    assert set(result["phases"]) == {"generate", "train", "align"}
    assert all(phase["peak_rss_mb"] > 0 for phase in result["phases"].values())
    assert 0 <= result["result"]["hits@1"] <= 1
    assert result["result"]["sampled_links"] == 50
