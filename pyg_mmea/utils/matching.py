"""From similarities to pairs: mutual nearest neighbours, Sinkhorn, optimal and greedy matching."""

from typing import NamedTuple

import torch
from torch import Tensor

from pyg_mmea.utils.similarity import CSLSTerms, blocks, unit_pair


class Matches(NamedTuple):
    """Pairs of entities, best score first.

    Attributes:
        index (torch.Tensor): Source and target ids :math:`(2, P)`.
        score (torch.Tensor): CSLS, or cosine where ``csls_k`` is zero :math:`(P)`.
        margin (torch.Tensor): Gap between the score of the pair and the best other score of
            its source or of its target, whichever gap is smaller :math:`(P)`. Zero is a tie,
            infinity says that there was nothing else to choose.
    """

    index: Tensor
    score: Tensor
    margin: Tensor


def mutual_nearest(x_s: Tensor, x_t: Tensor, csls_k: int = 10, chunk_size: int = 1024) -> Matches:
    r"""Finds all pairs of entities that are each other's nearest neighbour.

    Args:
        x_s (torch.Tensor): Source embeddings.
        x_t (torch.Tensor): Target embeddings.
        csls_k (int, optional): Neighbourhood of CSLS; zero compares plain cosines.
            (default: :obj:`10`)
        chunk_size (int, optional): Rows compared at once; the memory needed is a few times
            this many rows of :math:`N_t` scores. (default: :obj:`1024`)

    Shapes:
        - **input:** :math:`(N_s, D)`, :math:`(N_t, D)`
        - **output:** :class:`Matches` with :math:`P \leq \min(N_s, N_t)` pairs; no entity
          is in two of them

    Raises:
        ValueError: If the shapes do not fit or an argument is out of range.
    """
    unit_s, unit_t = unit_pair(x_s, x_t)
    terms = CSLSTerms(unit_s, unit_t, csls_k)
    if csls_k > 0:
        for start, stop, block in blocks(unit_s, unit_t, chunk_size):
            terms.add(start, stop, block)
    r_s, r_t = terms.r_s, terms.finish()

    num_s, num_t = unit_s.size(0), unit_t.size(0)
    scale = 2 if csls_k > 0 else 1
    first_s, second_s = unit_s.new_empty(num_s), unit_s.new_empty(num_s)
    nearest_t = torch.empty(num_s, dtype=torch.long, device=unit_s.device)
    first_t = unit_t.new_full((num_t,), -torch.inf)
    second_t = first_t.clone()
    nearest_s = torch.zeros(num_t, dtype=torch.long, device=unit_s.device)
    for start, stop, block in blocks(scale * unit_s, unit_t, chunk_size):
        block.sub_(r_s[start:stop, None]).sub_(r_t)
        first_s[start:stop], nearest_t[start:stop], second_s[start:stop] = _top2(block, dim=1)
        first, row, second = _top2(block, dim=0)
        second_t = torch.maximum(torch.minimum(first, first_t), torch.maximum(second, second_t))
        nearest_s = torch.where(first > first_t, row + start, nearest_s)
        first_t = torch.maximum(first, first_t)

    source = torch.arange(num_s, device=unit_s.device)
    source = source[nearest_s[nearest_t] == source]
    target = nearest_t[source]
    score = first_s[source]
    margin = score - torch.maximum(second_s[source], second_t[target])
    order = score.argsort(descending=True, stable=True)
    return Matches(torch.stack([source, target])[:, order], score[order], margin[order])


def _top2(block: Tensor, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the largest entry, its place, and the runner-up (-inf if there is none)."""
    if block.size(dim) == 1:
        first = block.select(dim, 0)
        return first, torch.zeros_like(first, dtype=torch.long), torch.full_like(first, -torch.inf)
    values, index = block.topk(2, dim=dim)
    return values.select(dim, 0), index.select(dim, 0), values.select(dim, 1)
