"""EVA."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pyg_mmea.nn.models.base import PairSpec
from pyg_mmea.nn.models.multimodal import ConcatModel


class EVA(ConcatModel):
    r"""The encoders of `"Visual Pivoting for (Unsupervised) Entity Alignment"
    <https://arxiv.org/abs/2009.13603>`_ (AAAI 2021): graph convolutions over learnable entity
    vectors, a linear layer for each other modality, and their
    :class:`~pyg_mmea.nn.WeightedConcat` with one learned weight a modality.

    As in the released code, no gradient goes through the joint embedding into the encoders: a loss
    on it learns the weights of the modalities alone. Its objective is
    :class:`~pyg_mmea.loss.EVAObjective`. Different from paper and released code:

    * a modality that an entity lacks is a mask and zeros, where the code draws random vectors;
    * texts are a modality like any other;
    * seeds made of similar pictures, the paper's unsupervised setting, are
      :class:`~pyg_mmea.data.PivotAnchors`, a transform of the data.

    Args:
        spec (PairSpec): The sizes of the pair of graphs.
        structure_encoder (str or torch.nn.Module): See
            :func:`~pyg_mmea.nn.structure_encoder`. (default: :obj:`"GCN"`)
        channels (int): Size of the entity vectors. (default: :obj:`300`)
        modality_channels (int): Size of the linear layers. (default: :obj:`100`)
        num_layers (int): Layers of the structure encoder. (default: :obj:`2`)
        modalities (list[str], optional): The modalities to use, of those that the data have.
            (default: :obj:`None`, which means all)
        dropout (float): Dropout probability of the embeddings. (default: :obj:`0.0`)
        missing (str): See :class:`~pyg_mmea.nn.WeightedConcat`; closest to the code is
            :obj:`"noise"`. (default: :obj:`"zero"`)

    Raises:
        ValueError: If a modality is asked for that the data lack, or :obj:`missing` is unknown.
    """

    def __init__(
        self,
        spec: PairSpec,
        structure_encoder: str | torch.nn.Module = "GCN",
        channels: int = 300,
        modality_channels: int = 100,
        num_layers: int = 2,
        modalities: Sequence[str] | None = None,
        dropout: float = 0.0,
        missing: str = "zero",
    ) -> None:
        super().__init__(
            spec,
            structure_encoder,
            channels,
            modality_channels,
            num_layers,
            modalities=modalities,
            dropout=dropout,
            missing=missing,
        )

    def join(self, out: dict[str, Tensor], masks: dict[str, Tensor]) -> dict[str, Tensor]:
        constant = {name: x.detach() for name, x in out.items()}
        return {**out, "joint": self.fusion(constant, masks)}
