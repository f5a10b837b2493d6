"""Ranks of links after a matching has changed the order of the candidates."""

import torch
from torch import Tensor

from pyg_mmea.metrics.ranks import known_answers
from pyg_mmea.utils.matching import SparseScores


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
    width = 1 + int(torch.cat([links[1], answers[1]]).max())
    found = torch.isin(links[0] * width + links[1], answers[0] * width + answers[1])
    return torch.where(found, torch.ones_like(ranks), ranks.clamp(min=2))


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
    return torch.stack(
        [
            _direction(ranks[0], links, scores.index, scores.score),
            _direction(ranks[1], links.flip(0), scores.index.flip(0), scores.score),
        ]
    )


def _direction(rank: Tensor, links: Tensor, kept: Tensor, score: Tensor) -> Tensor:
    """Ranks the second row of ``links`` among the kept candidates of the first."""
    query, answer = links
    width = 1 + int(torch.cat([answer, kept[1]]).max())
    keys, order = (kept[0] * width + kept[1]).sort()
    score = score[order]
    known_link, known = known_answers(query, answer)

    # One entry for each link and each kept candidate of its query.
    start = torch.searchsorted(keys, query * width)
    count = torch.searchsorted(keys, (query + 1) * width) - start
    link = torch.arange(query.numel(), device=query.device).repeat_interleave(count)
    within = torch.arange(link.numel(), device=query.device) - (count.cumsum(0) - count)[link]
    entry = start[link] + within

    gold_key = query * width + answer
    place = torch.searchsorted(keys, gold_key).clamp(max=keys.numel() - 1)
    found = keys[place] == gold_key
    gap = score[entry] - torch.where(found, score[place], -torch.inf)[link]
    tolerance = 8 * torch.finfo(score.dtype).eps * score.abs().clamp(min=1).max()
    sign = gap.sign() * (gap.abs() > tolerance)
    true = torch.isin(link * width + keys[entry] % width, known_link * width + known)
    wrong = (~true).to(score.dtype)
    zeros = torch.zeros_like(rank, dtype=score.dtype)
    num_wrong = zeros.index_add(0, link, wrong)
    kept_rank = 1 + (num_wrong + zeros.index_add(0, link, sign * wrong)) / 2
    return torch.where(found, kept_rank, torch.maximum(rank, 1 + num_wrong)).to(rank.dtype)
