"""Relational graph convolution with shared bases."""

import torch
from torch import Tensor
from torch.nn import Linear, Parameter

from pyg_mmea.nn.message_graph import message_graph
from pyg_mmea.utils.rows import take
from pyg_mmea.utils.sparse import spmm


class BasisRGCNConv(torch.nn.Module):
    r"""The relational layer of `"Modeling Relational Data with Graph Convolutional Networks"
    <https://arxiv.org/abs/1703.06103>`_ (R-GCN) with its basis decomposition:

    .. math::
        \mathbf{x}^{\prime}_i = \mathbf{W}_0 \mathbf{x}_i + \mathbf{b} + \sum_{b=1}^{B}
        \mathbf{V}_b \, \frac{1}{|\mathcal{N}(i)|} \sum_{(j, r) \in \mathcal{N}(i)} a_{rb} \,
        \mathbf{x}_j

    The weight of a relation, :math:`\sum_b a_{rb} \mathbf{V}_b`, is never built:
    :class:`torch_geometric.nn.RGCNConv` holds all :math:`R` of them and loops over relations,
    which thousands of relations do not allow. Here each basis is one sparse product, so parameters
    are :math:`O(R B + B D^2)` and memory is :math:`O(E + N D)`. All neighbours are averaged
    together, the simplest of the paper's normalisations.

    Args:
        channels (int): Size :math:`D` of input and output.
        num_relations (int): Number of relations :math:`R`, inverse ones included.
        num_bases (int, optional): Number of bases :math:`B`. (default: :obj:`4`)

    Shapes:
        - **input:** node features :math:`(N, D)`, edge indices :math:`(2, E)`, edge types
          :math:`(E)`
        - **output:** :math:`(N, D)`

    Raises:
        ValueError: If there is no basis.
    """

    def __init__(self, channels: int, num_relations: int, num_bases: int = 4) -> None:
        super().__init__()
        if num_bases < 1:
            raise ValueError(f"'num_bases' needs to be at least 1 (got {num_bases})")
        self.channels = channels
        self.num_relations = num_relations
        self.num_bases = num_bases
        self.coefficient = Parameter(torch.empty(num_bases, num_relations))
        self.basis = Parameter(torch.empty(num_bases, channels, channels))
        self.lin = Linear(channels, channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Resets all learnable parameters."""
        torch.nn.init.normal_(self.coefficient)
        for basis in self.basis:
            torch.nn.init.xavier_uniform_(basis)
        self.lin.reset_parameters()

    def forward(
        self, x: Tensor, edge_index: Tensor, edge_type: Tensor, nodes: Tensor | None = None
    ) -> Tensor:
        """Passes messages along the edges, each (sender, relation) once a receiver.

        Args:
            x (torch.Tensor): Node features.
            edge_index (torch.Tensor): Sending and receiving nodes.
            edge_type (torch.Tensor): Relations.
            nodes (torch.Tensor, optional): Distinct nodes to compute the output of, which then has
                their rows only. (default: :obj:`None`, which means all)
        """
        graph = message_graph(edge_index, edge_type, x.size(0), self.num_relations).at(nodes)
        mean = graph.mean.to(x.dtype)
        out = self.lin(take(x, nodes))
        for coefficient, basis in zip(self.coefficient, self.basis, strict=True):
            value = coefficient.index_select(0, graph.edge_type) * mean  # [E]
            out = out + spmm(graph.neighbors, value, x) @ basis
        return out

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.channels}, num_relations={self.num_relations}, "
            f"num_bases={self.num_bases})"
        )
