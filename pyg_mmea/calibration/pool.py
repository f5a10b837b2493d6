"""The pseudo-labels in use, and how candidates come and go."""

import math
from typing import Any

import torch
from torch import Tensor

from pyg_mmea.calibration.propose import Candidates
from pyg_mmea.calibration.vote import Votes


class PseudoLabelPool:
    r"""Pairs that were proposed, how long they survived, and which of them train.

    A candidate is *sure* in a round if it is among the most confident ones, as many as have
    :obj:`precision` on average (a calibrated confidence makes that their expected precision), if
    its own confidence reaches :obj:`min_confidence`, and if at least :obj:`min_votes` voters
    agree. It joins training after :obj:`patience` rounds in a row in which it was sure. It leaves
    as soon as it is no longer proposed, or its confidence falls :obj:`slack` below that of the
    last sure candidate: agreement that breaks takes the label back.

    Args:
        precision (float): Mean confidence of sure candidates. (default: :obj:`0.95`)
        min_confidence (float): Least confidence of a sure candidate. (default: :obj:`0.5`)
        slack (float): How far the confidence of a label in use may fall below the threshold that
            follows. (default: :obj:`0.1`)
        min_votes (int): Voters that need to agree; never more than do not abstain.
            (default: :obj:`2`)
        patience (int): Rounds in a row, the one that accepts included. (default: :obj:`2`)

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        precision: float = 0.95,
        min_confidence: float = 0.5,
        slack: float = 0.1,
        min_votes: int = 2,
        patience: int = 2,
    ) -> None:
        for name, value in (
            ("precision", precision),
            ("min_confidence", min_confidence),
            ("slack", slack),
        ):
            if not 0 <= value <= 1:
                raise ValueError(f"'{name}' needs to be in [0, 1] (got {value})")
        if patience < 1 or min_votes < 0:
            raise ValueError(
                f"'patience' needs to be at least 1 and 'min_votes' at least 0 "
                f"(got {patience} and {min_votes})"
            )
        self.precision = precision
        self.min_confidence = min_confidence
        self.slack = slack
        self.min_votes = min_votes
        self.patience = patience
        self.reset()

    def reset(self) -> None:
        """Forgets all pairs."""
        self._known = torch.empty(2, 0, dtype=torch.long)
        self._streak = torch.empty(0, dtype=torch.long)
        self._used = torch.empty(0, dtype=torch.bool)
        self._confidence = torch.empty(0, dtype=torch.double)

    @property
    def pairs(self) -> Tensor:
        """The pseudo-labels in use :math:`(2, P)`."""
        return self._known[:, self._used]

    @property
    def beliefs(self) -> tuple[Tensor, Tensor]:
        """All candidates of the last round :math:`(2, C)` and their confidence :math:`(C)`."""
        return self._known, self._confidence

    def update(
        self, candidates: Candidates, votes: Votes, confidence: Tensor
    ) -> list[dict[str, Any]]:
        """Takes in one round of candidates.

        Returns:
            list[dict]: One entry for each label that is accepted or dropped.
        """
        pairs = candidates.pairs.cpu()
        old = _find(pairs, self._known)  # [P], -1 where new
        seen = old >= 0
        was_used = torch.zeros(pairs.size(1), dtype=torch.bool)
        was_used[seen] = self._used[old[seen]]
        streak = torch.zeros(pairs.size(1), dtype=torch.long)
        streak[seen] = self._streak[old[seen]]

        voting = (~votes.abstains).sum(dim=1).cpu()
        enough = votes.agrees.sum(dim=1).cpu() >= voting.clamp(max=self.min_votes)
        confidence = confidence.cpu().double()
        threshold = confidence_threshold(confidence, self.precision)
        threshold = max(threshold, self.min_confidence)
        streak = torch.where((confidence >= threshold) & enough, streak + 1, 0)
        # A round in which nothing is sure adds no label, and is no reason to drop all of them.
        floor = threshold - self.slack if math.isfinite(threshold) else self.min_confidence
        kept = was_used & (confidence >= floor)
        used = kept | (streak >= self.patience)

        entries = [
            _entry(pairs[:, i], "accept", "sure", votes, confidence, i)
            for i in (used & ~was_used).nonzero().view(-1).tolist()
        ]
        entries += [
            _entry(pairs[:, i], "drop", "confidence fell", votes, confidence, i)
            for i in (was_used & ~used).nonzero().view(-1).tolist()
        ]
        gone = self._known[:, self._used & (_find(self._known, pairs) < 0)]
        entries += [
            {"pair": pair, "decision": "drop", "reason": "no longer proposed"}
            for pair in gone.t().tolist()
        ]
        self._known, self._streak, self._used = pairs, streak, used
        self._confidence = confidence
        return entries

    def state_dict(self) -> dict[str, Tensor]:
        """Returns the state as tensors."""
        return {
            "known": self._known,
            "streak": self._streak,
            "used": self._used,
            "confidence": self._confidence,
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores the state."""
        self._known, self._streak, self._used = state["known"], state["streak"], state["used"]
        self._confidence = state["confidence"]


def confidence_threshold(confidence: Tensor, precision: float) -> float:
    """Returns the smallest confidence such that all candidates that reach it have
    :obj:`precision` on average; infinity if there is none.

    Args:
        confidence (torch.Tensor): Confidence of each candidate :math:`(P)`.
        precision (float): Mean confidence that is wanted.
    """
    ordered = confidence.sort(descending=True).values.double()
    mean = ordered.cumsum(0) / torch.arange(1, ordered.numel() + 1, device=ordered.device)
    last = torch.ones_like(mean, dtype=torch.bool)  # of equal ones: all or none are in
    last[:-1] = ordered[1:] < ordered[:-1]
    enough = ((mean >= precision) & last).nonzero()
    return float(ordered[int(enough.max())]) if enough.numel() else float("inf")


def _find(pairs: Tensor, known: Tensor) -> Tensor:
    """Returns the place of each pair among the known ones, -1 where there is none."""
    if known.size(1) == 0 or pairs.size(1) == 0:
        return torch.full((pairs.size(1),), -1)
    width = 1 + int(torch.cat([pairs[1], known[1]]).max())
    keys, order = (known[0] * width + known[1]).sort()
    wanted = pairs[0] * width + pairs[1]
    place = torch.searchsorted(keys, wanted).clamp(max=keys.numel() - 1)
    return torch.where(keys[place] == wanted, order[place], -1)


def _entry(
    pair: Tensor, decision: str, reason: str, votes: Votes, confidence: Tensor, i: int
) -> dict[str, Any]:
    ranks = votes.rank[i].tolist()
    return {
        "pair": pair.tolist(),
        "decision": decision,
        "reason": reason,
        "confidence": round(float(confidence[i]), 4),
        "votes": {
            name: {"agrees": None, "rank": None} if gone else {"agrees": agrees, "rank": rank}
            for name, agrees, gone, rank in zip(
                votes.voters,
                votes.agrees[i].tolist(),
                votes.abstains[i].tolist(),
                ranks,
                strict=True,
            )
        },
    }
