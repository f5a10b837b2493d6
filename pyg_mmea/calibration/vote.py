"""What each modality and the momentum encoder say of a candidate."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from pyg_mmea.calibration.propose import Candidates
from pyg_mmea.metrics.ranks import link_ranks

Embeddings = Mapping[str, Mapping[str, Tensor]]


class Votes(NamedTuple):
    """The evidence for each candidate, a column a voter.

    Attributes:
        voters (list[str]): Modalities, and :obj:`"momentum"` where there is a momentum encoder.
        rank (torch.Tensor): The worse of the ranks that either entity gives the other among all
            entities without a link; NaN where the voter abstains :math:`(P, V)`.
        agrees (torch.Tensor): True where the rank is at most the voter's limit :math:`(P, V)`.
        abstains (torch.Tensor): True where an entity lacks the modality :math:`(P, V)`.
    """

    voters: list[str]
    rank: Tensor
    agrees: Tensor
    abstains: Tensor


def collect_votes(
    candidates: Candidates,
    online: Embeddings,
    momentum: Embeddings | None,
    free_s: Tensor,
    free_t: Tensor,
    vote_rank: int = 10,
) -> Votes:
    """Asks every modality of the online encoder, and the joint embedding of the momentum encoder.

    A modality agrees if each entity ranks the other among its :obj:`vote_rank` nearest; the
    momentum encoder agrees only at rank one, as it votes on the same evidence as the candidate.
    An entity that lacks a modality has an embedding of zeros there, and the modality abstains.

    Args:
        candidates (Candidates): The pairs to vote on.
        online (dict): Embeddings of the online encoder, by side and modality.
        momentum (dict, optional): Those of the momentum encoder.
        free_s (torch.Tensor): Source entities without a link.
        free_t (torch.Tensor): Target entities without a link.
        vote_rank (int): Largest rank that counts as agreement. (default: :obj:`10`)
    """
    voters = {
        name: (online["source"][name], online["target"][name], vote_rank)
        for name in online["source"]
        if name != "joint"
    }
    if momentum is not None:
        voters["momentum"] = (momentum["source"]["joint"], momentum["target"]["joint"], 1)
    if candidates.pairs.size(1) == 0:
        none = candidates.score.new_empty(0, len(voters))
        return Votes(list(voters), none, none.bool(), none.bool())
    ranks, agrees, abstains = [], [], []
    for x_s, x_t, limit in voters.values():
        s, t = candidates.pairs
        missing = ~(x_s[s].ne(0).any(dim=1) & x_t[t].ne(0).any(dim=1))
        worse = torch.maximum(
            *link_ranks(x_s, x_t, candidates.pairs, candidates=(free_s, free_t), csls_k=0)
        )
        ranks.append(worse.masked_fill(missing, torch.nan))
        agrees.append((worse <= limit) & ~missing)
        abstains.append(missing)
    return Votes(list(voters), *(torch.stack(part, dim=1) for part in (ranks, agrees, abstains)))
