import gc
import weakref
from pathlib import Path

import pandas as pd
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Timer
from torch_geometric.data import HeteroData

from pyg_mmea.calibration import Calibrator, Candidates, Ledger, Proposer, SparseSimilarity
from pyg_mmea.datasets import FakeMMKG
from pyg_mmea.loss import PCMEAObjective
from pyg_mmea.nn import PCMEA
from pyg_mmea.training import (
    AlignmentModule,
    CalibrationCallback,
    LinkDataModule,
    MetricsTable,
    PhaseResult,
    TrainingConfig,
    run_phase,
)
from pyg_mmea.typing import ANCHOR_EDGE


@pytest.fixture
def pair() -> HeteroData:
    return FakeMMKG()[0]


def _links(pair: HeteroData, mask: str) -> torch.Tensor:
    anchors = pair[ANCHOR_EDGE]
    return anchors.edge_label_index[:, anchors[mask]]


def _module(pair: HeteroData, config: TrainingConfig, calibrator: Calibrator | None = None):
    torch.manual_seed(0)
    model = PCMEA.from_data(pair, channels=8, modality_channels=8)
    return AlignmentModule(
        model,
        PCMEAObjective(model.out_channels),
        pair,
        _links(pair, "train_mask"),
        config,
        seed=0,
        epochs=config.epochs,
        calibrator=calibrator,
    )


def test_batches_hold_every_link_once_in_an_order_of_the_seed() -> None:
    links = torch.stack([torch.arange(10), torch.arange(10) + 100])
    batches = {}
    for seed in (0, 0, 1):
        module = LinkDataModule(links, links[:, :0], None, batch_size=4, seed=seed)
        parts = [batch[0] for batch in module.train_dataloader()]
        assert [len(part) for part in parts] == [4, 4, 2]
        together = torch.cat(parts).t()
        assert torch.equal(together[:, together[0].argsort()], links)
        assert seed not in batches or torch.equal(batches[seed], together)
        batches[seed] = together
    assert not torch.equal(batches[0], batches[1])
    assert module.val_dataloader() == []


def test_batches_hold_the_pseudo_labels_too() -> None:
    links = torch.tensor([[0, 1], [0, 1]])
    calibrator = Calibrator()
    calibrator.pool.load_state_dict(
        {
            "known": torch.tensor([[5, 6], [7, 8]]),
            "streak": torch.tensor([2, 0]),
            "used": torch.tensor([True, False]),
            "confidence": torch.tensor([0.99, 0.4], dtype=torch.double),
        }
    )
    module = LinkDataModule(links, links[:, :0], calibrator, batch_size=10, seed=0)
    (batch,) = [batch[0] for batch in module.train_dataloader()]
    assert sorted(map(tuple, batch.tolist())) == [(0, 0), (1, 1), (5, 7)]


def test_a_phase_trains_for_its_epochs(pair: HeteroData, tmp_path: Path) -> None:
    config = TrainingConfig(epochs=3, val_every=1, checkpoint_every=1)
    module = _module(pair, config)
    before = {name: value.clone() for name, value in module.model.state_dict().items()}
    val = _links(pair, "val_mask")
    result = run_phase("p", tmp_path, module, val, "0", quiet=True)
    assert isinstance(result, PhaseResult)
    assert result.epochs == 3
    assert result.seconds > 0
    assert any(not torch.equal(v, before[k]) for k, v in module.model.state_dict().items())
    assert (tmp_path / "checkpoints" / "p" / "last.ckpt").is_file()
    assert set(module.view_weights) == {name for name in module.views()["source"]}


def test_a_phase_leaves_nothing_behind(pair: HeteroData, tmp_path: Path) -> None:
    config = TrainingConfig(epochs=2, checkpoint_every=2)
    module = _module(pair, config)
    val = _links(pair, "val_mask")
    assert run_phase("p", tmp_path, module, val, "0", quiet=True).trained
    again = _module(pair, config)
    assert not run_phase("p", tmp_path, again, val, "0", quiet=True).trained
    same = again.state_dict()
    assert all(torch.equal(value, same[name]) for name, value in module.state_dict().items())
    known = weakref.ref(module)
    gc.collect()
    gc.disable()  # or it might run at this moment
    try:
        del module
        assert known() is None
    finally:
        gc.enable()


class _Nobody(Proposer):
    """A proposer of one's own."""

    def __init__(self) -> None:
        self.rounds = 0

    def __call__(self, similarity: SparseSimilarity) -> Candidates:
        self.rounds += 1
        none = torch.empty(0)
        return Candidates(similarity.pairs[:, :0], none, none, none.long())


def test_rounds_take_place_when_they_are_due(pair: HeteroData, tmp_path: Path) -> None:
    config = TrainingConfig(epochs=6, switch_epoch=2)
    proposer = _Nobody()
    calibrator = Calibrator(proposer=proposer)
    module = _module(pair, config, calibrator)
    train, val = _links(pair, "train_mask"), _links(pair, "val_mask")
    ledger = Ledger(tmp_path / "ledger.jsonl")
    callback = CalibrationCallback(calibrator, ledger, train, val, round_every=2)
    timer = Timer()
    table = MetricsTable(tmp_path / "metrics.csv", "only", timer)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=6,
        callbacks=[timer, callback, table],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        reload_dataloaders_every_n_epochs=1,
    )
    trainer.fit(module, datamodule=LinkDataModule(train, val, calibrator, 100, 0))
    assert [entry["epoch"] for entry in ledger.read()] == [1, 3, 5]
    assert proposer.rounds == 3
    rows = pd.read_csv(tmp_path / "metrics.csv")
    assert rows["epoch"].tolist() == list(range(6))
    assert set(rows["phase"]) == {"only"}
    assert rows["seconds"].is_monotonic_increasing


def test_other_modules_cannot_be_calibrated(pair: HeteroData) -> None:
    links = _links(pair, "train_mask")
    callback = CalibrationCallback(Calibrator(), None, links, links, 1)
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    with pytest.raises(TypeError, match="needs an AlignmentModule"):
        callback.on_train_epoch_end(trainer, LinkDataModule)  # type: ignore[arg-type]
