"""Ranks of links after a matching has changed the order of the candidates."""

import torch
from torch import Tensor

from pyg_mmea.utils.matching import SparseScores
from pyg_mmea.utils.pairs import contains, known_answers
from pyg_mmea.utils.ranges import list_ranges


def answer_ranks(ranks: Tensor, links: Tensor, answers: Tensor) -> Tensor:
    r"""Ranks links after a matching that gives at most one answer an entity: 1 for a link that
    is among the answers, else the rank it had, but at least 2.

    Args:
        ranks (torch.Tensor): Ranks of both directions without matching.
        links (torch.Tensor): Source and target of each link.
        answers (torch.Tensor): Source and target of each answer.

    Shapes:
        - **input:** :math:`(2, L)`, :math:`(2, L)`, :math:`(2, P)`
        - **output:** :math:`(2, L)`
    """
    return torch.where(contains(answers, links), torch.ones_like(ranks), ranks.clamp(min=2))


def sparse_ranks(ranks: Tensor, links: Tensor, scores: SparseScores) -> Tensor:
    r"""Ranks links by the scores of a few kept candidates, with all others behind these in the
    order they had. Ties count half, and other true answers of the same entity are left out, as
    in :func:`link_ranks`.

    Args:
        ranks (torch.Tensor): Ranks of both directions among all candidates.
        links (torch.Tensor): Source and target of each link.
        scores (SparseScores): The kept pairs and their scores.

    Shapes:
        - **input:** :math:`(2, L)`, :math:`(2, L)`
        - **output:** :math:`(2, L)`
    """
    out = []
    for rank, (kept, num_wrong, _) in zip(ranks, _both(links, scores), strict=True):
        out.append(torch.where(kept.isnan(), torch.maximum(rank, 1 + num_wrong), kept).to(rank))
    return torch.stack(out)


def score_ranks(links: Tensor, scores: SparseScores, num_candidates: tuple[int, int]) -> Tensor:
    r"""Ranks links where only some pairs have a score: all other candidates are tied behind them,
    and a link among those has their mean rank.

    Args:
        links (torch.Tensor): Source and target of each link.
        scores (SparseScores): The pairs of candidates that have a score.
        num_candidates (tuple[int, int]): Candidates among the targets, and among the sources.

    Shapes:
        - **input:** :math:`(2, L)`
        - **output:** :math:`(2, L)`
    """
    out = []
    for (kept, num_wrong, num_known), num in zip(_both(links, scores), num_candidates, strict=True):
        tied = num - num_known - num_wrong  # wrong candidates without a score
        out.append(torch.where(kept.isnan(), 1 + num_wrong + tied / 2, kept))
    return torch.stack(out)


def _both(links: Tensor, scores: SparseScores) -> list[tuple[Tensor, Tensor, Tensor]]:
    return [
        _direction(links, scores.index, scores.score),
        _direction(links.flip(0), scores.index.flip(0), scores.score),
    ]


def _direction(links: Tensor, kept: Tensor, score: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the rank of the second row of ``links`` among the kept candidates of the first, NaN
    where it is none of them; how many of these are wrong; and how many true answers there are."""
    query, answer = links
    width = 1 + int(torch.cat([answer, kept[1]]).max())
    keys, order = (kept[0] * width + kept[1]).sort()
    # The last entry is no pair: what is looked up beyond the others ends there.
    keys = torch.cat([keys, keys.new_tensor([torch.iinfo(keys.dtype).max])])
    score = torch.cat([score[order], score.new_zeros(1)])
    known_link, known = known_answers(query, answer)

    # One entry for each link and each kept candidate of its query.
    start = torch.searchsorted(keys, query * width)
    count = torch.searchsorted(keys, (query + 1) * width) - start
    link, entry = list_ranges(start, count)

    gold_key = query * width + answer
    place = torch.searchsorted(keys, gold_key)
    gold = torch.where(keys[place] == gold_key, score[place], torch.nan)
    gap = (score[entry] - gold[link]).masked_fill(score[entry] == gold[link], 0.0)  # inf, too
    size = gold.abs().masked_fill(gold.isinf(), 0.0).clamp(min=1)[link]
    sign = gap.sign() * (gap.abs() > 8 * torch.finfo(score.dtype).eps * size)
    true = torch.isin(link * width + keys[entry] % width, known_link * width + known)
    wrong = (~true).to(score.dtype)
    zeros = torch.zeros_like(gold)
    num_wrong = zeros.index_add(0, link, wrong)
    rank = 1 + (num_wrong + zeros.index_add(0, link, sign * wrong)) / 2
    num_known = known_link.bincount(minlength=query.numel())
    return rank.masked_fill(gold.isnan(), torch.nan), num_wrong, num_known
