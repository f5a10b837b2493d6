"""Layers, encoders, fusion and models; plain PyTorch, usable without the trainer."""

from pyg_mmea.nn.attention import AdaptorSelfAttention, BagTextCrossAttention
from pyg_mmea.nn.conv import BasisRGCNConv, CompGCNConv, DiagGATConv, RelationReflectionConv
from pyg_mmea.nn.encoder import (
    BagEncoder,
    CompGCNEncoder,
    DenseEncoder,
    GATEncoder,
    LinkPropagation,
    ModalityEncoder,
    ParallelEncoder,
    RelationReflectionEncoder,
    RGCNEncoder,
    StructureEncoder,
    structure_encoder,
)
from pyg_mmea.nn.fusion import CrossModalTransformer, WeightedConcat
from pyg_mmea.nn.models import (
    EVA,
    MCLEA,
    PCMEA,
    AlignmentModel,
    ConcatModel,
    MEAformer,
    MultiModalModel,
    PairSpec,
)
from pyg_mmea.nn.momentum import MomentumEncoder

__all__ = [
    "EVA",
    "MCLEA",
    "PCMEA",
    "AdaptorSelfAttention",
    "AlignmentModel",
    "BagEncoder",
    "BagTextCrossAttention",
    "BasisRGCNConv",
    "CompGCNConv",
    "CompGCNEncoder",
    "ConcatModel",
    "CrossModalTransformer",
    "DenseEncoder",
    "DiagGATConv",
    "GATEncoder",
    "LinkPropagation",
    "MEAformer",
    "ModalityEncoder",
    "MomentumEncoder",
    "MultiModalModel",
    "PairSpec",
    "ParallelEncoder",
    "RGCNEncoder",
    "RelationReflectionConv",
    "RelationReflectionEncoder",
    "StructureEncoder",
    "WeightedConcat",
    "structure_encoder",
]
