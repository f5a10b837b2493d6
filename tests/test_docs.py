"""The examples of the guide to calibration are run."""

import re
import textwrap
from pathlib import Path

import pytest
from torch_geometric.data import HeteroData

from pyg_mmea.cli.train import build_parser
from pyg_mmea.datasets import FakeMMKG
from pyg_mmea.training import TrainingConfig

GUIDE = Path(__file__).parents[1] / "docs" / "calibration.rst"


def blocks(language: str) -> list[str]:
    pattern = rf"\.\. code-block:: {language}\n\n((?:(?:    .*)?\n)+)"
    found = re.findall(pattern, GUIDE.read_text(encoding="utf-8"))
    return [textwrap.dedent(block) for block in found]


@pytest.fixture
def data() -> HeteroData:
    return FakeMMKG()[0]


def test_a_step_of_ones_own(data: HeteroData) -> None:
    (code,) = blocks("python")
    few = TrainingConfig(epochs=7, switch_epoch=1, round_every=1, lr=0.02)
    names = {"data": data, "few": few, "__name__": "guide"}
    assert "Aligner(calibrator=calibrator)" in code
    exec(code.replace("=calibrator)", "=calibrator, training=few)"), names)
    aligner = names["aligner"]
    assert aligner.result["num_pseudo_labels"] > 0


def test_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,), (text,) = blocks("python"), blocks("yaml")
    (tmp_path / "my_package.py").write_text(code.partition("\ncalibrator =")[0])
    monkeypatch.syspath_prepend(tmp_path)
    config = tmp_path / "settings.yaml"
    config.write_text(text)
    parser = build_parser()
    settings = parser.parse_args(["--config", str(config), "--data=FakeMMKG", "--out=none"])
    built = parser.instantiate(settings)
    assert type(built.calibration.proposer).__name__ == "PictureProposer"
    assert built.training.switch_epoch == "auto"
