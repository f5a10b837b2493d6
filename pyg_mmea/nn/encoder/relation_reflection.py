"""Relation reflection: a part of the default encoder of the structure, and the propagation of
features."""

import torch
from torch import Tensor
from torch.nn import Linear, ModuleList, Parameter

from pyg_mmea.nn.conv import RelationReflectionConv
from pyg_mmea.nn.message_graph import message_graph
from pyg_mmea.utils.rows import by_rows, take
from pyg_mmea.utils.similarity import unit_rows
from pyg_mmea.utils.sparse import spmm


class RelationReflectionEncoder(torch.nn.Module):
    r"""The encoder of `"Boosting the Speed of Entity Alignment 10x: Dual Attention Matching Network
    with Normalized Hard Sample Mining" <https://arxiv.org/abs/2103.15452>`_ (Dual-AMN), for any
    features of entities.

    Input and layer outputs are concatenated, :math:`\mathbf{h}_i = \mathbf{x}^{(0)}_i \Vert \dots
    \Vert \mathbf{x}^{(L)}_i`, and compared with proxy vectors :math:`\mathbf{q}` that both graphs
    share (eq. 6-9), which lets entities of one graph feel the other one without a link:

    .. math::
        \mathbf{h}^p_i = \mathbf{h}_i - \sum_k \beta_{ik} \mathbf{q}_k, \quad
        \beta_{ik} = \mathrm{softmax}_k \cos(\mathbf{h}_i, \mathbf{q}_k), \quad
        \mathbf{g}_i = \sigma(\mathbf{W} \mathbf{h}^p_i + \mathbf{b}), \quad
        \mathbf{h}^{\prime}_i = \mathbf{g}_i \odot \mathbf{h}_i +
        (1 - \mathbf{g}_i) \odot \mathbf{h}^p_i

    An entity that nothing is known of, neither its input nor any edge, stays zero.

    Args:
        channels (int): Size :math:`D` of the input.
        num_relations (int): Number of relations, inverse ones included.
        num_layers (int, optional): Number of layers :math:`L`. (default: :obj:`2`)
        num_proxies (int, optional): Number of proxy vectors; zero leaves the gate out.
            (default: :obj:`64`)
        smooth_input (bool, optional): If set to :obj:`True`, the input is replaced by the tanh
            of the mean over the neighbours, so that entities that have a vector of their own cannot
            be told apart by it. (default: :obj:`False`)

    Shapes:
        - **input:** features :math:`(N, D)`, edge indices :math:`(2, E)`, edge types :math:`(E)`
        - **output:** :math:`(N, (L + 1) D)`
    """

    def __init__(
        self,
        channels: int,
        num_relations: int,
        num_layers: int = 2,
        num_proxies: int = 64,
        smooth_input: bool = False,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.num_relations = num_relations
        self.num_layers = num_layers
        self.num_proxies = num_proxies
        self.smooth_input = smooth_input
        self.num_parts = num_layers + 1
        self.out_channels = channels * self.num_parts
        self.relation = Parameter(torch.empty(num_relations, channels))
        self.convs = ModuleList(RelationReflectionConv(channels) for _ in range(num_layers))
        if num_proxies > 0:
            self.proxy = Parameter(torch.empty(num_proxies, self.out_channels))
            self.gate = Linear(self.out_channels, self.out_channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Resets all learnable parameters."""
        torch.nn.init.xavier_uniform_(self.relation)
        for conv in self.convs:
            conv.reset_parameters()  # type: ignore[operator]
        if self.num_proxies > 0:
            torch.nn.init.xavier_uniform_(self.proxy)
            self.gate.reset_parameters()

    def forward(
        self, x: Tensor, edge_index: Tensor, edge_type: Tensor, nodes: Tensor | None = None
    ) -> Tensor:
        """Embeds all entities, or only :obj:`nodes`."""
        if self.smooth_input:
            graph = message_graph(edge_index, edge_type, x.size(0), self.num_relations)
            x = torch.tanh(spmm(graph.neighbors, graph.mean.to(x.dtype), x))
        hops = [take(x, nodes)]
        for conv in self.convs[:-1]:
            x = conv(x, self.relation, edge_index, edge_type)
            hops.append(take(x, nodes))
        # Nobody else needs the output of the last layer.
        hops += [conv(x, self.relation, edge_index, edge_type, nodes) for conv in self.convs[-1:]]
        return by_rows(self._join, *hops)

    def _join(self, *hops: Tensor) -> Tensor:
        out = torch.cat(hops, dim=1)  # [N, (L + 1) D]
        if self.num_proxies == 0:
            return out
        score = unit_rows(out) @ unit_rows(self.proxy).t()  # [N, P]
        apart = out - score.softmax(dim=-1) @ self.proxy
        gate = torch.sigmoid(self.gate(apart))
        # Proxies alone would make all entities alike that nothing is known of.
        known = out.detach().any(dim=1, keepdim=True)
        return (apart + gate * (out - apart)).masked_fill(~known, 0.0)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.channels}, num_relations={self.num_relations}, "
            f"num_layers={self.num_layers})"
        )
