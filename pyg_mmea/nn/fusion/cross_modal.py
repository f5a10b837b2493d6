"""Attention among the modalities of an entity."""

import torch
from torch import Tensor
from torch.nn import GELU, Dropout, LayerNorm, Linear, MultiheadAttention, Sequential


class CrossModalTransformer(torch.nn.Module):
    r"""The layer of `"MEAformer: Multi-modal Entity Alignment Transformer for Meta Modality Hybrid"
    <https://arxiv.org/abs/2212.14454>`_: the modalities of one entity are the tokens of a
    transformer layer, and the attention that a token receives is how far it is trusted.

    With :math:`\beta^h_{i, nm}` the attention of head :math:`h` from modality :math:`n` to
    :math:`m`, entity :math:`i` weighs its modalities by

    .. math::
        \tilde{w}_i^m = \mathrm{softmax}_m \frac{1}{\sqrt{M H}} \sum_{h=1}^{H} \sum_{n=1}^{M}
        \beta^h_{i, nm}

    A modality that an entity lacks attends to nothing that counts, is attended to by nobody and
    has the weight zero; published code feeds random vectors to the attention instead. There is no
    position, so the order of modalities does not matter.

    Args:
        channels (int): Size :math:`D` of a token.
        heads (int, optional): Number of heads :math:`H`. (default: :obj:`1`)
        feedforward_channels (int, optional): Hidden size of the feed-forward network.
            (default: :obj:`400`)
        dropout (float, optional): Dropout probability of attention and of both residual branches.
            (default: :obj:`0.1`)

    Shapes:
        - **input:** tokens :math:`(N, M, D)`, mask :math:`(N, M)` *(bool)*, true where an entity
          has the modality
        - **output:** tokens :math:`(N, M, D)`, zero where absent; weights :math:`(N, M)`, summing
          to one for each entity that has any modality, else zero

    Raises:
        ValueError: If the number of heads does not divide the size of a token.
    """

    def __init__(
        self,
        channels: int,
        heads: int = 1,
        feedforward_channels: int = 400,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if heads < 1 or channels % heads != 0:
            raise ValueError(f"'heads' needs to divide the size {channels} (got {heads})")
        self.channels = channels
        self.heads = heads
        self.feedforward_channels = feedforward_channels
        self.attention = MultiheadAttention(channels, heads, dropout, batch_first=True)
        self.norm_attention = LayerNorm(channels)
        self.feedforward = Sequential(
            Linear(channels, feedforward_channels), GELU(), Linear(feedforward_channels, channels)
        )
        self.norm_feedforward = LayerNorm(channels)
        self.dropout = Dropout(dropout)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Resets all learnable parameters."""
        for layer in self.modules():
            if isinstance(layer, Linear):
                torch.nn.init.xavier_uniform_(layer.weight)
                torch.nn.init.zeros_(layer.bias)
            elif isinstance(layer, LayerNorm):
                layer.reset_parameters()
        torch.nn.init.xavier_uniform_(self.attention.in_proj_weight)
        torch.nn.init.zeros_(self.attention.in_proj_bias)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Lets the modalities of each entity attend to each other.

        Raises:
            ValueError: If the shapes do not fit.
        """
        if x.dim() != 3 or x.size(2) != self.channels or mask.size() != x.size()[:2]:
            raise ValueError(
                f"'x' needs to have shape [N, M, {self.channels}] and 'mask' [N, M] "
                f"(got {list(x.size())} and {list(mask.size())})"
            )
        # A softmax over nothing would be NaN: an entity without any modality attends to zeros.
        absent = ~mask & mask.any(dim=1, keepdim=True)
        out, beta = self.attention(
            x, x, x, key_padding_mask=absent, need_weights=True, average_attn_weights=False
        )  # [N, M, D], [N, H, M, M]
        hidden = self.norm_attention(x + self.dropout(out))
        hidden = self.norm_feedforward(hidden + self.dropout(self.feedforward(hidden)))
        received = (beta * mask[:, None, :, None]).sum(dim=(1, 2))  # [N, M]
        score = received * (x.size(1) * self.heads) ** -0.5
        score = score.masked_fill(~mask, torch.finfo(score.dtype).min)
        weight = score.softmax(dim=1) * mask
        return hidden.masked_fill(~mask.unsqueeze(-1), 0.0), weight

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.channels}, heads={self.heads}, "
            f"feedforward_channels={self.feedforward_channels})"
        )
