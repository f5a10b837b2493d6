"""Hits@k, MRR, MR and the evaluation of an alignment in both directions."""

from typing import Any

import torch
from torch import Tensor

from pyg_mmea.metrics.ranks import Candidates, candidate_axes, link_ranks
from pyg_mmea.metrics.rerank import answer_ranks, score_ranks, sparse_ranks
from pyg_mmea.utils.matching import (
    SparseScores,
    hungarian,
    mutual_best,
    mutual_nearest,
    segment_logsumexp,
    sinkhorn_topk,
)
from pyg_mmea.utils.pairs import judge

HITS_AT = (1, 5, 10)
DIRECTIONS = ("source_to_target", "target_to_source")
MATCHINGS = ("none", "mutual", "sinkhorn", "hungarian")
_SINKHORN_ITERS = 10


def hits_at_k(ranks: Tensor, k: int) -> float:
    """Computes the fraction of links whose rank is at most ``k``, in [0, 1], higher is better.

    Args:
        ranks (torch.Tensor): Ranks from 1 :math:`(L)`.
        k (int): Length of the list of answers that is looked at.

    Raises:
        ValueError: If there are no ranks or ``k`` is below 1.
    """
    if k < 1:
        raise ValueError(f"'k' needs to be at least 1 (got {k})")
    return float((_checked(ranks) <= k).double().mean())


def mean_reciprocal_rank(ranks: Tensor) -> float:
    """Computes the mean of ``1 / rank`` over all links, in (0, 1], higher is better.

    Raises:
        ValueError: If there are no ranks.
    """
    return float(_checked(ranks).double().reciprocal().mean())


def mean_rank(ranks: Tensor) -> float:
    """Computes the mean rank over all links, at least 1, lower is better.

    Raises:
        ValueError: If there are no ranks.
    """
    return float(_checked(ranks).double().mean())


class AlignmentMetric:
    """Gathers Hits@1/5/10, MRR and MR of both directions over batches of links.

    .. code-block:: python

        metric = AlignmentMetric()
        for links in batches:
            metric.update(*link_ranks(x_s, x_t, links, candidates="all"))
        metric.compute()["mean"]["hits@1"]
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets all ranks."""
        self._ranks: tuple[list[Tensor], list[Tensor]] = ([], [])

    def update(self, ranks_s2t: Tensor, ranks_t2s: Tensor) -> None:
        """Adds the ranks of some links, as :func:`link_ranks` returns them.

        Raises:
            ValueError: If the two directions do not have one rank a link each.
        """
        if ranks_s2t.dim() != 1 or ranks_s2t.shape != ranks_t2s.shape:
            raise ValueError(
                f"both directions need one rank a link "
                f"(got shapes {list(ranks_s2t.shape)} and {list(ranks_t2s.shape)})"
            )
        for seen, ranks in zip(self._ranks, (ranks_s2t, ranks_t2s), strict=True):
            seen.append(ranks.detach().cpu())

    def compute(self) -> dict[str, dict[str, float]]:
        """Returns the metrics of ``source_to_target``, ``target_to_source`` and their ``mean``.

        Raises:
            ValueError: If no ranks have been added.
        """
        result = {}
        for direction, seen in zip(DIRECTIONS, self._ranks, strict=True):
            ranks = torch.cat(seen) if seen else torch.empty(0)
            result[direction] = {f"hits@{k}": hits_at_k(ranks, k) for k in HITS_AT}
            result[direction]["mrr"] = mean_reciprocal_rank(ranks)
            result[direction]["mr"] = mean_rank(ranks)
        forth, back = (result[direction] for direction in DIRECTIONS)
        result["mean"] = {name: (forth[name] + back[name]) / 2 for name in forth}
        return result

    def __repr__(self) -> str:
        return f"{type(self).__name__}(num_links={sum(r.numel() for r in self._ranks[0])})"


def evaluate_alignment(
    x_s: Tensor,
    x_t: Tensor,
    links: Tensor,
    candidates: Candidates = "test",
    csls_k: int = 10,
    matching: str = "none",
    chunk_size: int = 1024,
) -> dict[str, Any]:
    r"""Measures how well embeddings tell the counterpart of an entity, in both directions.

    Without matching, every entity ranks its candidates by CSLS, whatever the others choose
    (see :func:`link_ranks`). A matching makes entities compete, and then ranks mean:

    * :obj:`"sinkhorn"` ranks the candidates of :func:`~pyg_mmea.utils.sinkhorn_topk` by
      their new scores; all others stay behind them, in the order of CSLS.
    * :obj:`"mutual"` and :obj:`"hungarian"` give at most one answer an entity. A link that is
      an answer has rank 1, any other keeps the rank it has without matching, but at least 2.
      So Hits@1 is the fraction of links found, the same in both directions; an entity that
      is given no answer counts as wrong, and the other metrics say little.

    Args:
        x_s (torch.Tensor): Source embeddings :math:`(N_s, D)`.
        x_t (torch.Tensor): Target embeddings :math:`(N_t, D)`.
        links (torch.Tensor): True pairs of source and target ids :math:`(2, L)`.
        candidates (str or tuple, optional): :obj:`"test"`, :obj:`"all"` or two tensors of
            ids, as in :func:`link_ranks`. (default: :obj:`"test"`)
        csls_k (int, optional): Neighbourhood of CSLS; zero ranks by plain cosine.
            (default: :obj:`10`)
        matching (str, optional): :obj:`"none"`, :obj:`"mutual"`, :obj:`"sinkhorn"` or
            :obj:`"hungarian"`. (default: :obj:`"none"`)
        chunk_size (int, optional): Rows compared at once. (default: :obj:`1024`)

    Returns:
        dict: ``candidates`` (:obj:`"given"` for two tensors), ``csls_k``, ``matching``,
        ``num_links``, and under ``source_to_target``, ``target_to_source`` and ``mean`` each
        ``hits@1``, ``hits@5``, ``hits@10``, ``mrr`` and ``mr``; plain numbers, fit for JSON.

    Raises:
        ValueError: If there are no links, or an argument is out of range.
    """
    if matching not in MATCHINGS:
        raise ValueError(f"'matching' needs to be one of {MATCHINGS} (got {matching!r})")
    links = links.to(x_s.device)
    ranks = torch.stack(link_ranks(x_s, x_t, links, candidates, csls_k, chunk_size))
    if matching != "none":
        axes = candidate_axes(x_s.size(0), x_t.size(0), links, candidates)
        # A matching breaks ties by position, so no position may tell which entities are linked.
        shuffle = torch.randperm(axes.target.numel(), generator=torch.Generator().manual_seed(0))
        shuffle = shuffle.to(x_s.device)
        x_s, x_t = x_s[axes.source], x_t[axes.target[shuffle]]
        own = torch.empty_like(links)
        own[:, axes.order] = torch.stack([axes.row, shuffle.argsort()[axes.column]])
        if matching == "sinkhorn":
            ranks = sparse_ranks(ranks, own, sinkhorn_topk(x_s, x_t, chunk_size=chunk_size))
        else:
            match = mutual_nearest if matching == "mutual" else hungarian
            answers = match(x_s.detach(), x_t.detach(), csls_k, chunk_size).index
            ranks = answer_ranks(ranks, own, answers)
    return _summary(ranks, candidates, csls_k, matching)


def evaluate_scores(
    scores: SparseScores,
    num_entities: tuple[int, int],
    links: Tensor,
    candidates: Candidates = "test",
    matching: str = "none",
) -> dict[str, Any]:
    r"""Measures how well scores of some pairs tell the counterpart of an entity, in both
    directions; all other pairs are tied behind those, as if they had the same lowest score.

    Args:
        scores (SparseScores): The pairs and their scores; higher is better. They are of order one
            or larger: less than eight epsilons apart is a tie.
        num_entities (tuple[int, int]): Entities of source and target.
        links (torch.Tensor): True pairs of source and target ids :math:`(2, L)`.
        candidates (str or tuple, optional): As in :func:`evaluate_alignment`.
            (default: :obj:`"test"`)
        matching (str, optional): :obj:`"none"`, :obj:`"mutual"`, which makes pairs that are each
            other's best the answers, or :obj:`"sinkhorn"`, which scales the exponentials of all
            scores as :func:`~pyg_mmea.utils.sinkhorn_topk` does; pairs without one have zero, and
            scores need to be above that. (default: :obj:`"none"`)

    Returns:
        dict: As :func:`evaluate_alignment`, with a ``csls_k`` of zero.

    Raises:
        ValueError: If there are no links, or an argument is out of range.
    """
    if matching not in MATCHINGS[:3]:
        raise ValueError(f"'matching' needs to be one of {MATCHINGS[:3]} (got {matching!r})")
    if matching == "sinkhorn" and bool((scores.score <= 0).any()):
        raise ValueError(f"'scores' need to be positive (got {float(scores.score.min())})")
    links = links.to(scores.index.device)
    axes = candidate_axes(*num_entities, links, candidates)
    inside = torch.ones_like(scores.score, dtype=torch.bool)
    for ids, allowed, num in zip(scores.index, axes[:2], num_entities, strict=True):
        is_candidate = torch.zeros(num, dtype=torch.bool, device=ids.device)
        is_candidate[allowed] = True
        inside &= is_candidate[ids]
    index, score = scores.index[:, inside], scores.score[inside]
    if matching == "sinkhorn":
        score = _compete(score, index, [axes.source, axes.target], num_entities)
    num_candidates = axes.target.numel(), axes.source.numel()
    ranks = score_ranks(links, SparseScores(index, score), num_candidates)
    if matching == "mutual":
        ranks = answer_ranks(ranks, links, index[:, mutual_best(index, score)])
    return _summary(ranks, candidates, 0, matching)


def _compete(
    score: Tensor, index: Tensor, candidates: list[Tensor], num_entities: tuple[int, int]
) -> Tensor:
    """Adds to sparse scores the potentials of Sinkhorn's iteration over all candidates, without
    the matrix: every pair is one, and what a scored one has beyond that is sparse."""
    beyond = score + torch.log1p(-torch.exp(-score))
    potential = [score.new_full((num,), -torch.inf) for num in num_entities]
    for each, ids in zip(potential, candidates, strict=True):
        each[ids] = 0
    for _ in range(_SINKHORN_ITERS):
        for side in (1, 0):  # columns, then rows
            other, ids = potential[1 - side], candidates[side]
            scored = segment_logsumexp(
                beyond + other[index[1 - side]], index[side], num_entities[side]
            )
            potential[side][ids] = -torch.logaddexp(other.logsumexp(0), scored[ids])
    return score + potential[0][index[0]] + potential[1][index[1]]


def _summary(ranks: Tensor, candidates: Candidates, csls_k: int, matching: str) -> dict[str, Any]:
    metric = AlignmentMetric()
    metric.update(ranks[0], ranks[1])
    return {
        "candidates": candidates if isinstance(candidates, str) else "given",
        "csls_k": csls_k,
        "matching": matching,
        "num_links": ranks.size(1),
        **metric.compute(),
    }


def pseudo_label_precision(pairs: Tensor, gold_links: Tensor) -> dict[str, Any]:
    """Compares predicted pairs with the known links.

    A pair of two entities without any known link can be neither right nor wrong, so precision
    is taken over the pairs of which at least one entity has a known link.

    Args:
        pairs (torch.Tensor): Predicted source and target ids :math:`(2, P)`.
        gold_links (torch.Tensor): Known source and target ids :math:`(2, A)`.

    Returns:
        dict: ``num`` pairs, ``num_known`` of them that can be judged, ``num_correct``, and
        ``precision`` (``num_correct / num_known``, None where nothing can be judged).

    Raises:
        ValueError: If pairs or links do not have shape :math:`(2, P)`.
    """
    for name, index in (("pairs", pairs), ("gold_links", gold_links)):
        if index.dim() != 2 or index.size(0) != 2:
            raise ValueError(f"'{name}' needs shape [2, P] (got {list(index.shape)})")
    known, correct = judge(pairs, gold_links.to(pairs.device))
    num_known, num_correct = int(known.sum()), int(correct.sum())
    return {
        "num": pairs.size(1),
        "num_known": num_known,
        "num_correct": num_correct,
        "precision": num_correct / num_known if num_known else None,
    }


def _checked(ranks: Tensor) -> Tensor:
    if ranks.numel() == 0:
        raise ValueError("there needs to be at least one rank (got none)")
    return ranks
