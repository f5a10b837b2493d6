"""Candidates for pseudo-labels."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from pyg_mmea.calibration.similarity import SparseSimilarity
from pyg_mmea.utils.matching import sinkhorn

_TIE = 1e-6  # a margin within float noise is a tie, and a tie is no evidence
_NO_RIVAL = 2.0  # the least margin where there is none: as far apart as cosines can be


class Candidates(NamedTuple):
    """Pairs of entities, best score first.

    Attributes:
        pairs (torch.Tensor): Source and target ids :math:`(2, P)`.
        score (torch.Tensor): Higher is better :math:`(P)`.
        margin (torch.Tensor): Gap to the score of the runner-up of either entity :math:`(P)`.
        place (torch.Tensor): Places of the pairs in the similarity :math:`(P)`.
    """

    pairs: Tensor
    score: Tensor
    margin: Tensor
    place: Tensor

    @classmethod
    def best(cls, similarity: SparseSimilarity, score: Tensor) -> "Candidates":
        """Takes the pairs that are each other's best by a score of all pairs :math:`(P)`; pairs
        that are tied are left out."""
        place = similarity.mutual_best(score)
        margin = margins(similarity.rivals(place), place, score)
        place, margin = place[margin > _TIE], margin[margin > _TIE]
        order = score[place].argsort(descending=True, stable=True)
        place = place[order]
        return cls(similarity.pairs[:, place], score[place], margin[order], place)


class Proposer(Protocol):
    """Finds candidates among entities without a known link."""

    def __call__(self, similarity: SparseSimilarity) -> Candidates:
        """Proposes pairs of the similarity."""


class MutualNearestProposer:
    """Proposes all pairs that are each other's nearest neighbour by CSLS.

    Args:
        csls_k (int): Neighbourhood of CSLS; zero compares plain cosines. (default: :obj:`10`)

    Raises:
        ValueError: If :obj:`csls_k` is negative.
    """

    def __init__(self, csls_k: int = 10) -> None:
        if csls_k < 0:
            raise ValueError(f"'csls_k' needs to be at least 0 (got {csls_k})")
        self.csls_k = csls_k

    def __call__(self, similarity: SparseSimilarity) -> Candidates:
        """Proposes pairs; see :class:`Proposer`."""
        return Candidates.best(similarity, similarity.csls(self.csls_k))

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(csls_k={self.csls_k})"


class SinkhornProposer:
    """Proposes all pairs that are each other's best by optimal transport, as in `"Combating
    Confirmation Bias: A Unified Pseudo-Labeling Framework for Entity Alignment"
    <https://arxiv.org/abs/2307.02075>`_ (UPL-EA), on the nearest neighbours alone: entities compete
    for their counterparts, which gives more candidates than mutual nearest neighbours do.

    Args:
        temperature (float): Divides the cosines. (default: :obj:`0.02`)
        num_iters (int): Times both sides are scaled. (default: :obj:`10`)

    Raises:
        ValueError: If :obj:`temperature` is not positive or :obj:`num_iters` below one.
    """

    def __init__(self, temperature: float = 0.02, num_iters: int = 10) -> None:
        if not temperature > 0 or num_iters < 1:
            raise ValueError(
                f"'temperature' needs to be positive and 'num_iters' at least 1 "
                f"(got {temperature} and {num_iters})"
            )
        self.temperature = temperature
        self.num_iters = num_iters

    def __call__(self, similarity: SparseSimilarity) -> Candidates:
        """Proposes pairs; see :class:`Proposer`."""
        score = similarity.cosine["joint"] / self.temperature
        if score.numel() > 0:
            (row, column), (num_s, num_t) = similarity.ends, similarity.num_ends
            score = sinkhorn(score, row, column, num_s, num_t, self.num_iters)
        return Candidates.best(similarity, score)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}(temperature={self.temperature}, num_iters={self.num_iters})"
        )


def margins(rivals: Sequence[tuple[Tensor, Tensor]], places: Tensor, score: Tensor) -> Tensor:
    """Returns the gap between the score of some pairs and that of the best other pair of either
    end, negative where that one is better; rivals whose score is NaN do not count.

    Args:
        rivals (list): See :meth:`SparseSimilarity.rivals`.
        places (torch.Tensor): Places of the pairs.
        score (torch.Tensor): Scores of all pairs.

    Shapes:
        - **input:** places :math:`(C)`, scores of all pairs :math:`(P)`
        - **output:** :math:`(C)`
    """
    own = score[places]
    gap = torch.full_like(own, torch.inf)
    for which, rival in rivals:
        other = score[rival].nan_to_num(-torch.inf)
        top = torch.full_like(own, -torch.inf).scatter_reduce(0, which, other, "amax")
        gap = torch.minimum(gap, own - top)
    widest = gap[gap.isfinite()].max() if bool(gap.isfinite().any()) else gap.new_tensor(0.0)
    return torch.where(gap.isinf(), widest.clamp(min=_NO_RIVAL), gap)
