"""What happens between the epochs."""

import logging
import time
from pathlib import Path
from typing import Any, cast

import pandas as pd
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint, EarlyStopping, Timer
from torch import Tensor

from pyg_mmea.calibration import Calibrator, Ledger
from pyg_mmea.training.module import AlignmentModule
from pyg_mmea.training.record import record, settle
from pyg_mmea.utils.io import atomic_write

logger = logging.getLogger(__name__)


class CalibrationCallback(Callback):
    """Runs a round of calibration at the switch and every few epochs after it, and records it.

    Args:
        calibrator (Calibrator): Gives the pseudo-labels.
        ledger (Ledger, optional): Where decisions are recorded; given to one process only.
        train_links (torch.Tensor): Seed alignment :math:`(2, S)`.
        calibration_links (torch.Tensor): Links held back from training :math:`(2, C)`.
        round_every (int): Epochs between two rounds.
    """

    def __init__(
        self,
        calibrator: Calibrator,
        ledger: Ledger | None,
        train_links: Tensor,
        calibration_links: Tensor,
        round_every: int,
    ) -> None:
        self.calibrator = calibrator
        self.ledger = ledger
        self.train_links = train_links
        self.calibration_links = calibration_links
        self.round_every = round_every
        self._resumed_at: int | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes back labels that compete with new seeds, and those that people rejected since; the
        ledger is then brought to what is in use, as an undone decision may have changed that."""
        if self.ledger is not None and self._resumed_at is not None:
            self.ledger.resume(self._resumed_at)
        discarded = self.calibrator.discard(self.train_links)
        if self.ledger is not None:
            module, labels = _checked(pl_module), self.calibrator.pool.pairs
            before = max(module.epochs_before + trainer.current_epoch - 1, 0)
            settle(self.ledger, labels, module.pair, before, discarded)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Runs a round if one is due."""
        module = _checked(pl_module)
        if module.goes_on or module.switch_epoch is None:
            return
        since = trainer.current_epoch + 1 - module.switch_epoch
        if since < 0 or since % self.round_every:
            return
        start = time.monotonic()
        entries = self.calibrator.round(
            *module.voters(),
            self.train_links.to(module.device),
            self.calibration_links.to(module.device),
        )
        if trainer.world_size > 1:  # sums on a GPU may differ in the last digit
            state = trainer.strategy.broadcast(self.calibrator.state_dict())
            self.calibrator.load_state_dict(state)
        if self.ledger is not None:
            record(self.ledger, entries, trainer.current_epoch, module.pair)
        logger.info(
            "calibration after epoch %d: %d pseudo-labels of %d candidates, by %s, in %.1f s",
            trainer.current_epoch,
            entries[0]["num_used"],
            entries[0]["num_candidates"],
            entries[0]["selection"],
            time.monotonic() - start,
        )
        pl_module.log("pseudo_labels", float(self.calibrator.pool.num_used), prog_bar=True)

    def state_dict(self) -> dict[str, Any]:
        return {"ledger_entries": 0 if self.ledger is None else self.ledger.num_entries}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._resumed_at = state_dict["ledger_entries"]


def _checked(module: LightningModule) -> AlignmentModule:
    if not isinstance(module, AlignmentModule):
        raise TypeError(f"calibration needs an AlignmentModule (got {type(module)})")
    return module


class MetricsTable(Callback):
    """Writes :obj:`metrics.csv`: a row an epoch, a column a metric, empty where not measured, with
    the seconds that the training has taken so far.

    The rows are part of the checkpoints, so that a resumed run has each epoch once. Of several
    processes the first one writes.

    Args:
        path (Path): The file.
        phase (str): Name of the training, in a column of its own.
        timer (Timer): Counts the seconds, over interruptions, too.
    """

    def __init__(self, path: Path, phase: str, timer: Timer) -> None:
        self.path = path
        self.phase = phase
        self.timer = timer
        self.rows: list[dict[str, Any]] = []
        self.num_new = 0  # epochs of this process
        self._before = pd.DataFrame()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keeps the rows of other phases."""
        table = _read(self.path)
        self._before = table[table["phase"] != self.phase]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Adds a row."""
        self.num_new += 1
        validated = (trainer.current_epoch + 1) % (trainer.check_val_every_n_epoch or 1) == 0
        metrics = {
            name: float(value)
            for name, value in trainer.callback_metrics.items()
            if validated or not name.startswith(("val/", "weight/"))
        }
        if not trainer.is_global_zero:
            return
        seconds = round(self.timer.time_elapsed("train"), 2)
        place = {"phase": self.phase, "epoch": trainer.current_epoch, "seconds": seconds}
        self.rows.append({**place, **metrics})
        table = pd.concat([self._before, pd.DataFrame(self.rows)], ignore_index=True)
        with atomic_write(self.path, "w") as file:
            table.to_csv(file, index=False)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])


def forget_phase(path: Path, phase: str) -> None:
    """Takes the rows of a phase out of :obj:`metrics.csv`, if there are any."""
    table = _read(path)
    kept = table[table["phase"] != phase]
    if len(kept) < len(table):
        with atomic_write(path) as file:
            kept.to_csv(file, index=False)


def _read(path: Path) -> pd.DataFrame:
    if not path.exists():
        return pd.DataFrame({"phase": []})
    return pd.read_csv(path, float_precision="round_trip")


class LastingStop(EarlyStopping):
    """Stops early, and a training that was stopped so does not go on when it is resumed."""

    @property
    def state_key(self) -> str:
        return super().state_key.replace(type(self).__qualname__, EarlyStopping.__qualname__)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops before the first epoch if the checkpoint is of a training that had stopped."""
        if self.stopped_epoch > 0:
            trainer.should_stop = True


class SameLinks(Callback):
    """Has all processes see that they were given the same links: people may decide on pairs while
    one process after the other starts, which would then wait for each other forever.

    Args:
        key (str): Identifies the links.
    """

    def __init__(self, key: str) -> None:
        self.key = key

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compares the keys.

        Raises:
            RuntimeError: If they differ.
        """
        if trainer.world_size == 1:
            return
        number = torch.tensor(int(self.key[:15], 16), device=pl_module.device)
        gathered = cast(Tensor, pl_module.all_gather(number))
        if gathered.unique().numel() > 1:
            raise RuntimeError("somebody decided on a pair during the start; start again")


class ResumePoint(Checkpoint):
    """Keeps where a training is, to go on from there: every few epochs, and where it ends.

    Args:
        path (Path): The file.
        every (int): Epochs between two looks.
    """

    def __init__(self, path: Path, every: int) -> None:
        self.path = path
        self.every = every

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the file if it is due."""
        done = trainer.current_epoch + 1
        if done % self.every == 0 or trainer.should_stop or done == trainer.max_epochs:
            trainer.save_checkpoint(self.path)
