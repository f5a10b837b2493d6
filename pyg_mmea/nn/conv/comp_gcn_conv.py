"""Graph convolution over compositions of nodes and relations."""

import torch
from torch import Tensor
from torch.nn import Linear

from pyg_mmea.nn.message_graph import message_graph
from pyg_mmea.utils.rows import take
from pyg_mmea.utils.sparse import spmm


class CompGCNConv(torch.nn.Module):
    r"""The layer of `"Composition-based Multi-Relational Graph Convolutional Networks"
    <https://arxiv.org/abs/1911.03082>`_ (CompGCN) with subtraction as the composition:

    .. math::
        \mathbf{x}^{\prime}_i = \mathbf{W}_0 \mathbf{x}_i + \mathbf{b} +
        \frac{1}{|\mathcal{N}(i)|} \sum_{(j, r) \in \mathcal{N}(i)} \mathbf{W}_{\lambda(r)}
        \left( \mathbf{x}_j - \mathbf{r} \right)

    where :math:`\lambda(r)` tells relations as written from inverse ones, the second half of all.
    A difference sums up in two sparse products, :math:`\mathbf{A} \mathbf{X} - \mathbf{B}
    \mathbf{R}`, so there is no :math:`(E, D)` message tensor; the paper's other compositions have
    none such form. Unlike in the paper, a loop has no relation of its own: the bias takes its part.
    The map of relations from layer to layer is in :class:`~pyg_mmea.nn.CompGCNEncoder`.

    Args:
        channels (int): Size :math:`D` of nodes and relations.

    Shapes:
        - **input:** node features :math:`(N, D)`, relation embeddings :math:`(R, D)`, edge indices
          :math:`(2, E)`, edge types :math:`(E)`
        - **output:** node features :math:`(N, D)`
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.lin = Linear(channels, channels)
        self.lin_written = Linear(channels, channels, bias=False)
        self.lin_inverse = Linear(channels, channels, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Resets all learnable parameters."""
        for lin in (self.lin, self.lin_written, self.lin_inverse):
            torch.nn.init.xavier_uniform_(lin.weight)
        torch.nn.init.zeros_(self.lin.bias)

    def forward(
        self,
        x: Tensor,
        relation: Tensor,
        edge_index: Tensor,
        edge_type: Tensor,
        nodes: Tensor | None = None,
    ) -> Tensor:
        """Passes messages along the edges, each (sender, relation) once a receiver.

        Args:
            x (torch.Tensor): Node features.
            relation (torch.Tensor): Relation embeddings.
            edge_index (torch.Tensor): Sending and receiving nodes.
            edge_type (torch.Tensor): Relations.
            nodes (torch.Tensor, optional): Distinct nodes to compute the output of, which then has
                their rows only. (default: :obj:`None`, which means all)
        """
        graph = message_graph(edge_index, edge_type, x.size(0), relation.size(0)).at(nodes)
        mean = graph.mean.to(x.dtype)
        inverse = graph.edge_type >= relation.size(0) // 2
        out = self.lin(take(x, nodes))
        for lin, which in ((self.lin_written, ~inverse), (self.lin_inverse, inverse)):
            value = mean * which  # [E]
            along = spmm(graph.neighbors, value, x) - spmm(graph.relations, value, relation)
            out = out + lin(along)
        return out

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.channels})"
