"""The pseudo-labels in use, and how candidates come and go."""

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from pyg_mmea.calibration.propose import Candidates
from pyg_mmea.calibration.vote import Votes
from pyg_mmea.utils.pairs import contains, judge

REJECTED = "rejected by hand"


class Pool(ABC):
    """What decides which candidates train: the interface of one's own.

    Attributes:
        pairs (torch.Tensor): The pseudo-labels in use, on the CPU :math:`(2, P)`.
        num_used (int): How many these are.
        beliefs (tuple): All candidates of the last round :math:`(2, C)` and their confidence
            :math:`(C)`, by which links are propagated.
    """

    @property
    @abstractmethod
    def pairs(self) -> Tensor: ...

    @property
    @abstractmethod
    def num_used(self) -> int: ...

    @property
    @abstractmethod
    def beliefs(self) -> tuple[Tensor, Tensor]: ...

    @abstractmethod
    def survivors(self, candidates: Candidates, votes: Votes) -> Tensor:
        """Tells for which candidates a threshold is to be found, on the CPU :math:`(P)`; changes
        nothing."""

    @abstractmethod
    def update(
        self, candidates: Candidates, votes: Votes, confidence: Tensor, threshold: float
    ) -> list[dict[str, Any]]:
        """Takes in a round; returns one entry of the ledger for each label that came or went:
        :obj:`"pair"`, :obj:`"decision"` (:obj:`"accept"` or :obj:`"drop"`) and :obj:`"reason"`."""

    @abstractmethod
    def discard(self, links: Tensor, rejected: Tensor) -> list[dict[str, Any]]:
        """Forgets pairs that compete with links, or were rejected; returns entries."""

    @abstractmethod
    def reset(self) -> None:
        """Forgets all pairs."""

    @abstractmethod
    def state_dict(self) -> dict[str, Tensor]:
        """Returns the state as tensors."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores the state."""


class PseudoLabelPool(Pool):
    r"""Pairs that were proposed, how long they survived, and which of them train.

    A candidate *survives* if it was proposed in :obj:`patience` rounds in a row and each time at
    least :obj:`min_votes` voters agreed. A survivor whose confidence reaches the threshold of the
    round joins training, if the :obj:`budget` allows. It leaves as soon as it is no longer
    proposed, or its confidence falls :obj:`slack` below the threshold (below 1/2 in a round without
    a threshold). Where agreement breaks, confidence falls; votes are counted for those that join
    only.

    Args:
        slack (float): How far the confidence of a label in use may fall below the threshold.
            (default: :obj:`0.1`)
        min_votes (int): Voters that need to agree; never more than do not abstain.
            (default: :obj:`2`)
        patience (int): Rounds in a row, the one that accepts included. (default: :obj:`2`)
        budget (int, optional): Most labels that join in a round, the surest first.
            (default: :obj:`None`, which means no limit)

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        slack: float = 0.1,
        min_votes: int = 2,
        patience: int = 2,
        budget: int | None = None,
    ) -> None:
        if not 0 <= slack <= 1:
            raise ValueError(f"'slack' needs to be in [0, 1] (got {slack})")
        if patience < 1 or min_votes < 0:
            raise ValueError(
                f"'patience' needs to be at least 1 and 'min_votes' at least 0 "
                f"(got {patience} and {min_votes})"
            )
        if budget is not None and budget < 1:
            raise ValueError(f"'budget' needs to be at least 1 (got {budget})")
        self.slack = slack
        self.budget = budget
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
    def num_used(self) -> int:
        """Number of pseudo-labels in use."""
        return int(self._used.sum())

    @property
    def beliefs(self) -> tuple[Tensor, Tensor]:
        """All candidates of the last round :math:`(2, C)` and their confidence :math:`(C)`."""
        return self._known, self._confidence

    def survivors(self, candidates: Candidates, votes: Votes) -> Tensor:
        """Tells which candidates of the next round survive :math:`(P)`; changes nothing."""
        return self._streaks(candidates, votes, self._places(candidates)) >= self.patience

    def _places(self, candidates: Candidates) -> Tensor:
        return _find(candidates.pairs.cpu(), self._known)  # [P], -1 where new

    def _streaks(self, candidates: Candidates, votes: Votes, old: Tensor) -> Tensor:
        voting = (~votes.abstains).sum(dim=1).cpu()
        enough = votes.agrees.sum(dim=1).cpu() >= voting.clamp(max=self.min_votes)
        streak = torch.zeros(candidates.pairs.size(1), dtype=torch.long)
        streak[old >= 0] = self._streak[old[old >= 0]]
        return torch.where(enough, streak + 1, 0)

    def update(
        self, candidates: Candidates, votes: Votes, confidence: Tensor, threshold: float
    ) -> list[dict[str, Any]]:
        """Takes in one round of candidates.

        Args:
            candidates (Candidates): The pairs.
            votes (Votes): Their evidence.
            confidence (torch.Tensor): Confidence of each pair :math:`(P)`.
            threshold (float): Least confidence of a survivor that joins; infinity if none does.

        Returns:
            list[dict]: One entry for each label that is accepted or dropped.
        """
        pairs = candidates.pairs.cpu()
        old = self._places(candidates)
        was_used = torch.zeros(pairs.size(1), dtype=torch.bool)
        was_used[old >= 0] = self._used[old[old >= 0]]
        streak = self._streaks(candidates, votes, old)
        confidence = confidence.cpu().double()
        # A round in which nothing is sure adds no label, and is no reason to drop those that are
        # more likely right than wrong.
        floor = threshold - self.slack if math.isfinite(threshold) else 0.5
        kept = was_used & (confidence >= floor)
        joins = ~was_used & (streak >= self.patience) & (confidence >= threshold)
        if self.budget is not None:
            joins &= _highest(confidence.masked_fill(~joins, -1.0), self.budget)
        used = kept | joins

        entries = []
        for decision, reason, changed in (
            ("accept", "sure", used & ~was_used),
            ("drop", "confidence fell", was_used & ~used),
        ):
            index = changed.nonzero().view(-1)
            part = pairs[:, index], votes.cpu().select(index), confidence[index]
            entries += _entries(decision, reason, threshold, *part)
        gone = self._known[:, self._used & (_find(self._known, pairs) < 0)]
        entries += [
            {"pair": pair, "decision": "drop", "reason": "no longer proposed"}
            for pair in gone.t().tolist()
        ]
        self._known, self._streak, self._used = pairs, streak, used
        self._confidence = confidence
        return entries

    def discard(self, links: Tensor, rejected: Tensor) -> list[dict[str, Any]]:
        """Forgets pairs that share an entity with a link :math:`(2, L)`, and those that people
        rejected :math:`(2, R)`.

        Returns:
            list[dict]: One entry for each label that is dropped.
        """
        links = links.cpu()
        taken, _ = judge(self._known, links)
        wrong = contains(rejected.cpu(), self._known)
        entries = [
            {"pair": pair, "decision": "drop", "reason": reason}
            for gone, reason in ((wrong, REJECTED), (taken & ~wrong, "an entity became a seed"))
            for pair in self._known[:, gone & self._used].t().tolist()
        ]
        keep = ~(taken | wrong)
        self._known, self._streak = self._known[:, keep], self._streak[keep]
        self._used, self._confidence = self._used[keep], self._confidence[keep]
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


def _highest(values: Tensor, num: int) -> Tensor:
    """Tells which values are the highest; of equal ones, those that come first."""
    chosen = torch.zeros(values.numel(), dtype=torch.bool)
    chosen[values.argsort(descending=True, stable=True)[:num]] = True
    return chosen


def _find(pairs: Tensor, known: Tensor) -> Tensor:
    """Returns the place of each pair among the known ones, -1 where there is none."""
    if known.size(1) == 0 or pairs.size(1) == 0:
        return torch.full((pairs.size(1),), -1)
    width = 1 + int(torch.cat([pairs[1], known[1]]).max())
    keys, order = (known[0] * width + known[1]).sort()
    wanted = pairs[0] * width + pairs[1]
    place = torch.searchsorted(keys, wanted).clamp(max=keys.numel() - 1)
    return torch.where(keys[place] == wanted, order[place], -1)


def _entries(
    decision: str, reason: str, threshold: float, pairs: Tensor, votes: Votes, confidence: Tensor
) -> list[dict[str, Any]]:
    numbers = (votes.agrees, votes.rank, votes.margin, votes.probability, votes.abstains)
    rows = zip(*(x.tolist() for x in numbers), strict=True)
    return [
        {
            "pair": pair,
            "decision": decision,
            "reason": reason,
            "confidence": round(sure, 4),
            "threshold": round(threshold, 4) if math.isfinite(threshold) else None,
            "votes": {
                name: _vote(*vote)
                for name, vote in zip(votes.voters, zip(*row, strict=True), strict=True)
            },
        }
        for pair, sure, row in zip(pairs.t().tolist(), confidence.tolist(), rows, strict=True)
    ]


def _vote(
    agrees: bool, rank: float, margin: float, probability: float, abstains: bool
) -> dict[str, Any]:
    if abstains:
        return {"agrees": None, "rank": None, "margin": None, "probability": None}
    return {
        "agrees": agrees,
        "rank": rank,
        "margin": round(margin, 4),
        "probability": round(probability, 4),
    }
