"""From a pair of graphs to trained encoders, confidence and candidates."""

import logging
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_mmea.calibration import Calibrator, Ledger, doubtful_links
from pyg_mmea.calibration.vote import check_excluded
from pyg_mmea.data import HideAnchors, feature_fits, sample_links
from pyg_mmea.metrics import evaluate_alignment
from pyg_mmea.nn.models import AlignmentModel, PairSpec
from pyg_mmea.training.callbacks import forget_phase
from pyg_mmea.training.config import TrainingConfig
from pyg_mmea.training.module import AlignmentModule
from pyg_mmea.training.outcome import report_doubts, summarize
from pyg_mmea.training.phase import PhaseResult, run_phase
from pyg_mmea.training.record import settle
from pyg_mmea.training.resources import is_first_process
from pyg_mmea.training.seeds import Seeds
from pyg_mmea.training.trained import Trained
from pyg_mmea.training.views import voter_names
from pyg_mmea.typing import Embeddings
from pyg_mmea.utils.io import fingerprint
from pyg_mmea.utils.pairs import unconfirmed_links

logger = logging.getLogger(__name__)

Voters = tuple[Embeddings, Embeddings]  # see ViewEmbedder.voters


class Fitting:
    """One fit of an :class:`Aligner`, see :meth:`Aligner.fit`: a training that is selected on the
    validation links, confidence that is learned on them, then as a rule some more training on all
    seeds. Test links are not looked at.

    Args:
        data (HeteroData): The pair, with all links.
        folder (Path): Folder of the run.
        model (Callable): See :class:`Aligner`, as all that follow.
        objective (Callable): Makes the objective.
        calibrator (Calibrator): Finds pseudo-labels and confidence.
        calibrate (bool): Whether pseudo-labels join training.
        config (TrainingConfig): The settings.
        seed (int): Seed of everything random.
        quiet (bool): Show no progress.
    """

    def __init__(
        self,
        data: HeteroData,
        folder: Path,
        model: Callable[[PairSpec], AlignmentModel],
        objective: Callable[[dict[str, int]], torch.nn.Module],
        calibrator: Calibrator,
        calibrate: bool,
        config: TrainingConfig,
        seed: int,
        quiet: bool,
    ) -> None:
        self.data = data
        self.folder = folder
        self.model_factory = model
        self.objective_factory = objective
        self.calibrator = calibrator
        self.calibrate = calibrate
        self.config = config
        self.seed = seed
        self.quiet = quiet
        ledger = Ledger.of(folder)
        first = is_first_process()
        if first and not (folder / "checkpoints" / "select" / "last.ckpt").exists():
            ledger.resume(0)
        self.seeds = Seeds.read(data, ledger)
        self.ledger = ledger if first else None
        if first:
            self._warn_of_few_rounds()
        self.run_id = ledger.run
        self.visible = in_precision(HideAnchors("train")(data), config)
        self.again: PhaseResult | None = None
        self.last_phase = "select"

    def _warn_of_few_rounds(self) -> None:
        config, needed = self.config, getattr(self.calibrator.pool, "patience", 1)
        if not self.calibrate or config.switch_epoch == "auto":
            return
        first = config.switch_epoch or config.round_every
        num_rounds = len(range(first, config.epochs + 1, config.round_every))
        if num_rounds < needed:
            logger.warning(
                "no pseudo-label will be used: it takes %d rounds of calibration to accept one, "
                "and %d epochs leave time for %d ('switch_epoch' is %d, 'round_every' %d)",
                needed,
                config.epochs,
                num_rounds,
                config.switch_epoch,
                config.round_every,
            )

    def run(self) -> dict[str, Any]:
        """Trains, and returns what an :class:`Aligner` keeps of it."""
        seeds, calibrator = self.seeds, self.calibrator
        calibrator.reset()
        calibrator.rejected = seeds.rejected
        self._train()
        validates = seeds.val.size(1) > 0
        self.refitted = self.config.refit and validates
        if not self.refitted and seeds.num_decided > 0:  # a finished training has not seen them
            self._go_on(seeds.train)
        if validates:
            self.module.weigh(seeds.val)
        voters = self.module.voters()
        self.val = {
            "val": self._measure(voters, "test") if validates else None,
            "val_all": self._measure(voters, "all") if validates else None,
        }
        self.doubtful = self._learn_confidence(voters)
        if self.refitted:
            del voters  # of large graphs, they take gigabytes
            self._go_on(seeds.all)
            voters = self.module.voters()
        if self.ledger is not None:  # the first process
            self._tidy(self.ledger)
        return self._state(voters)

    @property
    def trained(self) -> bool:
        """Whether :meth:`run` had any epoch left to train."""
        return self.selected.trained or (self.again is not None and self.again.trained)

    def summary(self) -> dict[str, Any]:
        """Returns :obj:`result.json` of what :meth:`run` did, without what test links tell."""
        summary = summarize(
            self.data, self.module, self.calibrator, self.seeds, self.selected, self.again
        )
        return {**summary, **self.val, "doubtful_links": self.doubtful}

    def _train(self) -> None:
        """The training that is selected on the validation links."""
        calibrator = self.calibrator if self.calibrate else None
        self.module = self._make(self.seeds.train, self.config.epochs, calibrator)
        # The first round, which would find this, comes after many epochs.
        voters = voter_names(self.module.model, self.visible, self.config)
        check_excluded(self.calibrator.excluded_voters, voters)
        self.selected = self._phase(self.seeds.val)
        waited = calibrator is not None and self.config.switch_epoch == "auto"
        if waited and not self.selected.switched and is_first_process():
            logger.warning(
                "no pseudo-label was used: 'switch_epoch' is 'auto', and the validation links "
                "gained more than 'switch_gain' (%s) at every look; more epochs, or a number as "
                "'switch_epoch', begin calibration",
                self.config.switch_gain,
            )

    def _go_on(self, links: Tensor) -> None:
        """Trains on more seeds: goes on where there was calibration, else starts over."""
        if self.calibrate:
            self.module.go_on_with(links, self.config.refit_epochs, self.selected.epochs)
        else:
            weights = self.module.part_weights
            del self.module  # before there are two
            self.module = self._make(links, self.selected.epochs, None)
            self.module.part_weights = weights
        # Its checkpoints hold for these links only: decisions by hand may come before the next.
        key = fingerprint(self.selected.epochs, links.tolist(), self.seeds.rejected.tolist())
        self.last_phase = f"refit-{key}"
        self.again = self._phase(self.seeds.val[:, :0])

    def _tidy(self, ledger: Ledger) -> None:
        """Leaves nothing of trainings on decisions that were taken back since."""
        for old in (self.folder / "checkpoints").glob("refit-*"):
            if old.name != self.last_phase:
                shutil.rmtree(old)
        if self.again is None:
            forget_phase(self.folder / "metrics.csv", "refit")
        # After all epochs: what the last one trained on stays recorded.
        epoch = self.module.epochs_before + self.module.epochs
        settle(ledger, self.calibrator.pool.pairs, self.data, epoch)

    def _make(self, links: Tensor, epochs: int, calibrator: Calibrator | None) -> AlignmentModule:
        torch.manual_seed(self.seed)
        model = self.model_factory(PairSpec.from_data(self.visible))
        objective = self.objective_factory(model.out_channels)
        module = AlignmentModule(
            model, objective, self.visible, links, self.config, self.seed, epochs, calibrator
        )
        module.given_links = self.seeds.given
        return module

    def _phase(self, val_links: Tensor) -> PhaseResult:
        return run_phase(
            self.last_phase,
            self.folder,
            self.module,
            val_links,
            self.seeds.key,
            self.ledger,
            self.quiet,
        )

    def _learn_confidence(self, voters: Voters) -> list[list[str]]:
        """Learns confidence on the validation links; returns the URIs of those that look wrong."""
        seeds, device = self.seeds, self.module.device
        examined = self.calibrator.examine(*voters, seeds.train.to(device))
        val_links = seeds.val.to(device)
        self.calibrator.confidence.fit(examined.candidates, examined.votes, val_links)
        wrong = doubtful_links(*examined, val_links).cpu()
        return report_doubts(self.data, seeds.val[:, wrong])

    def _measure(self, voters: Voters, candidates: Literal["test", "all"]) -> dict[str, Any]:
        z_s, z_t = (out["joint"] for out in voters[0].values())
        links = sample_links(self.seeds.val, self.config.val_links)
        return evaluate_alignment(z_s, z_t, links, candidates, self.config.csls_k)

    def _state(self, voters: Voters) -> dict[str, Any]:
        module, seeds = self.module, self.seeds
        return {
            **align(self.calibrator, voters, seeds.all),
            "run": self.run_id,
            "model": _on_cpu(module.model),
            "momentum": _on_cpu(module.momentum.module),
            "fits": feature_fits(self.data),
            "trained": Trained.of(self.visible)._asdict(),
            "training": asdict(self.config),
            "beliefs": module.beliefs(),
            "rejected": seeds.rejected,
            "part_weights": module.part_weights,
            "confidence": self.calibrator.confidence.state_dict(),
            "entities": module.entities,
            "refitted": self.refitted,
            "accepted": seeds.accepted,
            "pivots": unconfirmed_links(self.data),
        }


def align(calibrator: Calibrator, voters: Voters, known: Tensor) -> dict[str, Any]:
    """Returns joint embeddings and candidates, on the CPU.

    Args:
        calibrator (Calibrator): Its confidence has been learned.
        voters (tuple): See :meth:`ViewEmbedder.voters`.
        known (torch.Tensor): Training and validation links, which are known to whoever asks for
            the alignment, so that they are not proposed :math:`(2, L)`.
    """
    final, _ = voters
    device = final["source"]["joint"].device
    candidates, votes, _ = calibrator.examine(*voters, known.to(device))
    return {
        "embeddings": {side: out["joint"].cpu() for side, out in final.items()},
        "alignment": {
            "pairs": candidates.pairs.cpu(),
            "margin": candidates.margin.cpu(),
            "confidence": calibrator.confidence(candidates, votes),
            "known": known,
            "votes": votes.cpu()._asdict(),
        },
    }


def in_precision(data: HeteroData, config: TrainingConfig) -> HeteroData:
    """Casts features to what the weights are, which is all that Lightning casts."""
    if config.precision != "64-true":
        return data
    return data.apply(lambda x: x.double() if x.is_floating_point() else x)


def _on_cpu(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.cpu() for name, value in model.state_dict().items()}
