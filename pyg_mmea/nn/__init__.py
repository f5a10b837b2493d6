"""Layers, encoders, fusion and models; plain PyTorch, usable without the trainer."""

from pyg_mmea.nn.attention import AdaptorSelfAttention, BagTextCrossAttention
from pyg_mmea.nn.conv import DiagGATConv, RelationReflectionConv
from pyg_mmea.nn.encoder import (
    BagEncoder,
    DenseEncoder,
    GATEncoder,
    LinkPropagation,
    ModalityEncoder,
    RelationReflectionEncoder,
    StructureEncoder,
    structure_encoder,
)
from pyg_mmea.nn.fusion import WeightedConcat
from pyg_mmea.nn.models import PCMEA, AlignmentModel, PairSpec
from pyg_mmea.nn.momentum import MomentumEncoder

__all__ = [
    "PCMEA",
    "AdaptorSelfAttention",
    "AlignmentModel",
    "BagEncoder",
    "BagTextCrossAttention",
    "DenseEncoder",
    "DiagGATConv",
    "GATEncoder",
    "LinkPropagation",
    "ModalityEncoder",
    "MomentumEncoder",
    "PairSpec",
    "RelationReflectionConv",
    "RelationReflectionEncoder",
    "StructureEncoder",
    "WeightedConcat",
    "structure_encoder",
]
