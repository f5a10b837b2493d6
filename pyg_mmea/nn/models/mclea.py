"""MCLEA."""

from collections.abc import Sequence

import torch

from pyg_mmea.nn.models.base import PairSpec
from pyg_mmea.nn.models.multimodal import ConcatModel


class MCLEA(ConcatModel):
    r"""The encoders of `"Multi-modal Contrastive Representation Learning for Entity Alignment"
    <https://arxiv.org/abs/2209.00891>`_ (COLING 2022): diagonal graph attention over learnable
    entity vectors, a linear layer for each other modality, and their
    :class:`~pyg_mmea.nn.WeightedConcat` with one learned weight a modality.

    Its objective is :class:`~pyg_mmea.loss.PCMEAObjective` with the weights of sampled softmax,
    mutual information and momentum contrast at zero. Different from paper and released code:

    * a modality that an entity lacks is a mask and zeros, where the code draws random vectors;
    * the weights of attention are :math:`\exp(\mathrm{LeakyReLU}(\cdot))` as in the GAT paper,
      where the code takes :math:`\exp(-\mathrm{LeakyReLU}(\cdot))`, and no :math:`N \times N`
      matrix is built;
    * texts are a modality like any other; the paper's name and character features are not built in.

    Args:
        spec (PairSpec): The sizes of the pair of graphs.
        structure_encoder (str or torch.nn.Module): See
            :func:`~pyg_mmea.nn.structure_encoder`. (default: :obj:`"diag_gat"`)
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
        structure_encoder: str | torch.nn.Module = "diag_gat",
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
