"""Encoders, one per modality."""

from pyg_mmea.nn.encoder.gat import GATEncoder
from pyg_mmea.nn.encoder.modality import BagEncoder, DenseEncoder, ModalityEncoder
from pyg_mmea.nn.encoder.propagation import LinkPropagation
from pyg_mmea.nn.encoder.relation_reflection import RelationReflectionEncoder
from pyg_mmea.nn.encoder.relational import CompGCNEncoder, RGCNEncoder
from pyg_mmea.nn.encoder.structure import (
    ParallelEncoder,
    StructureEncoder,
    structure_encoder,
)

__all__ = [
    "BagEncoder",
    "CompGCNEncoder",
    "DenseEncoder",
    "GATEncoder",
    "LinkPropagation",
    "ModalityEncoder",
    "ParallelEncoder",
    "RGCNEncoder",
    "RelationReflectionEncoder",
    "StructureEncoder",
    "structure_encoder",
]
