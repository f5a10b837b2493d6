"""Graph layers that PyTorch Geometric lacks."""

from pyg_mmea.nn.conv.diag_gat_conv import DiagGATConv
from pyg_mmea.nn.conv.relation_reflection_conv import RelationReflectionConv

__all__ = ["DiagGATConv", "RelationReflectionConv"]
