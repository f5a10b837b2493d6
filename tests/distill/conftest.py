import pytest
from torch_geometric.data import HeteroData

from pyg_mmea.datasets import FakeMMKG
from pyg_mmea.distill import DistillConfig, Student, distill
from pyg_mmea.training import Aligner, TrainingConfig


@pytest.fixture(scope="session")
def pair() -> HeteroData:
    return FakeMMKG()[0]


@pytest.fixture(scope="session")
def teacher(pair: HeteroData) -> Aligner:
    """A run that held its validation links back."""
    training = TrainingConfig(epochs=8, lr=0.02, switch_epoch=3, round_every=2, refit=False)
    return Aligner(training=training).fit(pair, quiet=True)


@pytest.fixture(scope="session")
def config() -> DistillConfig:
    return DistillConfig(channels=16, epochs=20, batch_size=32, lr=0.03)


@pytest.fixture(scope="session")
def student(pair: HeteroData, teacher: Aligner, config: DistillConfig) -> Student:
    return distill(pair, teacher, config)
