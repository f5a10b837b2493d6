"""PCMEA."""

from collections.abc import Sequence

import torch

from pyg_mmea.nn.models.base import PairSpec
from pyg_mmea.nn.models.multimodal import ConcatModel


class PCMEA(ConcatModel):
    r"""The encoders of `"Pseudo-Label Calibration Semi-supervised Multi-Modal Entity Alignment"
    <https://arxiv.org/abs/2403.01203>`_ (AAAI 2024): one per modality, and their weighted
    concatenation.

    * structure: learnable entity vectors and a structure encoder;
    * relations, attributes: linear layer on the bag, which attends to the verbalised triples where
      text features exist;
    * pictures, names, texts whose bag is not used, and modalities of one's own: linear layer on
      dense features;
    * joint: :class:`~pyg_mmea.nn.WeightedConcat`.

    Two things are ours, and off in the paper's form (:obj:`structure_encoder="gat"`,
    :obj:`propagate=False`): the structure encoder, relation reflection and graph attention side by
    side, which err in different places; and that the embedding of every modality is propagated
    over the graph (as in `"Towards Semantic Consistency: Dirichlet Energy Driven Robust
    Multi-Modal Entity Alignment" <https://arxiv.org/abs/2401.17859>`_), so that an entity without
    a picture has those of its neighbours.

    Args:
        spec (PairSpec): The sizes of the pair of graphs.
        structure_encoder (str or torch.nn.Module): See
            :func:`~pyg_mmea.nn.structure_encoder`.
            (default: :obj:`"relation_reflection+diag_gat"`)
        channels (int): Size of the entity vectors. (default: :obj:`96`)
        modality_channels (int): Size of the linear layers. (default: :obj:`96`)
        num_layers (int): Layers of the structure encoder and of the propagation.
            (default: :obj:`2`)
        propagate (bool): If set to :obj:`False`, modalities other than structure stay as they
            are. (default: :obj:`True`)
        modalities (list[str], optional): The modalities to use, of those that the data have.
            (default: :obj:`None`, which means all)
        dropout (float): Dropout probability of the embeddings. (default: :obj:`0.5`)
        missing (str): What :class:`~pyg_mmea.nn.WeightedConcat` does about missing
            modalities; with :obj:`propagate`, nothing but :obj:`"zero"`. (default: :obj:`"zero"`)

    Raises:
        ValueError: If a modality is asked for that the data lack, or :obj:`missing` is unknown, or
            not :obj:`"zero"` where modalities are propagated.
    """

    def __init__(
        self,
        spec: PairSpec,
        structure_encoder: str | torch.nn.Module = "relation_reflection+diag_gat",
        channels: int = 96,
        modality_channels: int = 96,
        num_layers: int = 2,
        propagate: bool = True,
        modalities: Sequence[str] | None = None,
        dropout: float = 0.5,
        missing: str = "zero",
    ) -> None:
        if propagate and missing != "zero":
            raise ValueError(
                f"'missing' needs to be 'zero' where modalities are propagated, which fills in "
                f"what neighbors have (got '{missing}')"
            )
        super().__init__(
            spec,
            structure_encoder,
            channels,
            modality_channels,
            num_layers,
            propagate,
            modalities,
            dropout,
            cross_attention=True,
            missing=missing,
        )
