"""From similarities to pairs: mutual nearest neighbours, Sinkhorn, optimal and greedy matching."""

from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from pyg_mmea.utils.search import nearest_pairs
from pyg_mmea.utils.similarity import unit_csls_terms, unit_pair
from pyg_mmea.utils.sparse import SparsePattern, sddmm
from pyg_mmea.utils.topk import BothTopK, tiles

HUNGARIAN_LIMIT = 12_000


class Matches(NamedTuple):
    """Pairs of entities, best score first.

    Attributes:
        index (torch.Tensor): Source and target ids :math:`(2, P)`.
        score (torch.Tensor): CSLS, or cosine where ``csls_k`` is zero :math:`(P)`.
        margin (torch.Tensor): Gap between the score of the pair and the best other score of
            its source or of its target, whichever gap is smaller :math:`(P)`. Zero is a tie,
            infinity says that there was nothing else to choose.
    """

    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
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
    r_s, r_t = unit_csls_terms(unit_s, unit_t, csls_k, chunk_size)
    size = unit_s.size(0), unit_t.size(0)
    top = BothTopK(size, 2, unit_s)
    for tile in tiles((2 if csls_k > 0 else 1) * unit_s, unit_t, chunk_size):
        tile.block.sub_(r_s[tile.rows, None]).sub_(r_t[tile.columns])
        top.add(tile)
    (score_s, near_s), (score_t, near_t) = top.finish()
    (first_s, second_s), (_, second_t) = _top2(score_s), _top2(score_t)
    nearest_t, nearest_s = near_s[:, 0], near_t[:, 0]

    source = torch.arange(size[0], device=unit_s.device)
    source = source[nearest_s[nearest_t] == source]
    target = nearest_t[source]
    score = first_s[source]
    margin = score - torch.maximum(second_s[source], second_t[target])
    order = score.argsort(descending=True, stable=True)
    return Matches(torch.stack([source, target])[:, order], score[order], margin[order])


def _top2(score: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the largest entries and the runners-up, which are -inf where there is none."""
    second = score[:, 1] if score.size(1) == 2 else torch.full_like(score[:, 0], -torch.inf)
    return score[:, 0], second


class SparseScores(NamedTuple):
    """Scored candidate pairs, sorted by source, then by target.

    Attributes:
        index (torch.Tensor): Source and target ids :math:`(2, P)`.
        score (torch.Tensor): Score of each pair :math:`(P)`.
    """

    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    score: Tensor


def sinkhorn_topk(
    x_s: Tensor,
    x_t: Tensor,
    k: int = 100,
    temperature: float = 0.02,
    num_iters: int = 10,
    chunk_size: int = 1024,
) -> SparseScores:
    r"""Scores the nearest neighbours of all entities again, so that entities compete for
    their counterparts, by the Sinkhorn iteration of `"Sinkhorn Distances: Lightspeed
    Computation of Optimal Transport" <https://arxiv.org/abs/1306.0895>`_.

    The candidates are the ``k`` nearest targets of every source and the ``k`` nearest sources
    of every target by cosine. The matrix :math:`\exp(\cos(i, j) / T)` over them is scaled in
    turn so that the columns and then the rows sum to one; the iteration runs on logarithms and
    cannot under- or overflow. The score is the logarithm of the result: rows come last, so
    ``score.exp()`` sums to one over the candidates of each source, and is the probability that
    the source belongs to that target. CSLS terms would cancel in the scaling and are not used.

    Args:
        x_s (torch.Tensor): Source embeddings.
        x_t (torch.Tensor): Target embeddings.
        k (int, optional): Neighbours of each entity that are kept, cut to the entities there
            are. (default: :obj:`100`)
        temperature (float, optional): Divides the cosines; lower is closer to a one-to-one
            matching. (default: :obj:`0.02`)
        num_iters (int, optional): Times both sides are scaled. (default: :obj:`10`)
        chunk_size (int, optional): Rows compared at once. (default: :obj:`1024`)

    Shapes:
        - **input:** :math:`(N_s, D)`, :math:`(N_t, D)`
        - **output:** :class:`SparseScores` with :math:`P \leq k (N_s + N_t)` pairs

    Raises:
        ValueError: If the shapes do not fit or an argument is out of range.
    """
    if k < 1:
        raise ValueError(f"'k' needs to be at least 1 (got {k})")
    if not temperature > 0:
        raise ValueError(f"'temperature' needs to be positive (got {temperature})")
    if num_iters < 1:
        raise ValueError(f"'num_iters' needs to be at least 1 (got {num_iters})")
    num_s, num_t = x_s.size(0), x_t.size(0)
    source, target = nearest_pairs(x_s, x_t, k, chunk_size=chunk_size)
    unit_s, unit_t = unit_pair(x_s, x_t)
    cosine = sddmm(SparsePattern(source, target, (num_s, num_t)), unit_s, unit_t)
    score = sinkhorn(cosine / temperature, source, target, num_s, num_t, num_iters)
    return SparseScores(torch.stack([source, target]), score)


def sinkhorn(
    score: Tensor, source: Tensor, target: Tensor, num_s: int, num_t: int, num_iters: int
) -> Tensor:
    """Scales the exponentials of sparse scores in turn so that the columns and then the rows sum to
    one, and returns logarithms; every row and column needs an entry.

    Shapes:
        - **input:** ``score``, ``source`` and ``target`` :math:`(P)`
        - **output:** :math:`(P)`
    """
    for _ in range(num_iters):
        score = score - segment_logsumexp(score, target, num_t)[target]
        score = score - segment_logsumexp(score, source, num_s)[source]
    return score


def mutual_best(pairs: Tensor, score: Tensor) -> Tensor:
    """Returns the places of the pairs that both ends score highest and no other pair as high, so
    that no entity is in two of them.

    Shapes:
        - **input:** pairs :math:`(2, P)`, scores :math:`(P)`
        - **output:** :math:`(Q)`
    """
    best = torch.ones(score.numel(), dtype=torch.bool, device=score.device)
    for end in pairs:
        num = 1 + int(end.max()) if end.numel() else 0
        top = score.new_full((num,), -torch.inf).scatter_reduce(0, end, score, "amax")
        first = score == top[end]
        best &= first & (end[first].bincount(minlength=num) == 1)[end]
    return best.nonzero().view(-1)


def hungarian(x_s: Tensor, x_t: Tensor, csls_k: int = 10, chunk_size: int = 1024) -> Matches:
    r"""Finds the one-to-one matching with the largest sum of scores, by
    :func:`scipy.optimize.linear_sum_assignment`.

    This is the one function here that keeps the whole matrix of scores, twice, and its time
    grows with the third power of the entities, so it refuses more than
    :obj:`HUNGARIAN_LIMIT` (12,000) a side; :func:`sinkhorn_topk` has no such limit.

    Args:
        x_s (torch.Tensor): Source embeddings.
        x_t (torch.Tensor): Target embeddings.
        csls_k (int, optional): Neighbourhood of CSLS; zero compares plain cosines.
            (default: :obj:`10`)
        chunk_size (int, optional): Rows compared at once for CSLS. (default: :obj:`1024`)

    Shapes:
        - **input:** :math:`(N_s, D)`, :math:`(N_t, D)`
        - **output:** :class:`Matches` with :math:`P = \min(N_s, N_t)` pairs; a margin is
          negative where the matching passes over a better pair

    Raises:
        ValueError: If a side has too many entities, the shapes do not fit or an argument is
            out of range.
    """
    if max(x_s.size(0), x_t.size(0)) > HUNGARIAN_LIMIT:
        raise ValueError(
            f"Hungarian matching needs at most {HUNGARIAN_LIMIT} entities a side "
            f"(got {x_s.size(0)} and {x_t.size(0)}); use 'sinkhorn' instead"
        )
    unit_s, unit_t = unit_pair(x_s, x_t)
    r_s, r_t = unit_csls_terms(unit_s, unit_t, csls_k, chunk_size)
    scores = (2 if csls_k > 0 else 1) * unit_s @ unit_t.t()
    scores.sub_(r_s[:, None]).sub_(r_t)
    rows, columns = linear_sum_assignment(scores.cpu().numpy(), maximize=True)
    source = torch.from_numpy(rows).to(scores.device)
    target = torch.from_numpy(columns).to(scores.device)
    score = scores[source, target]
    scores[source, target] = -torch.inf
    margin = score - torch.maximum(scores.amax(dim=1)[source], scores.amax(dim=0)[target])
    order = score.argsort(descending=True, stable=True)
    return Matches(torch.stack([source, target])[:, order], score[order], margin[order])


def greedy_one_to_one(pairs: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    r"""Takes pairs in the order of their scores and drops each whose source or target is
    already taken; of equal scores the earlier pair wins.

    Args:
        pairs (torch.Tensor): Source and target ids.
        scores (torch.Tensor): Score of each pair, higher is better.

    Shapes:
        - **input:** :math:`(2, P)`, :math:`(P)`
        - **output:** pairs :math:`(2, Q)` and their scores :math:`(Q)`, best first

    Raises:
        ValueError: If there is not one score a pair.
    """
    if pairs.dim() != 2 or pairs.size(0) != 2 or scores.shape != pairs.shape[1:]:
        raise ValueError(
            f"'pairs' and 'scores' need shapes [2, P] and [P] "
            f"(got {list(pairs.shape)} and {list(scores.shape)})"
        )
    order = scores.argsort(descending=True, stable=True)
    taken_s: set[int] = set()
    taken_t: set[int] = set()
    kept = []
    for place, source, target in zip(order.tolist(), *pairs[:, order].tolist(), strict=True):
        if source not in taken_s and target not in taken_t:
            taken_s.add(source)
            taken_t.add(target)
            kept.append(place)
    keep = torch.tensor(kept, dtype=torch.long, device=pairs.device)
    return pairs[:, keep], scores[keep]


def segment_logsumexp(value: Tensor, segment: Tensor, num_segments: int) -> Tensor:
    """Log of the sum of ``exp(value)`` in each segment; minus infinity where it has no entry."""
    top = value.new_full((num_segments,), -torch.inf)
    top = top.scatter_reduce(0, segment, value, "amax")
    finite = torch.where(top.isfinite(), top, 0.0)
    total = torch.zeros_like(top).index_add(0, segment, (value - finite[segment]).exp())
    return total.log() + finite
