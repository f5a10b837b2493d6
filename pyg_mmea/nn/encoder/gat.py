"""Graph attention with diagonal weights."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import ModuleList

from pyg_mmea.nn.attention import AdaptorSelfAttention
from pyg_mmea.nn.conv import DiagGATConv
from pyg_mmea.utils.rows import take


class GATEncoder(torch.nn.Module):
    r"""The structure encoder of `"Pseudo-Label Calibration Semi-supervised Multi-Modal Entity
    Alignment" <https://arxiv.org/abs/2403.01203>`_: graph attention with diagonal weights, then
    the adaptor self-attention module (ASM).

    The self-attention attends over the hops of one entity, that is over the input and the output
    of every layer, :math:`L + 1` tokens. It can so weigh near against far neighbourhoods entity
    by entity, and costs :math:`O(N L^2)`: nothing is :math:`N \times N`. The released code takes
    the softmax over an axis of size one, so its attention is a constant.

    Args:
        channels (int): Size of input and output. (paper: 300)
        num_layers (int, optional): Number of layers :math:`L`. (default: :obj:`2`)
        heads (int, optional): Heads of the graph attention and of the self-attention.
            (default: :obj:`2`)
        dropout (float, optional): Dropout probability between layers. (default: :obj:`0.0`)
        adaptor (bool, optional): If set to :obj:`False`, the output is that of the last layer, as
            in MCLEA and MEAformer. (default: :obj:`True`)

    Shapes:
        - **input:** entity vectors :math:`(N, D)`, edge indices :math:`(2, E)`
        - **output:** :math:`(N, D)`
    """

    def __init__(
        self,
        channels: int,
        num_layers: int = 2,
        heads: int = 2,
        dropout: float = 0.0,
        adaptor: bool = True,
    ) -> None:
        super().__init__()
        self.channels = self.out_channels = channels
        self.num_layers = num_layers
        self.dropout = dropout
        self.convs = ModuleList(DiagGATConv(channels, heads) for _ in range(num_layers))
        self.attention: AdaptorSelfAttention | None = None
        if not adaptor:
            return
        small = max(channels // 8 // heads, 1) * heads
        self.attention = AdaptorSelfAttention(
            channels, heads, hidden_channels=small, bottleneck_channels=small
        )

    def reset_parameters(self) -> None:
        """Resets all learnable parameters."""
        for conv in self.convs:
            conv.reset_parameters()  # type: ignore[operator]
        if self.attention is not None:
            self.attention.reset_parameters()

    def forward(self, x: Tensor, edge_index: Tensor, nodes: Tensor | None = None) -> Tensor:
        """Embeds all entities, or only :obj:`nodes`."""
        hops = [take(x, nodes)]
        for conv in self.convs[:-1]:
            x = F.dropout(F.elu(conv(x, edge_index)), self.dropout, self.training)
            hops.append(take(x, nodes))
        hops += [conv(x, edge_index, nodes) for conv in self.convs[-1:]]
        if self.attention is None:
            return hops[-1]
        return self.attention(torch.stack(hops, dim=1))[:, -1]  # [N, L + 1, D] -> [N, D]

    def __repr__(self) -> str:
        adaptor = "" if self.attention is not None else ", adaptor=False"
        return f"{self.__class__.__name__}({self.channels}, num_layers={self.num_layers}{adaptor})"
