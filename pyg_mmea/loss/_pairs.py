"""Checks and reductions that the losses over pairs of rows share."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pyg_mmea.utils.pairs import known_answers
from pyg_mmea.utils.ranges import list_ranges


def products(x: Tensor, y: Tensor) -> Tensor:
    """Returns the dot products of all rows ``[B_x, B_y]``, never in half."""
    with torch.autocast(x.device.type, enabled=False):
        return x @ y.t()


def check_pairs(x_s: Tensor, x_t: Tensor, **per_pair: Tensor | None) -> None:
    """Raises :class:`ValueError` unless both sides are ``[B, D]`` and the rest ``[B]``."""
    if x_s.dim() != 2 or x_s.size() != x_t.size():
        raise ValueError(
            f"'x_s' and 'x_t' need to have the same shape [B, D] "
            f"(got {list(x_s.size())} and {list(x_t.size())})"
        )
    for name, value in per_pair.items():
        if value is not None and value.size() != x_s.size()[:1]:
            raise ValueError(
                f"'{name}' needs to have shape [{x_s.size(0)}] (got {list(value.size())})"
            )


def check_positive(**values: float) -> None:
    """Raises :class:`ValueError` for the first value that is not a positive number."""
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"'{name}' needs to be positive (got {value})")


def pair_share(x: Tensor, weight: Tensor | None = None) -> Tensor:
    """Returns the share ``[B]`` of each row of :obj:`x` in a (weighted) mean.

    The shares add up to one, or are all zero where there is no weight at all.
    """
    if weight is None:
        return x.new_full((x.size(0),), 1 / max(x.size(0), 1))
    weight = weight.detach().to(x)
    total = weight.sum()
    return weight / total.masked_fill(total == 0, 1.0)


def same_entities(num: int, *ids: Tensor | None, device: torch.device) -> Tensor:
    """Returns ``[B, B]``, true where two links are one or share an entity: no negatives."""
    same = torch.eye(num, dtype=torch.bool, device=device)
    for index in ids:
        if index is not None:
            same = same | (index.view(-1, 1) == index.view(1, -1))
    return same


def true_ends(
    side: str,
    index: Tensor | None,
    other_index: Tensor | None,
    negatives: Tensor,
    negative_index: Tensor | None,
) -> Tensor:
    """Returns all (link, negative) ``[2, K]`` where the negative is the link's own end, or the end
    of another link of the same entity, found without a [B, M] matrix."""
    if negative_index is not None and negative_index.size() != negatives.size()[:1]:
        raise ValueError(
            f"'negative_index_{side}' needs to have shape [{negatives.size(0)}] "
            f"(got {list(negative_index.size())})"
        )
    if (index is None) != (negative_index is None):
        raise ValueError(f"'index_{side}' and 'negative_index_{side}' need to be given together")
    if index is None or negative_index is None:
        return torch.empty(2, 0, dtype=torch.long, device=negatives.device)
    link, end = torch.arange(index.numel(), device=index.device), index.contiguous()
    if other_index is not None and other_index.unique().numel() < other_index.numel():
        link, end = known_answers(other_index, index)  # links are not one-to-one
    ids, order = negative_index.sort()
    first = torch.searchsorted(ids, end)
    count = torch.searchsorted(ids, end, right=True) - first
    which, place = list_ranges(first, count)  # [K]
    return torch.stack([link[which], order[place]])


def rows_of(sides: Sequence[Tensor], links: Sequence[Tensor] | Tensor) -> list[Tensor]:
    """Returns the embeddings of the sources and of the targets of links."""
    # Not by [], whose backward pass sorts.
    return [x.index_select(0, ends) for x, ends in zip(sides, links, strict=True)]


def present_rows(x: Tensor) -> Tensor:
    """Tells which rows have the modality: the others are zero."""
    return x.detach().ne(0).any(dim=1)


def linked_rows(
    sides: Sequence[Tensor], links: Tensor, weight: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Returns the embeddings of both ends of the links that have the modality at both of them,
    these links and their weights."""
    x_s, x_t = rows_of(sides, links)
    kept = present_rows(x_s) & present_rows(x_t)
    if bool(kept.all()):
        return x_s, x_t, links, weight
    return x_s[kept], x_t[kept], links[:, kept], None if weight is None else weight[kept]
