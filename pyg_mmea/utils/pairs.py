"""Sets of pairs of entities."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_mmea.typing import ANCHOR_EDGE, SIDES
from pyg_mmea.utils.ranges import list_ranges


def contains(pairs: Tensor, wanted: Tensor) -> Tensor:
    """Tells which of the wanted pairs are among the pairs.

    Args:
        pairs (torch.Tensor): Source and target ids :math:`(2, P)`.
        wanted (torch.Tensor): Source and target ids :math:`(2, Q)`.

    Returns:
        torch.Tensor: A bool tensor :math:`(Q)`.
    """
    width = 1 + int(torch.cat([pairs[1], wanted[1], pairs.new_zeros(1)]).max())
    return torch.isin(wanted[0] * width + wanted[1], pairs[0] * width + pairs[1])


def unconfirmed_links(data: HeteroData) -> Tensor:
    """Returns the links that :class:`~pyg_mmea.data.PivotAnchors` made, on the CPU
    :math:`(2, L)`."""
    anchors = data[ANCHOR_EDGE]
    links = anchors.edge_label_index.cpu()
    if "pivot" not in anchors:
        return links[:, :0]
    if "pivot_mask" in anchors:
        return links[:, anchors.pivot_mask.cpu()]
    return links[:, (anchors.train_mask | anchors.val_mask).cpu()]  # made by an older version


def judge(pairs: Tensor, links: Tensor) -> tuple[Tensor, Tensor]:
    """Tells which pairs share an entity with a link, and which are one.

    Args:
        pairs (torch.Tensor): Source and target ids :math:`(2, P)`.
        links (torch.Tensor): Source and target ids :math:`(2, C)`.

    Returns:
        tuple: Two bool tensors :math:`(P)`.
    """
    touched = torch.isin(pairs[0], links[0]) | torch.isin(pairs[1], links[1])
    return touched, contains(links, pairs)


def known_answers(query: Tensor, answer: Tensor) -> Tensor:
    """Pairs each link with all entities that are true answers to its query, its own included.

    Args:
        query (torch.Tensor): One end of each link :math:`(L)`.
        answer (torch.Tensor): The other end :math:`(L)`.

    Returns:
        torch.Tensor: Links and answers :math:`(2, P)`, sorted by link.
    """
    pairs = torch.stack([query, answer]).unique(dim=1)  # sorted by query
    start = torch.searchsorted(pairs[0].contiguous(), query.contiguous())
    stop = torch.searchsorted(pairs[0].contiguous(), query.contiguous(), right=True)
    link, place = list_ranges(start, stop - start)
    return torch.stack([link, pairs[1, place]])


def check_links(name: str, links: Tensor, sizes: Sequence[int]) -> None:
    """Makes sure that links are source and target ids.

    Args:
        name (str): What they are called.
        links (torch.Tensor): The links :math:`(2, L)`.
        sizes (Sequence[int]): Number of entities of both graphs.

    Raises:
        ValueError: If they are not.
    """
    if links.dim() != 2 or links.size(0) != 2 or links.is_floating_point():
        raise ValueError(f"'{name}' needs to be integers of shape [2, L] (got {[*links.shape]})")
    for side, ids, num in zip(SIDES, links, sizes, strict=True):
        if ids.numel() == 0:
            continue
        low, high = int(ids.min()), int(ids.max())
        if low < 0 or high >= num:
            raise ValueError(f"'{name}' needs {side} ids in [0, {num}) (got {low} to {high})")


def free_entities(num_entities: int, taken: Tensor) -> Tensor:
    """Returns the ids below :obj:`num_entities` that are not among the taken ones, ascending."""
    free = torch.ones(num_entities, dtype=torch.bool, device=taken.device)
    free[taken] = False
    return free.nonzero().view(-1)
