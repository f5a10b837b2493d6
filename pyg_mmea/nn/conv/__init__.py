"""Graph layers that PyTorch Geometric lacks, or has in a form too large for many relations."""

from pyg_mmea.nn.conv.basis_rgcn_conv import BasisRGCNConv
from pyg_mmea.nn.conv.comp_gcn_conv import CompGCNConv
from pyg_mmea.nn.conv.diag_gat_conv import DiagGATConv
from pyg_mmea.nn.conv.relation_reflection_conv import RelationReflectionConv

__all__ = ["BasisRGCNConv", "CompGCNConv", "DiagGATConv", "RelationReflectionConv"]
