"""What each modality and the momentum encoder say of a candidate."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pyg_mmea.calibration.propose import Candidates, margins
from pyg_mmea.calibration.similarity import SparseSimilarity

_TEMPERATURE = 0.05  # of the probabilities


class Votes(NamedTuple):
    """The evidence for each candidate, a column a voter.

    Attributes:
        voters (list[str]): Modalities, and :obj:`"momentum"` where there is a momentum encoder.
        rank (torch.Tensor): The worse of the ranks that either entity gives the other among all
            pairs of the similarity, realistic under ties; NaN where the voter abstains
            :math:`(P, V)`.
        margin (torch.Tensor): Gap between the cosine of the pair and that of the best other pair
            of either end, negative if that one is better; NaN where the voter abstains
            :math:`(P, V)`.
        probability (torch.Tensor): The smaller one of the probabilities that either entity gives
            the other by a softmax of the cosines; NaN where the voter abstains :math:`(P, V)`.
        agrees (torch.Tensor): True where the rank is at most the voter's limit :math:`(P, V)`.
        abstains (torch.Tensor): True where an entity lacks the modality :math:`(P, V)`.
    """

    voters: list[str]
    rank: Tensor
    margin: Tensor
    probability: Tensor
    agrees: Tensor
    abstains: Tensor

    def select(self, index: Tensor) -> "Votes":
        """Returns the votes on some candidates."""
        return Votes(self.voters, *(x[index] for x in self[1:]))

    def share_first(self) -> Tensor:
        """Returns the share of those voters that rank a candidate first, of those that do not
        abstain :math:`(P)`."""
        first = (self.rank == 1).sum(dim=1).double()  # an abstention is no rank
        return first / (~self.abstains).sum(dim=1).clamp(min=1)

    def cpu(self) -> "Votes":
        """Returns the votes on the CPU."""
        return Votes(self.voters, *(x.cpu() for x in self[1:]))


def collect_votes(
    similarity: SparseSimilarity,
    candidates: Candidates,
    vote_rank: int = 10,
    excluded_voters: Sequence[str] = (),
) -> Votes:
    """Asks every modality of the online encoder, and the joint embedding of the momentum encoder.

    A modality agrees if each entity ranks the other among its :obj:`vote_rank` nearest; the
    momentum encoder agrees only at rank one, as it votes on the same evidence as the candidate.
    Where an entity lacks a modality, the modality abstains.

    Args:
        similarity (SparseSimilarity): The pairs that candidates are compared with.
        candidates (Candidates): The pairs to vote on.
        vote_rank (int): Largest rank that counts as agreement. (default: :obj:`10`)
        excluded_voters (Sequence[str]): Voters that are not asked. (default: :obj:`()`)

    Raises:
        ValueError: If :obj:`excluded_voters` names somebody who has no vote.
    """
    voters = [name for name in similarity.cosine if name != "joint"]
    check_excluded(excluded_voters, voters)
    voters = [name for name in voters if name not in excluded_voters]
    place = candidates.place
    rivals = similarity.rivals(place)
    columns = []
    for name in voters:
        score = similarity.cosine[name]
        own = score[place]  # [C]
        rank, probability = torch.ones_like(own), torch.ones_like(own)
        for which, rival in rivals:
            gap = (score[rival] - own[which]).nan_to_num(-torch.inf)  # [Q]
            ahead = (gap > 0).to(own) + (gap == 0).to(own) / 2
            rank = torch.maximum(rank, 1 + torch.zeros_like(own).index_add(0, which, ahead))
            odds = torch.zeros_like(own).index_add(0, which, (gap / _TEMPERATURE).exp())
            probability = torch.minimum(probability, 1 / (1 + odds))
        abstains = own.isnan()
        limit = 1 if name == "momentum" else vote_rank
        numbers = (rank, margins(rivals, place, score), probability)
        columns.append(
            (
                *(x.masked_fill(abstains, torch.nan) for x in numbers),
                (rank <= limit) & ~abstains,
                abstains,
            )
        )
    if not voters:
        none = candidates.score.new_empty(place.numel(), 0)
        return Votes(voters, none, none, none, none.bool(), none.bool())
    return Votes(voters, *(torch.stack(part, dim=1) for part in zip(*columns, strict=True)))


def check_excluded(excluded_voters: Sequence[str], voters: Sequence[str]) -> None:
    """Raises for a name that is not among the voters there are."""
    for name in excluded_voters:
        if name not in voters:
            raise ValueError(
                f"'excluded_voters' needs to be among {', '.join(voters)} (got '{name}')"
            )
