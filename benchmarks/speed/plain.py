"""What ours is compared with: graph attention in plain PyG, and one with a dense backward pass."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import ModuleList, Parameter, ParameterDict
from torch_geometric.data import HeteroData
from torch_geometric.nn import GATConv, MessagePassing
from torch_geometric.utils import add_self_loops, remove_self_loops, softmax, to_undirected

from pyg_mmea.typing import RELATION_EDGE, SIDES


class PlainDiagGATConv(MessagePassing):
    """What DiagGATConv computes, as one writes it in PyG: a message tensor [E, H, D]."""

    def __init__(self, channels: int, heads: int = 2, negative_slope: float = 0.2) -> None:
        super().__init__(aggr="add", node_dim=0)
        self.negative_slope = negative_slope
        self.weight = Parameter(torch.ones(heads, channels))
        self.att_dst = Parameter(torch.empty(heads, channels))
        self.att_src = Parameter(torch.empty(heads, channels))
        torch.nn.init.xavier_uniform_(self.att_dst)
        torch.nn.init.xavier_uniform_(self.att_src)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        edge_index = add_self_loops(remove_self_loops(edge_index)[0], num_nodes=x.size(0))[0]
        x = x.unsqueeze(1) * self.weight  # [N, H, D]
        alpha = (x * self.att_src).sum(dim=-1), (x * self.att_dst).sum(dim=-1)
        return self.propagate(edge_index, x=x, alpha=alpha).mean(dim=1)

    def message(self, x_j: Tensor, alpha_j: Tensor, alpha_i: Tensor, index: Tensor) -> Tensor:
        alpha = F.leaky_relu(alpha_j + alpha_i, self.negative_slope)
        return x_j * softmax(alpha, index).unsqueeze(-1)


def gat_conv(channels: int) -> GATConv:
    """The layer that PyG comes with, in the same shape."""
    return GATConv(channels, channels, heads=2, concat=False)


class PlainGAT(torch.nn.Module):
    """Entity vectors and layers of plain PyG, with the interface that objectives expect."""

    def __init__(self, data: HeteroData, conv: Any, channels: int, num_layers: int = 2) -> None:
        super().__init__()
        self.entity = ParameterDict()
        self.edges = {}
        for side in SIDES:
            num_nodes = data[side].num_nodes
            self.entity[side] = torch.randn(num_nodes, channels) * num_nodes**-0.5
            self.edges[side] = to_undirected(data[RELATION_EDGE[side]].edge_index)
        self.convs = ModuleList(conv(channels) for _ in range(num_layers))
        self.dropout = torch.nn.Dropout(0.5)
        self.out_channels = {"structure": channels, "joint": channels}

    def forward(self, nodes: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
        out = {}
        for side in SIDES:
            x = self.entity[side]
            for i, conv in enumerate(self.convs):
                x = conv(F.elu(x) if i > 0 else x, self.edges[side])
            x = self.dropout(x[nodes[side]])
            out[side] = {"structure": x, "joint": F.normalize(x, dim=1)}
        return out


class _DenseBackward(torch.autograd.Function):
    """Sparse times dense, whose gradient for the values goes through a dense N x N matrix."""

    @staticmethod
    def forward(ctx: Any, edge_index: Tensor, value: Tensor, x: Tensor) -> Tensor:
        size = (x.size(0), x.size(0))
        matrix = torch.sparse_coo_tensor(edge_index, value, size, check_invariants=False)
        ctx.save_for_backward(edge_index, matrix, x)
        return torch.sparse.mm(matrix, x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, Tensor]:
        edge_index, matrix, x = ctx.saved_tensors
        dense = grad @ x.t()  # [N, N], of which only the edges are read
        return None, dense[edge_index[0], edge_index[1]], torch.sparse.mm(matrix.t(), grad)


class DenseBackwardGATConv(PlainDiagGATConv):
    """The same layer with the cost of released code of the EVA family."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        edge_index = add_self_loops(remove_self_loops(edge_index)[0], num_nodes=x.size(0))[0]
        row, col = edge_index[1], edge_index[0]
        out = torch.zeros_like(x)
        for weight, att_dst, att_src in zip(self.weight, self.att_dst, self.att_src, strict=True):
            h = x * weight
            logit = (h @ att_dst)[row] + (h @ att_src)[col]
            alpha = softmax(F.leaky_relu(logit, self.negative_slope), row, num_nodes=x.size(0))
            out = out + _DenseBackward.apply(torch.stack([row, col]), alpha, h)
        return out / self.weight.size(0)
