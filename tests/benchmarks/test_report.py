import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Script = Callable[[str], ModuleType]
ENVIRONMENT = {
    "git": "0123456789abcdef",
    "cpu": "A CPU",
    "device": "cpu",
    "threads": 2,
    "command": "python benchmarks/speed/run.py",
    "versions": {"torch": "2"},
}


def _stage(seconds: float) -> dict:
    return {"all_seconds": [seconds], "seconds": seconds, "peak_mb": 512.0, "extra_mb": 10.0}


def _size(size: int, **stages: float) -> dict:
    return {
        "num_entities": size,
        "batch_entities": 100,
        "channels": 8,
        "num_neighbors": 10,
        "bandwidth_gb_s": 9.5,
        "matmul_gflop_s": 60.0,
        "bounds": {"forward": 0.5},
        "stages": {name: _stage(seconds) for name, seconds in stages.items()},
        "skipped": {"rank_csls": "quadratic"},
        "environment": ENVIRONMENT,
    }


def _write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    _write(folder / "cpu_100000.json", _size(100_000, forward=10.0, load=3.0))
    _write(folder / "cpu_1000.json", _size(1000, forward=9.0, load=1.0, rank_csls=2.0))
    _write(folder / "cpu_1000000.json", _size(1_000_000, forward=100.0))
    epochs = {"pyg_gat": 8.0, "pyg_diag_gat": 6.0, "ours_gat": 2.0, "ours_default": 4.0}
    compared = {
        "data": "DBP15K/zh_en",
        "links": 4050,
        "steps": 2,
        "channels": 300,
        "epochs": {name: _stage(seconds) for name, seconds in epochs.items()},
        "dense_backward": {
            "points": [[1000, 0.1, 4.0]],
            "num_nodes": 40000,
            "extrapolated_seconds_per_step": 160.0,
            "extrapolated_matrix_mb": 6144.0,
        },
        "environment": ENVIRONMENT,
    }
    _write(folder / "compare_cpu.json", compared)
    milliseconds = {"96": {"plain": {"forward": 2.0, "both": 6.0}, "CSR": {"forward": 1.0}}}
    kernels = {"num_nodes": 10, "num_edges": 20, "milliseconds": milliseconds}
    kernels["left_out"] = {"scatter": "it is not installed"}
    _write(folder / "kernels_cpu.json", {**kernels, "environment": ENVIRONMENT})
    ranking = {
        "num_entities": 1000,
        "channels": 30,
        "seconds": 3.0,
        "peak_mb": 500.0,
        "bare_pass_seconds": 1.0,
        "ratio_to_two_passes": 1.5,
        "environment": ENVIRONMENT,
    }
    _write(folder / "ranking_cpu.json", ranking)
    million = {
        "num_entities": 1_000_000,
        "num_triples": 5_000_000,
        "phases": {"train": {"seconds": 3600.0, "cpu_seconds": 7000.0, "peak_rss_mb": 9000.0}},
        "result": {"hits@1": 0.5, "num_pairs": 10, "precision": None, "coverage": 0.25},
        "target_precision": 0.9,
        "config": "training:\n  epochs: 6\n",
        "environment": ENVIRONMENT,
    }
    _write(tmp_path / "scale" / "million_1000000.json", million)
    curve = {"data": "DBP15K/zh_en", "setting": "gat", "final": 0.7, "seconds_to_final": 12.0}
    curve |= {"epochs": 60, "test": None, "command": "curves.py", "git": "abcdef0123456"}
    _write(folder / "curves.json", [{**curve, "seconds": [1, 12], "hits@1": [0.1, 0.7]}])
    return folder


def test_page(results: Path, script: Script, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "README.md"
    report = script("speed/report.py")
    report.report(results, tmp_path / "scale", out)
    page = out.read_text()
    # The smallest size is no part of the fit: 10 and 100 seconds are linear growth.
    assert "| forward, full graph | 9 | 10 | 100 | 1.00 |" in page
    assert "| exact ranks with CSLS | 2 | quadratic | quadratic |  |" in page
    assert "| forward, full graph | 18.0 | 20.0 | 200.0 |" in page
    assert "| plain PyG `MessagePassing`, diagonal weights | 6 | 3.00 | 10 |" in page
    assert "160 s" in page
    assert "| plain | 2 | 6 |" in page
    assert "Left out: scatter, as it is not installed." in page
    assert "| CSR | 1 | no gradient |" in page
    assert "1,000 links among 1,000 entities" in page
    assert "1.50 times the time of these" in page
    assert "extrapolated, not" in page
    assert "| 6 | train 3600 (9000) | 0.5 | 0.9 | 10 |  | 0.25 | 0123456789 |" in page
    assert "| DBP15K/zh_en | gat | 60 | 0.700 | 12 | 12 |  | abcdef0123 |" in page
    assert "have not been run on a GPU" in page
    plots = {path.name: path.read_bytes() for path in (tmp_path / "plots").iterdir()}
    assert set(plots) == {"stages_cpu.svg", "curve_DBP15K_zh_en.svg"}
    report.report(results, tmp_path / "scale", out)
    assert all((tmp_path / "plots" / name).read_bytes() == text for name, text in plots.items())


def test_exponent(script: Script) -> None:
    exponent = script("speed/report.py").exponent
    assert exponent([30_000, 300_000], [1.0, 100.0]) == pytest.approx(2.0)
    assert exponent([10_000, 20_000], [1.0, 2.0]) == pytest.approx(1.0)
    assert exponent([10_000], [1.0]) is None
