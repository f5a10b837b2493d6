"""Candidates for pseudo-labels."""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from pyg_mmea.utils.matching import mutual_nearest

_TIE = 1e-6  # a margin within float noise is a tie, and a tie is no evidence


class Candidates(NamedTuple):
    """Pairs of entities, best score first.

    Attributes:
        pairs (torch.Tensor): Source and target ids :math:`(2, P)`.
        score (torch.Tensor): Higher is better :math:`(P)`.
        margin (torch.Tensor): Gap to the runner-up of either entity :math:`(P)`.
    """

    pairs: Tensor
    score: Tensor
    margin: Tensor


class Proposer(Protocol):
    """Finds candidates among entities without a known link."""

    def __call__(self, z_s: Tensor, z_t: Tensor, free_s: Tensor, free_t: Tensor) -> Candidates:
        """Proposes pairs of the entities :obj:`free_s` and :obj:`free_t`."""


class MutualNearestProposer:
    """Proposes all pairs that are each other's nearest neighbour by CSLS.

    Args:
        csls_k (int): Neighbourhood of CSLS; zero compares plain cosines. (default: :obj:`10`)
    """

    def __init__(self, csls_k: int = 10) -> None:
        self.csls_k = csls_k

    def __call__(self, z_s: Tensor, z_t: Tensor, free_s: Tensor, free_t: Tensor) -> Candidates:
        """Proposes pairs; see :class:`Proposer`."""
        if free_s.numel() == 0 or free_t.numel() == 0:
            empty = z_s.new_empty(0)
            return Candidates(free_s.new_empty(2, 0), empty, empty)
        found = mutual_nearest(z_s[free_s], z_t[free_t], self.csls_k)
        clear = found.margin > _TIE
        index = found.index[:, clear]
        pairs = torch.stack([free_s[index[0]], free_t[index[1]]])
        return Candidates(pairs, found.score[clear], found.margin[clear].clamp(max=2.0))

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(csls_k={self.csls_k})"
