"""Settings of a training run."""

from dataclasses import dataclass
from typing import Literal


@dataclass
class TrainingConfig:
    """How to train; one set of defaults for all data.

    Args:
        epochs (int): Epochs, each of which is one pass over seeds and pseudo-labels.
        lr (float): Learning rate at the start.
        lr_end (float): Fraction of it at the end; between the two it falls as a cosine.
        weight_decay (float): Weight decay of AdamW, except for the learned loss weights.
        batch_size (int): Links a step. Every step passes messages over both graphs in full.
        num_negatives (int): Entities of each graph sampled as negatives of a step.
        momentum (float): Coefficient of the momentum encoder, updated after every step. The paper
            has 0.999 and many more steps.
        switch_epoch (int): Epoch at which calibration and momentum contrast begin.
        round_every (int): Epochs between two rounds of calibration.
        switch_lr_factor (float): Factor of the learning rate from the switch on.
        val_every (int): Epochs between two looks at the validation links.
        selection (str): :obj:`"last"` takes the last epoch, :obj:`"validation"` that with the best
            MRR on the validation links.
        patience (int): Looks without a better MRR after which training stops; zero never stops.
        refit (bool): Train on all seeds in the end, validation links included: with calibration by
            going on, without it by starting over for the selected number of epochs.
        refit_epochs (int): Epochs of going on.
        encoder (str): Which encoder embeds in the end.
        propagate_links (bool): Have the view of :class:`~pyg_mmea.nn.LinkPropagation` beside the
            trained modalities.
        frozen_views (bool): Have the dense features as they are as views beside the trained
            modalities.
        propagation_channels (int): Size of its random vectors.
        checkpoint_every (int): Epochs between two checkpoints to resume from.
        accelerator (str): Passed to Lightning; :obj:`"auto"` is a CUDA device if there is one, else
            the CPU. One device is used.
        precision (str): Passed to Lightning, such as :obj:`"bf16-mixed"`.
        tensorboard (bool): Log to TensorBoard, too.
    """

    epochs: int = 60
    lr: float = 5e-3
    lr_end: float = 0.3
    weight_decay: float = 0.0
    batch_size: int = 2500
    num_negatives: int = 2000
    momentum: float = 0.98
    switch_epoch: int = 15
    round_every: int = 5
    switch_lr_factor: float = 1.0
    val_every: int = 10
    selection: Literal["last", "validation"] = "last"
    patience: int = 0
    refit: bool = True
    refit_epochs: int = 10
    encoder: Literal["online", "momentum"] = "online"
    propagate_links: bool = True
    frozen_views: bool = True
    propagation_channels: int = 128
    checkpoint_every: int = 5
    accelerator: str = "auto"
    precision: str = "32-true"
    tensorboard: bool = False

    def __post_init__(self) -> None:
        for name in (
            "epochs",
            "batch_size",
            "round_every",
            "val_every",
            "refit_epochs",
            "checkpoint_every",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"'{name}' needs to be at least 1 (got {getattr(self, name)})")
        for name, choices in (
            ("selection", ("last", "validation")),
            ("encoder", ("online", "momentum")),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"'{name}' needs to be one of {choices} (got '{getattr(self, name)}')"
                )
        if self.patience > 0 and self.selection == "last":
            raise ValueError("'patience' needs 'selection' to be 'validation' (got 'last')")
        if self.patience < 0 or self.switch_epoch < 0:
            raise ValueError(
                f"'patience' and 'switch_epoch' need to be at least 0 "
                f"(got {self.patience} and {self.switch_epoch})"
            )
