from collections.abc import Callable
from pathlib import Path

import pytest
from torch_geometric.data import HeteroData

from pyg_mmea.calibration import Ledger
from pyg_mmea.calibration.ledger import LEDGER_NAME
from pyg_mmea.datasets import FakeMMKG
from pyg_mmea.inspect import Inspector
from pyg_mmea.training import Aligner, TrainingConfig

Load = Callable[[HeteroData], Inspector]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with rounds of calibration."""
    folder = tmp_path_factory.mktemp("report") / "run"
    config = TrainingConfig(
        epochs=8, switch_epoch=1, round_every=1, val_every=2, num_negatives=20, accelerator="cpu"
    )
    aligner = Aligner(training=config)
    aligner.calibrator.precision = 0
    aligner.calibrator.confidence.min_cases = 5
    aligner.fit(FakeMMKG(num_links=120, val_ratio=0.3, noise=0.6)[0], folder, quiet=True)
    return folder


@pytest.fixture
def data() -> HeteroData:
    return FakeMMKG(num_links=120, val_ratio=0.3, noise=0.6)[0]


@pytest.fixture
def load(run: Path) -> Load:
    """Loads the run with a pair that may have been changed."""

    def inspect(data: HeteroData) -> Inspector:
        return Inspector(data, Aligner.load(run), Ledger(run / LEDGER_NAME).read())

    return inspect
