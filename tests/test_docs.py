"""Examples of the guides are run as they stand."""

import re
import textwrap
from pathlib import Path

import pytest
import yaml
from torch_geometric.data import HeteroData

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
    names = {"data": data, "few": TrainingConfig(epochs=7, switch_epoch=1)}
    exec(code.replace("=calibrator)", "=calibrator, training=few)"), names)
    assert names["aligner"].result["test"]["num_links"] > 0
    assert names["aligner"].calibrator.proposer is names["calibrator"].proposer


def test_settings() -> None:
    (text,) = blocks("yaml")
    settings = yaml.safe_load(text)
    TrainingConfig(**settings["training"])
    assert settings["calibration"]["class_path"] == "pyg_mmea.calibration.Calibrator"
