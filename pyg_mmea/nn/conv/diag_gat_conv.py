"""Graph attention with diagonal weights."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Parameter

from pyg_mmea.nn.message_graph import message_graph
from pyg_mmea.utils.rows import take
from pyg_mmea.utils.sparse import edge_softmax, spmm


class DiagGATConv(torch.nn.Module):
    r"""The graph attention of the EVA family, `"Graph Attention Networks"
    <https://arxiv.org/abs/1710.10903>`_ with a diagonal weight matrix:

    .. math::
        \mathbf{x}^{\prime}_i = \frac{1}{H} \sum_{h=1}^{H} \sum_{j \in \mathcal{N}(i) \cup \{i\}}
        \alpha^h_{ij} \, \mathbf{w}^h \odot \mathbf{x}_j, \qquad
        \alpha^h_{ij} = \mathrm{softmax}_j \, \mathrm{LeakyReLU} \left(
        \mathbf{a}^{h\top}_1 (\mathbf{w}^h \odot \mathbf{x}_i) +
        \mathbf{a}^{h\top}_2 (\mathbf{w}^h \odot \mathbf{x}_j) \right)

    Released implementations build a dense :math:`N \times N` matrix in the backward pass; this
    one is a sparse product in memory :math:`O(E)`.

    Args:
        channels (int): Size of input and output.
        heads (int, optional): Number of heads :math:`H`, which are averaged.
            (default: :obj:`2`)
        negative_slope (float, optional): Of the LeakyReLU. (default: :obj:`0.2`)
        dropout (float, optional): Dropout probability of the attention weights.
            (default: :obj:`0.0`)

    Shapes:
        - **input:** node features :math:`(N, D)`, edge indices :math:`(2, E)`
        - **output:** :math:`(N, D)`
    """

    def __init__(
        self, channels: int, heads: int = 2, negative_slope: float = 0.2, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.channels = channels
        self.heads = heads
        self.negative_slope = negative_slope
        self.dropout = dropout
        self.weight = Parameter(torch.empty(heads, channels))
        self.att_dst = Parameter(torch.empty(heads, channels))
        self.att_src = Parameter(torch.empty(heads, channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Resets all learnable parameters."""
        torch.nn.init.ones_(self.weight)
        torch.nn.init.xavier_uniform_(self.att_dst)
        torch.nn.init.xavier_uniform_(self.att_src)

    def forward(self, x: Tensor, edge_index: Tensor, nodes: Tensor | None = None) -> Tensor:
        """Passes messages along the edges, of which parallel ones count once.

        Args:
            x (torch.Tensor): Node features.
            edge_index (torch.Tensor): Sending and receiving nodes.
            nodes (torch.Tensor, optional): Distinct nodes to compute the output of, which then has
                their rows only. (default: :obj:`None`, which means all)
        """
        pattern = message_graph(edge_index, None, x.size(0)).looped_at(nodes)
        receivers = take(x, nodes)
        dst = receivers @ (self.weight * self.att_dst).t()  # [K, H]
        src = x @ (self.weight * self.att_src).t()  # [N, H]
        out = torch.zeros_like(receivers)
        for head, weight in enumerate(self.weight):
            logit = dst[:, head].index_select(0, pattern.row)
            logit = logit + src[:, head].index_select(0, pattern.col)  # [E]
            alpha = edge_softmax(pattern, F.leaky_relu(logit, self.negative_slope))
            alpha = F.dropout(alpha, self.dropout, self.training)
            out = torch.addcmul(out, spmm(pattern, alpha, x), weight / self.heads)
        return out

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.channels}, heads={self.heads})"
