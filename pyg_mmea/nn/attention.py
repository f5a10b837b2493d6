"""Attention within an entity: over its own tokens, or from its bag to its texts."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import LayerNorm, Linear, ReLU, Sequential


class AdaptorSelfAttention(torch.nn.Module):
    r"""The adaptor self-attention module (ASM) of `"Pseudo-Label Calibration Semi-supervised
    Multi-Modal Entity Alignment" <https://arxiv.org/abs/2403.01203>`_ (PCMEA): multi-head
    self-attention and a bottleneck adaptor, both residual.

    .. math::
        \mathbf{H}'_i &= \mathbf{H}_i + \mathrm{MHSA}(\mathbf{H}_i) \\
        \mathrm{ASM}(\mathbf{H}_i) &= \mathbf{H}'_i +
        \mathbf{W}_{up} \, \mathrm{ReLU}(\mathbf{W}_{down} \mathbf{H}'_i)

    It attends over the :math:`T` tokens :math:`\mathbf{H}_i` *of one entity*, such as the outputs
    of the layers of a structure encoder (the entity seen from 0, 1, ..., hops), so every entity
    weighs its own neighbourhood sizes. Time and memory are :math:`O(N T^2)` with a small
    :math:`T`, and nothing is :math:`N \times N`. The released code attends over an axis of size
    one, where a softmax is constant.

    Queries and keys are made of layer-normalised tokens, so that attention does not go flat when
    embeddings are small; values are made of the tokens as they are.

    Args:
        channels (int): Size :math:`D` of a token.
        heads (int, optional): Number of heads. (default: :obj:`2`)
        hidden_channels (int, optional): Size of queries, keys and values over all heads.
            (default: :obj:`None`, which means :obj:`channels`)
        bottleneck_channels (int, optional): Size of the bottleneck of the adaptor.
            (default: :obj:`None`, which means a quarter of :obj:`channels`)
        dropout (float, optional): Dropout probability of attention weights. (default: :obj:`0.0`)

    Shapes:
        - **input:** :math:`(N, T, D)`
        - **output:** :math:`(N, T, D)`

    Raises:
        ValueError: If the number of heads does not divide the hidden size.
    """

    def __init__(
        self,
        channels: int,
        heads: int = 2,
        hidden_channels: int | None = None,
        bottleneck_channels: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        hidden_channels = hidden_channels or channels
        _check_heads(heads, hidden_channels)
        self.channels = channels
        self.heads = heads
        self.dropout = dropout
        self.norm = LayerNorm(channels)
        self.lin_query = Linear(channels, hidden_channels, bias=False)
        self.lin_key = Linear(channels, hidden_channels, bias=False)
        self.lin_value = Linear(channels, hidden_channels)
        self.lin_out = Linear(hidden_channels, channels)
        self.adaptor = _adaptor(channels, bottleneck_channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Resets all learnable parameters."""
        _reset(self)

    def attention(self, x: Tensor) -> Tensor:
        """Returns how much each token attends to each, ``[N, heads, T, T]``; rows sum to one."""
        if x.dim() != 3 or x.size(-1) != self.channels:
            raise ValueError(
                f"'x' needs to have shape [N, T, {self.channels}] (got {list(x.size())})"
            )
        normed = self.norm(x)
        query = _split(self.lin_query(normed), self.heads)  # [N, H, T, C]
        key = _split(self.lin_key(normed), self.heads)  # [N, H, T, C]
        return (query @ key.mT * query.size(-1) ** -0.5).softmax(dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        """Lets the tokens of each entity attend to each other.

        Raises:
            ValueError: If the input does not have shape :math:`(N, T, D)`.
        """
        weight = F.dropout(self.attention(x), self.dropout, self.training)  # [N, H, T, T]
        value = _split(self.lin_value(x), self.heads)  # [N, H, T, C]
        x = x + self.lin_out(_merge(weight @ value))
        return x + self.adaptor(x)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.channels}, heads={self.heads})"


class BagTextCrossAttention(torch.nn.Module):
    r"""Lets the embedding of a bag (of relations or attributes) attend to the embedded texts of
    the same entity, as in `"Pseudo-Label Calibration Semi-supervised Multi-Modal Entity Alignment"
    <https://arxiv.org/abs/2403.01203>`_ (PCMEA); attention and MLP are residual.

    The bag is one more key, with the value zero: what it attends to itself is not taken from the
    texts. So the weights tell something even if an entity has a single text, where a softmax over
    texts alone would always be one. An entity without any text keeps its bag as it is.

    Queries and keys are made of layer-normalised embeddings, as in :class:`AdaptorSelfAttention`.

    Args:
        channels (int): Size :math:`D` of the bag embedding.
        text_channels (int): Size :math:`D_t` of a text.
        heads (int, optional): Number of heads. (default: :obj:`2`)
        hidden_channels (int, optional): Size of queries, keys and values over all heads.
            (default: :obj:`None`, which means :obj:`channels`)
        bottleneck_channels (int, optional): Hidden size of the MLP. (default: :obj:`None`, which
            means a quarter of :obj:`channels`)
        dropout (float, optional): Dropout probability of attention weights. (default: :obj:`0.0`)

    Shapes:
        - **input:** bag :math:`(N, D)`; texts :math:`(N, T, D_t)`, or :math:`(N, D_t)` for one
          each; mask :math:`(N, T)` or :math:`(N)` *(bool)*, true where there is a text
        - **output:** :math:`(N, D)`

    Raises:
        ValueError: If the number of heads does not divide the hidden size.
    """

    def __init__(
        self,
        channels: int,
        text_channels: int,
        heads: int = 2,
        hidden_channels: int | None = None,
        bottleneck_channels: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        hidden_channels = hidden_channels or channels
        _check_heads(heads, hidden_channels)
        self.channels = channels
        self.text_channels = text_channels
        self.heads = heads
        self.dropout = dropout
        self.norm = LayerNorm(channels)
        self.norm_text = LayerNorm(text_channels)
        self.lin_query = Linear(channels, hidden_channels, bias=False)
        self.lin_key = Linear(text_channels, hidden_channels, bias=False)
        self.lin_self = Linear(channels, hidden_channels, bias=False)
        self.lin_value = Linear(text_channels, hidden_channels)
        self.lin_out = Linear(hidden_channels, channels)
        self.adaptor = _adaptor(channels, bottleneck_channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Resets all learnable parameters."""
        _reset(self)

    def attention(self, bag: Tensor, text: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns how much each bag attends to each text, ``[N, heads, T]``.

        What is missing to one is the bag's attention to itself.
        """
        return self._attention(bag, *self._check(bag, text, mask))

    def _attention(self, bag: Tensor, text: Tensor, mask: Tensor) -> Tensor:
        normed = self.norm(bag).unsqueeze(1)  # [N, 1, D]
        query = _split(self.lin_query(normed), self.heads)  # [N, H, 1, C]
        keys = torch.cat([self.lin_self(normed), self.lin_key(self.norm_text(text))], dim=1)
        score = query @ _split(keys, self.heads).mT * query.size(-1) ** -0.5  # [N, H, 1, 1 + T]
        absent = F.pad(~mask, (1, 0), value=False)  # [N, 1 + T]; the bag is always there
        score = score.masked_fill(absent[:, None, None, :], torch.finfo(score.dtype).min)
        return score.softmax(dim=-1)[:, :, 0, 1:]

    def forward(self, bag: Tensor, text: Tensor, mask: Tensor | None = None) -> Tensor:
        """Adds to each bag what its texts tell.

        Args:
            bag (torch.Tensor): Embedded bags.
            text (torch.Tensor): Texts.
            mask (torch.Tensor, optional): True where there is a text.
                (default: :obj:`None`, which means everywhere)

        Raises:
            ValueError: If the shapes do not fit.
        """
        text, mask = self._check(bag, text, mask)
        weight = F.dropout(self._attention(bag, text, mask), self.dropout, self.training)
        value = _split(self.lin_value(text), self.heads)  # [N, H, T, C]
        out = bag + self.lin_out(_merge(weight.unsqueeze(2) @ value).squeeze(1))  # [N, D]
        out = out + self.adaptor(out)
        return torch.where(mask.any(dim=1, keepdim=True), out, bag)

    def _check(self, bag: Tensor, text: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Returns texts ``[N, T, D_t]``, zero where absent, and their mask ``[N, T]``."""
        text = text.unsqueeze(1) if text.dim() == 2 else text
        if (
            bag.dim() != 2
            or bag.size(1) != self.channels
            or text.dim() != 3
            or (text.size(0), text.size(2)) != (bag.size(0), self.text_channels)
        ):
            raise ValueError(
                f"'bag' needs to have shape [N, {self.channels}] and 'text' "
                f"[N, T, {self.text_channels}] (got {list(bag.size())} and {list(text.size())})"
            )
        if mask is None:
            return text, text.new_ones(text.size()[:2], dtype=torch.bool)
        mask = mask.unsqueeze(1) if mask.dim() == 1 else mask
        if mask.size() != text.size()[:2]:
            raise ValueError(
                f"'mask' needs to have shape {list(text.size()[:2])} (got {list(mask.size())})"
            )
        return text.masked_fill(~mask.unsqueeze(-1), 0.0), mask

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.channels}, {self.text_channels}, heads={self.heads})"
        )


def _check_heads(heads: int, hidden_channels: int) -> None:
    if heads < 1 or hidden_channels % heads != 0:
        raise ValueError(f"'heads' needs to divide the hidden size {hidden_channels} (got {heads})")


def _adaptor(channels: int, bottleneck_channels: int | None) -> Sequential:
    bottleneck_channels = bottleneck_channels or max(channels // 4, 1)
    return Sequential(
        Linear(channels, bottleneck_channels), ReLU(), Linear(bottleneck_channels, channels)
    )


def _reset(module: torch.nn.Module) -> None:
    for layer in module.modules():
        if isinstance(layer, LayerNorm):
            layer.reset_parameters()
        elif isinstance(layer, Linear):
            torch.nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                torch.nn.init.zeros_(layer.bias)


def _split(x: Tensor, heads: int) -> Tensor:
    """[N, T, heads * C] -> [N, heads, T, C]"""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _merge(x: Tensor) -> Tensor:
    """[N, heads, T, C] -> [N, T, heads * C]"""
    return x.transpose(1, 2).flatten(2)
