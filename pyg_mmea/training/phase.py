"""One training from start to end, by Lightning."""

import logging
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, Timer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor

from pyg_mmea.calibration import Ledger
from pyg_mmea.data import sample_links
from pyg_mmea.training.callbacks import (
    CalibrationCallback,
    LastingStop,
    MetricsTable,
    ResumePoint,
    SameLinks,
)
from pyg_mmea.training.data import LinkDataModule
from pyg_mmea.training.module import AlignmentModule
from pyg_mmea.utils.io import load_tensors

logger = logging.getLogger(__name__)

# Texts in warnings of what is as it should be.
_KNOWN_WARNINGS = (
    "num_workers",
    "Checkpoint directory",
    "Total length of `list`",
    "GPU available but not used",
    "in eval mode at the start",
    "LeafSpec",
    "Sparse",
    "sync_dist=True",  # all processes validate all links: there is nothing to bring together
    "find_unused_parameters=True was specified",
    "could not find the monitored key",
    "callbacks used to create the checkpoint",
)


@dataclass
class PhaseResult:
    """What a training gives.

    Args:
        epochs (int): Epochs behind the weights that :obj:`module` now has.
        selection (str): How they were selected, :obj:`"last"` or :obj:`"validation"`.
        seconds (float): Time spent training, validation and rounds of calibration included.
        trained (bool): Whether any epoch was left to train.
        switched (bool): Whether calibration began, if after the epoch that was selected.
    """

    epochs: int
    selection: str
    seconds: float
    trained: bool
    switched: bool


def run_phase(
    name: str,
    folder: Path,
    module: AlignmentModule,
    val_links: Tensor,
    links_key: str,
    ledger: Ledger | None = None,
    quiet: bool = False,
) -> PhaseResult:
    """Trains a module, which then has the weights of the selected epoch.

    A checkpoint is written every :obj:`checkpoint_every` epochs of the module's settings, and after
    the last one; if there is one, training goes on from there, with the same result as if it had
    never stopped.

    Args:
        name (str): Name of the folder of checkpoints; what is before a hyphen is that of the
            phase.
        folder (Path): Folder of the run.
        module (AlignmentModule): What to train, with its links and settings.
        val_links (torch.Tensor): Validation links :math:`(2, V)`.
        links_key (str): Identifies all that is known of links, see :attr:`Seeds.key`.
        ledger (Ledger, optional): Record of the calibration, in the first process only.
        quiet (bool): Show no progress.

    Raises:
        ValueError: If the switch is automatic and there is no validation link to begin with.
    """
    config = module.config
    waits = module.calibrator is not None and config.switch_epoch == "auto" and not module.goes_on
    checkpoints = folder / "checkpoints" / name
    last, best = checkpoints / "last.ckpt", checkpoints / "best.ckpt"
    if waits and val_links.size(1) == 0 and not last.exists():
        raise ValueError("'switch_epoch' cannot be 'auto' where no link validates")
    selects = config.selection == "validation" and val_links.size(1) > 0
    timer = Timer(interval="epoch")
    callbacks: list[Callback] = [SameLinks(links_key), timer]
    if module.calibrator is not None:
        callbacks.append(
            CalibrationCallback(
                module.calibrator,
                ledger,
                module.train_links,
                val_links,
                config.round_every,
            )
        )
    table = MetricsTable(folder / "metrics.csv", name.partition("-")[0], timer)
    callbacks.append(table)
    if selects:
        callbacks.append(_best_checkpoint(best))
        if config.patience > 0:
            callbacks.append(LastingStop("val/mrr", mode="max", patience=config.patience))
    callbacks.append(ResumePoint(last, config.checkpoint_every))
    links = LinkDataModule(
        module.train_links,
        sample_links(val_links, config.val_links),
        module.calibrator,
        config.batch_size,
        module.seed,
        module.given,
        module.num_mini_batches,
        config.accumulate_grad_batches,
    )
    start = time.monotonic()
    with warnings.catch_warnings(), _quiet_lightning():
        for text in _KNOWN_WARNINGS:
            warnings.filterwarnings("ignore", message=f".*{text}.*")
        trainer = Trainer(
            accelerator=_accelerator(config.accelerator),
            devices=config.devices,
            # A modality that no link of a batch has gets no gradient in that process.
            strategy=DDPStrategy(find_unused_parameters=True) if config.devices > 1 else "auto",
            use_distributed_sampler=False,  # each process takes its own batches
            accumulate_grad_batches=config.accumulate_grad_batches,
            precision=config.precision,
            max_epochs=module.epochs,
            callbacks=callbacks,
            logger=TensorBoardLogger(folder, name="", version="") if config.tensorboard else False,
            check_val_every_n_epoch=config.val_every,
            num_sanity_val_steps=0,
            reload_dataloaders_every_n_epochs=1,
            enable_progress_bar=not quiet and sys.stderr.isatty(),
            enable_model_summary=False,
            log_every_n_steps=1,
        )
        trainer.fit(
            module,
            datamodule=links,
            ckpt_path=str(last) if last.exists() else None,
            weights_only=True,
        )
    logger.info("%s: %d epochs in %.1f s", name, module.epochs, time.monotonic() - start)
    # Lightning moves the module back to the CPU; what follows is as heavy as training was.
    module.to(trainer.strategy.root_device)
    module.setup("validate")
    reached, selection = trainer.current_epoch, "last"
    switched = module.has_switched(reached)
    if selects and best.exists():
        state = load_tensors(best)
        module.load_state_dict(state["state_dict"])
        module.on_load_checkpoint(state)
        reached, selection = state["epoch"] + 1, "validation"
    module.eval()
    module.trainer = None  # they hold each other, and memory, until garbage is collected
    seconds = timer.time_elapsed("train")
    return PhaseResult(reached, selection, seconds, table.num_new > 0, switched)


def _accelerator(name: str) -> str:
    # Lightning's "auto" may be Apple's MPS, which has neither sparse matrices nor doubles.
    if name == "auto":
        return "gpu" if torch.cuda.is_available() else "cpu"
    return name


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Keeps advertisements and news of devices out of the output."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)


def _best_checkpoint(path: Path) -> ModelCheckpoint:
    return ModelCheckpoint(
        dirpath=path.parent,
        filename=path.stem,
        enable_version_counter=False,
        auto_insert_metric_name=False,
        save_on_train_epoch_end=True,
        monitor="val/mrr",
        mode="max",
    )
