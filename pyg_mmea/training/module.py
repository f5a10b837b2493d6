"""The training step."""

import copy
import math
from dataclasses import asdict
from functools import cached_property
from typing import Any, cast

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_mmea.calibration import Calibrator, fit_view_weights, sum_parts
from pyg_mmea.data.alignment_data import entity_fingerprint
from pyg_mmea.metrics import hits_at_k, mean_reciprocal_rank
from pyg_mmea.metrics.ranks import link_ranks
from pyg_mmea.nn import AlignmentModel, MomentumEncoder
from pyg_mmea.training.config import TrainingConfig
from pyg_mmea.training.data import epoch_seed
from pyg_mmea.training.identity import check_same_run
from pyg_mmea.training.views import ViewEmbedder
from pyg_mmea.typing import SIDES, Embeddings


class AlignmentModule(LightningModule):
    """Trains a model on a pair of graphs. A step passes messages over both of them in full, or over
    a mini-batch of them, and embeds the ends of its links and a sample of negatives.

    Args:
        model (AlignmentModel): The model.
        objective (torch.nn.Module): Called as
            ``objective(out, links, negatives=..., momentum=...)``, returns the terms of the loss
            by name. One of the name :obj:`"momentum"` is weighted by :meth:`momentum_weight`. Its
            parameters are trained, too.
        data (HeteroData): The pair; its links are not read.
        train_links (torch.Tensor): Seed alignment :math:`(2, S)`, which the propagation starts
            from.
        config (TrainingConfig): The settings.
        seed (int): Seed of everything random.
        epochs (int): Number of epochs, over which the learning rate falls.
        calibrator (Calibrator, optional): Whose pool is part of the checkpoints; without it
            there is no switch. (default: :obj:`None`)
    """

    def __init__(
        self,
        model: AlignmentModel,
        objective: torch.nn.Module,
        data: HeteroData,
        train_links: Tensor,
        config: TrainingConfig,
        seed: int,
        epochs: int,
        calibrator: Calibrator | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.momentum = MomentumEncoder(model, config.momentum)
        self.config = config
        self.seed = seed
        self.calibrator = calibrator
        self.given = self.pair = data
        self.train_links = train_links
        self.epochs = epochs
        #: Epochs of the training that this one goes on from, whichever of them was selected.
        self.epochs_before = 0
        self.goes_on = False
        self._had_switched = False
        self.switch_epoch = None if config.switch_epoch == "auto" else config.switch_epoch
        self._last_mrr = 0.0
        self.part_weights: dict[str, float] = {}
        #: Identifies the links that were given, before people decided on any; not the test links.
        self.given_links = ""

    @property
    def num_mini_batches(self) -> int:
        """Mini-batches that make up the pair."""
        return self.config.num_mini_batches(max(self.pair[side].num_nodes for side in SIDES))

    @cached_property
    def entities(self) -> str:
        """Identifies the entities of the pair, which the vectors of the model are of."""
        return entity_fingerprint(self.given)

    def has_switched(self, epoch: int) -> bool:
        """Whether calibration and momentum contrast have begun in an epoch."""
        if self.calibrator is None:
            return False
        if self.goes_on:
            return self._had_switched
        return self.switch_epoch is not None and epoch >= self.switch_epoch

    def momentum_weight(self, epoch: int) -> float:
        """How much of the momentum contrast is on in an epoch, from 0 to 1."""
        if not self.has_switched(epoch):
            return 0.0
        if self.goes_on or self.switch_epoch is None:
            return 1.0
        return min(1.0, (epoch + 1 - self.switch_epoch) / max(self.config.switch_width, 1))

    def go_on_with(self, links: Tensor, epochs: int, before: int) -> None:
        """Prepares for some more epochs on more seeds, at the rate at which the schedule ended.

        Args:
            links (torch.Tensor): All seeds :math:`(2, S)`.
            epochs (int): Number of epochs.
            before (int): Number of epochs so far.
        """
        self._had_switched = self.has_switched(before)
        self.epochs_before = self.epochs
        self.train_links, self.epochs, self.goes_on = links, epochs, True

    def setup(self, stage: str) -> None:
        """Copies the pair to the device once, for all steps; :obj:`given` stays where it is."""
        self.pair = copy.copy(self.given).to(self.device)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW with a falling rate; learned loss weights do not decay."""
        decay: list[Tensor] = []
        plain: list[Tensor] = []
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                (plain if name.endswith("log_variance") else decay).append(parameter)
        groups: list[dict[str, Any]] = [{"params": decay}, {"params": plain, "weight_decay": 0.0}]
        config = self.config
        # Fused: of large graphs, most of a step is the update of all entity vectors.
        optimizer = torch.optim.AdamW(
            groups, lr=config.lr, weight_decay=config.weight_decay, fused=True
        )

        def factor(epoch: int) -> float:
            progress = 1.0 if self.goes_on else min(epoch / self.epochs, 1.0)
            share = (1 + math.cos(math.pi * progress)) / 2
            rate = config.lr_end + (1 - config.lr_end) * share
            return rate * (config.switch_lr_factor if self.has_switched(epoch) else 1.0)

        return {
            "optimizer": optimizer,
            "lr_scheduler": torch.optim.lr_scheduler.LambdaLR(optimizer, factor),
        }

    def on_train_batch_start(self, batch: list[Any], batch_idx: int) -> None:
        """Makes all randomness of a batch follow from seed, epoch and its place among those of all
        processes, so that a run that resumes needs no state of generators."""
        place = batch_idx * self.trainer.world_size + self.global_rank
        torch.manual_seed(epoch_seed(self.seed, self.current_epoch) * 10_007 + place)

    def training_step(self, batch: list[Any], batch_idx: int) -> Tensor:
        """Computes the loss of one batch of links, see :class:`LinkDataModule`.

        Raises:
            FloatingPointError: If a term is not finite; names the term.
        """
        pair = batch[1] if len(batch) > 1 else self.pair
        nodes, links, negatives = self._localize(pair, batch[0].t())
        weight = self.momentum_weight(self.current_epoch)
        momentum = self.momentum(pair, nodes) if weight > 0 else None
        out = self.model(pair, nodes)
        terms = self.objective(out, links, negatives=negatives, momentum=momentum)
        if "momentum" in terms:
            terms["momentum"] = weight * terms["momentum"]
        for name, term in terms.items():
            if not bool(torch.isfinite(term)):
                raise FloatingPointError(f"loss term '{name}' is {float(term)}")
            self._log_mean(f"loss/{name}", term, links.size(1))
        loss = torch.stack(list(terms.values())).sum()
        self._log_mean("loss", loss, links.size(1), prog_bar=True)
        return loss

    def _log_mean(self, name: str, value: Tensor, num_links: int, prog_bar: bool = False) -> None:
        """Logs the mean over all links of an epoch, in all processes."""
        self.log(
            name,
            value,
            on_step=False,
            on_epoch=True,
            prog_bar=prog_bar,
            # Lightning takes the mean count of all processes, and rounds it down.
            batch_size=num_links * self.trainer.world_size,
            sync_dist=True,
        )

    def _localize(
        self, pair: HeteroData, links: Tensor
    ) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
        """Samples negatives; returns the entities to embed for them and the links :math:`(2, B)`,
        then the rows of both among these."""
        nodes: dict[str, Tensor] = {}
        negatives: dict[str, Tensor] = {}
        rows: list[Tensor] = []
        for side, ends in zip(SIDES, links, strict=True):
            num_nodes = pair[side].num_nodes
            sample = torch.randperm(num_nodes, device=ends.device)[: self.config.num_negatives]
            nodes[side], local = torch.unique(torch.cat([ends, sample]), return_inverse=True)
            rows.append(local[: ends.numel()])
            negatives[side] = local[ends.numel() :]
        return nodes, torch.stack(rows), negatives

    def on_train_batch_end(self, outputs: Any, batch: list[Any], batch_idx: int) -> None:
        """Lets the momentum encoder follow, after every step."""
        if (batch_idx + 1) % self.config.accumulate_grad_batches == 0:
            self.momentum.update(self.model)

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        """Weighs the parts of the views on the validation links, unless the model ranks by its own
        joint embedding, and ranks all entities for each of them."""
        links = batch[0].t()
        views = self.weigh(links)
        views = self.embedder.with_joint(views, self.part_weights)
        z_s, z_t = (out["joint"] for out in views.values())
        ranks = torch.cat(link_ranks(z_s, z_t, links, candidates="all", csls_k=0))
        size = links.size(1)
        self.log("val/hits@1", hits_at_k(ranks, 1), prog_bar=True, batch_size=size)
        mrr = mean_reciprocal_rank(ranks)
        self.log("val/mrr", mrr, batch_size=size)
        if self.switch_epoch is None and mrr < (1 + self.config.switch_gain) * self._last_mrr:
            self.switch_epoch = self.current_epoch + 1
        self._last_mrr = mrr
        for name, weight in self.view_weights.items():
            self.log(f"weight/{name}", weight, batch_size=size)

    def on_validation_epoch_end(self) -> None:
        """Has all processes agree on weights and switch: sums on a GPU may differ in the last
        digit."""
        state = self.part_weights, self.switch_epoch, self._last_mrr
        self.part_weights, self.switch_epoch, self._last_mrr = self.trainer.strategy.broadcast(
            state
        )

    def weigh(self, links: Tensor) -> Embeddings:
        """Learns the weights of the parts of the views from links held back, if they are what
        ranks, and returns the views."""
        views = self.views()
        if self.config.rank_by == "views":
            parts = self.embedder.parts(views)
            self.part_weights = fit_view_weights(parts, links.to(self.device))
        return views

    @property
    def view_weights(self) -> dict[str, float]:
        """Weight of each view, the sum of those of its parts."""
        return sum_parts(self.part_weights)

    def beliefs(self) -> tuple[Tensor, Tensor]:
        """Seed alignment and candidates :math:`(2, A)`, and how sure each is :math:`(A)`."""
        sure = torch.ones(self.train_links.size(1), dtype=torch.double)
        if self.calibrator is None:
            return self.train_links, sure
        pairs, confidence = self.calibrator.pool.beliefs
        return torch.cat([self.train_links, pairs], dim=1), torch.cat([sure, confidence])

    @property
    def embedder(self) -> ViewEmbedder:
        """What makes views of the encoders as they are now."""
        momentum = cast(AlignmentModel, self.momentum.module)
        return ViewEmbedder(self.model, momentum, self.config)

    def views(self) -> Embeddings:
        """Embeds both graphs by all views, see :class:`ViewEmbedder`."""
        return self.embedder.views(self.pair, self.beliefs())

    def voters(self) -> tuple[Embeddings, Embeddings]:
        """Returns what calibration asks, see :meth:`ViewEmbedder.voters`."""
        return self.embedder.voters(self.pair, self.beliefs(), self.part_weights)

    @property
    def _identity(self) -> dict[str, Any]:
        """What a run that goes on is compared by, see :func:`check_same_run`."""
        others = {
            "seed": self.seed,
            "model": type(self.model).__name__,
            "calibrate": self.calibrator is not None,
            "in_channels": dict(self.model.spec.in_channels),
            "num_relations": self.model.spec.num_relations,
        }
        return {
            "entities": self.entities,
            "given_links": self.given_links,
            "settings": {**asdict(self.config), **others},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the weights of the views, the switch and what calibration has learned."""
        checkpoint["part_weights"] = self.part_weights
        checkpoint["switch"] = self.switch_epoch, self._last_mrr
        checkpoint.update(self._identity)
        if self.calibrator is not None:
            checkpoint["calibrator"] = self.calibrator.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores the weights of the views, the switch and what calibration has learned.

        Raises:
            ValueError: If the checkpoint is of another pair, other links or other settings, or of
                an older version.
        """
        if "part_weights" not in checkpoint:
            raise ValueError("a run of an older version cannot be resumed; train it anew")
        check_same_run(checkpoint, self._identity)
        self.part_weights = checkpoint["part_weights"]
        self.switch_epoch, self._last_mrr = checkpoint["switch"]
        if self.calibrator is not None:
            self.calibrator.load_state_dict(checkpoint["calibrator"])
