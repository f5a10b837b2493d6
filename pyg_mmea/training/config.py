"""Settings of a training run."""

import math
from dataclasses import dataclass, fields
from typing import Literal, get_args, get_origin

import numpy as np

_LARGE = 100_000  # entities up to which steps see the whole graph
_AUTO_ENTITIES = 25_000


@dataclass
class TrainingConfig:
    """How to train; one set of defaults for all data.

    Args:
        epochs (int): Epochs, each of which is one pass over seeds and pseudo-labels.
        lr (float): Learning rate at the start.
        lr_end (float): Fraction of it at the end; between the two it falls as a cosine.
        weight_decay (float): Weight decay of AdamW, except for the learned loss weights.
        batch_size (int): Links a batch.
        batch_entities (int or str): About how many entities of each graph make up a mini-batch,
            whose edges a step passes messages over, see
            :class:`~pyg_mmea.data.PartitionedPair`. :obj:`"all"` passes them over both graphs in
            full. :obj:`"auto"` does so up to 100,000 entities in the larger graph, and takes
            25,000 beyond. Embeddings that are measured, calibrated or kept are those of the whole
            graphs, whatever the steps see.
        num_negatives (int): Entities of each graph sampled as negatives of a batch, from its
            mini-batch.
        accumulate_grad_batches (int): Batches of each process whose mean gradient makes a step.
        momentum (float): Coefficient of the momentum encoder, updated after every step. The paper
            has 0.999 and many more steps.
        switch_epoch (int or str): Epoch at which calibration and momentum contrast begin.
            :obj:`"auto"` is after the first look at the validation links at which their MRR has
            risen by less than :obj:`switch_gain` since the last one.
        switch_gain (float): The least relative gain that puts an automatic switch off.
        switch_width (int): Epochs over which the weight of the momentum contrast rises linearly to
            one; zero has it in full at once. How many pseudo-labels join in a round is limited by
            the budget of :class:`~pyg_mmea.calibration.PseudoLabelPool`.
        round_every (int): Epochs between two rounds of calibration.
        switch_lr_factor (float): Factor of the learning rate from the switch on.
        val_every (int): Epochs between two looks at the validation links.
        selection (str): :obj:`"last"` takes the last epoch, :obj:`"validation"` that with the best
            MRR on the validation links.
        val_links (int, optional): Validation links that are looked at and measured; of more, a
            fixed random sample. Calibration has all of them. :obj:`None` looks at all.
        test_links (int, optional): Test links that are measured in the end; of more, a fixed
            random sample. Exact ranks cost time in proportion to links times candidates, and
            among the counterparts of a sample a rank is better than among those of all.
            :obj:`None` measures all.
        csls_k (int): Neighbourhood of CSLS in what is measured. Above zero it takes all
            candidates times all candidates; zero ranks by plain cosine.
        patience (int): Looks without a better MRR after which training stops; zero never stops.
        refit (bool): Train on all seeds in the end, validation links included: with calibration by
            going on, without it by starting over for the selected number of epochs.
        refit_epochs (int): Epochs of going on.
        encoder (str): Which encoder embeds, is measured and proposes pairs, :obj:`"online"` or
            :obj:`"momentum"`; the other one has the vote that is named after the momentum encoder.
        rank_by (str): What ranks entities wherever something is measured, selected, proposed or
            aligned. :obj:`"views"`: all views beside each other, weighed on the validation links,
            layer by layer where an encoder puts its layers side by side; the model's own joint
            embedding is for training only. :obj:`"joint"`: that joint
            embedding, as models with weights of their own for each entity need it. Nothing is
            then learned from validation links but confidence, and views vote all the same.
        propagate_links (bool): Have the view of :class:`~pyg_mmea.nn.LinkPropagation` beside the
            trained modalities.
        frozen_views (bool): Have the dense features as they are as views beside the trained
            modalities.
        propagation_channels (int): Size of its random vectors.
        checkpoint_every (int): Epochs between two checkpoints to resume from; the last epoch
            has one anyway.
        accelerator (str): Passed to Lightning; :obj:`"auto"` is a CUDA device if there is one, else
            the CPU.
        devices (int): Processes to train with by distributed data parallel, each on a device of its
            own; needs a folder for the run. Each step takes :obj:`devices` times
            :obj:`accumulate_grad_batches` batches, and gives the same weights however these are
            shared out, up to float noise: two devices make half as many steps an epoch as one.
        precision (str): Passed to Lightning: :obj:`"32-true"`, :obj:`"16-mixed"`,
            :obj:`"bf16-mixed"`, or :obj:`"64-true"`, which trains in double precision, with all
            features in memory.
        tensorboard (bool): Log to TensorBoard, too.

    Raises:
        ValueError: If a value is out of range or none of the choices; names it.
    """

    epochs: int = 60
    lr: float = 5e-3
    lr_end: float = 0.3
    weight_decay: float = 0.0
    batch_size: int = 2500
    batch_entities: int | Literal["auto", "all"] = "auto"
    num_negatives: int = 2000
    accumulate_grad_batches: int = 1
    momentum: float = 0.98
    switch_epoch: int | Literal["auto"] = 15
    switch_gain: float = 0.02
    switch_width: int = 0
    round_every: int = 5
    switch_lr_factor: float = 1.0
    val_every: int = 10
    selection: Literal["last", "validation"] = "last"
    val_links: int | None = 5000
    test_links: int | None = None
    csls_k: int = 10
    patience: int = 0
    refit: bool = True
    refit_epochs: int = 10
    encoder: Literal["online", "momentum"] = "online"
    rank_by: Literal["views", "joint"] = "views"
    propagate_links: bool = True
    frozen_views: bool = True
    propagation_channels: int = 128
    checkpoint_every: int = 5
    accelerator: str = "auto"
    devices: int = 1
    precision: Literal["32-true", "16-mixed", "bf16-mixed", "64-true"] = "32-true"
    tensorboard: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):  # checkpoints hold plain numbers only
            value = getattr(self, field.name)
            if isinstance(value, np.generic):
                setattr(self, field.name, value.item())
        for name in (
            "epochs",
            "batch_size",
            "round_every",
            "val_every",
            "refit_epochs",
            "checkpoint_every",
            "accumulate_grad_batches",
            "devices",
            "val_links",
            "test_links",
            "propagation_channels",
        ):
            value = getattr(self, name)
            if value is not None and not (1 <= value < math.inf and value == int(value)):
                raise ValueError(f"'{name}' needs to be at least 1, and whole (got {value})")
        if isinstance(self.batch_entities, str):
            allowed = self.batch_entities in ("auto", "all")
        else:
            allowed = self.batch_entities >= 1
        if not allowed:
            raise ValueError(
                f"'batch_entities' needs to be at least 1, 'auto' or 'all' "
                f"(got {self.batch_entities!r})"
            )
        for field in fields(self):
            value, choices = getattr(self, field.name), get_args(field.type)
            if get_origin(field.type) is Literal and value not in choices:
                raise ValueError(f"'{field.name}' needs to be one of {choices} (got '{value}')")
        if not 0 <= self.momentum <= 1:
            raise ValueError(f"'momentum' needs to be in [0, 1] (got {self.momentum})")
        if self.patience > 0 and self.selection == "last":
            raise ValueError("'patience' needs 'selection' to be 'validation' (got 'last')")
        if isinstance(self.switch_epoch, str) and self.switch_epoch != "auto":
            raise ValueError(
                f"'switch_epoch' needs to be at least 0 or 'auto' (got '{self.switch_epoch}')"
            )
        for name in (
            "lr",
            "lr_end",
            "weight_decay",
            "num_negatives",
            "patience",
            "switch_epoch",
            "switch_gain",
            "switch_width",
            "switch_lr_factor",
            "csls_k",
        ):
            value = getattr(self, name)
            if value != "auto" and not 0 <= value < math.inf:  # NaN is not, either
                raise ValueError(f"'{name}' needs to be at least 0 (got {value})")

    def num_mini_batches(self, num_entities: int) -> int:
        """Returns how many mini-batches make up a pair; one if the steps see it in full.

        Args:
            num_entities (int): Entities of the larger graph.
        """
        size = self.batch_entities
        if size == "auto":
            size = "all" if num_entities <= _LARGE else _AUTO_ENTITIES
        return 1 if size == "all" else math.ceil(num_entities / size)
