"""Relation-aware attention over reflected neighbours."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Parameter

from pyg_mmea.nn.message_graph import message_graph
from pyg_mmea.utils.sparse import edge_softmax, sddmm, spmm


class RelationReflectionConv(torch.nn.Module):
    r"""The relational reflection layer of `"Relational Reflection Entity Alignment"
    <https://arxiv.org/abs/2008.07962>`_ with the attention of `"Boosting the Speed of Entity
    Alignment 10x: Dual Attention Matching Network with Normalized Hard Sample Mining"
    <https://arxiv.org/abs/2103.15452>`_ (Dual-AMN, eq. 4-5):

    .. math::
        \mathbf{x}^{\prime}_i = \tanh \sum_{(j, r) \in \mathcal{N}(i)} \alpha_{ir}
        \left( \mathbf{x}_j - 2 \langle \mathbf{x}_j, \mathbf{r} \rangle \mathbf{r} \right), \qquad
        \alpha_{ir} = \mathrm{softmax}_{(j, r)} \, \mathbf{a}^\top \mathbf{r}

    with relation embeddings :math:`\mathbf{r}` of length one, so that each relation reflects its
    neighbours and keeps their norm. The sum is computed as
    :math:`\mathbf{A} \mathbf{X} - 2 \mathbf{B} \mathbf{R}` with a sparse :math:`N \times N` and a
    sparse :math:`N \times R` matrix; there is no :math:`(E, D)` message tensor. Unlike the released
    code, parallel edges of different relations stay apart.

    Args:
        channels (int): Size of input, output and relation embeddings.

    Shapes:
        - **input:** node features :math:`(N, D)`, relation embeddings :math:`(R, D)`, edge indices
          :math:`(2, E)`, edge types :math:`(E)`
        - **output:** :math:`(N, D)`; nodes without neighbours get zeros.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.att = Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Resets all learnable parameters."""
        torch.nn.init.normal_(self.att, std=self.channels**-0.5)

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
        relation = F.normalize(relation, dim=-1)
        logit = (relation @ self.att).index_select(0, graph.edge_type)  # [E]
        alpha = edge_softmax(graph.relations, logit)
        along = sddmm(graph.senders, x, relation).index_select(0, graph.sender_index)  # [E]
        reflected = spmm(graph.relations, -2 * alpha * along, relation)
        return spmm(graph.neighbors, alpha, x).add_(reflected).tanh_()

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.channels})"
