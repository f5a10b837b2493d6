import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

CONFIGS = Path(__file__).parents[2] / "benchmarks" / "configs"


@pytest.fixture
def runner(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("baseline.py")


def test_result_is_that_of_a_run(runner: ModuleType, tmp_path: Path) -> None:
    config = str(CONFIGS / "paris.yaml")
    arguments = ["--config", config, "--data", "FakeMMKG", "--data.num_links=40", "--seed=3"]
    runner.main([*arguments, f"--out={tmp_path}/run"])
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["dataset"], result["model"], result["seed"]) == ("FakeMMKG", "PARIS", 3)
    assert result["num_seeds"] == 12
    assert result["train_seconds"] >= 0
    assert result["peak_rss_mb"] > 0
    for key, matching in (("val", "none"), ("test", "none"), ("test_sinkhorn", "sinkhorn")):
        assert result[key]["matching"] == matching
        assert 0 <= result[key]["mean"]["hits@1"] <= 1
    assert result["test"]["num_links"] == 28
    assert result["test_all"]["candidates"] == result["val_all"]["candidates"] == "all"
    with pytest.raises(SystemExit):  # is not overwritten
        runner.main([*arguments, f"--out={tmp_path}/run"])


def test_pair_without_links_to_measure(runner: ModuleType, tmp_path: Path) -> None:
    options = ["--data=FakeMMKG", "--data.val_ratio=0.0", "--data.seed_ratio=1.0"]
    options += ["--baseline=NameSimilarity", "--baseline.modality=attribute"]
    runner.main([*options, "--out", str(tmp_path)])
    result = json.loads((tmp_path / "result.json").read_text())
    for key in ("val", "val_all", "test", "test_sinkhorn", "test_all"):
        assert result[key] is None
    assert result["num_seeds"] == 60


def test_a_file_can_name_features(runner: ModuleType, tmp_path: Path, eva_folder: Path) -> None:
    for side, ids in ((1, (0, 2, 4, 5)), (2, (3, 1, 6))):
        names = {str(i): f"thing {'abcdabc'[i]}" for i in ids}
        (eva_folder / f"names_{side}.json").write_text(json.dumps(names))
    config = ["--config", str(CONFIGS / "names.yaml")]
    data = ["--data", "AlignmentFolder", "--data.root", str(eva_folder)]
    runner.main([*config, *data, "--out", str(tmp_path / "run")])
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["model"] == "NameSimilarity"
    assert result["val"] is None
    assert result["test"]["num_links"] == 1
