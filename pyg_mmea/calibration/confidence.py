"""The probability that a candidate is right, learned from held-back links."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from pyg_mmea.calibration.propose import Candidates
from pyg_mmea.calibration.vote import Votes
from pyg_mmea.utils.pairs import judge

MAJORITY = 0.501  # more than half, of any number of voters that there can be
AGREEMENT = "agreement"  # the rule where nothing was learned
_NUM_FOLDS = 5


class Confidence(ABC):
    """What gives each candidate a confidence in [0, 1]: the interface of one's own.

    Attributes:
        rule (str): How, for people; :obj:`"agreement"` says that nothing was learned.
        cases (tuple): Of candidates whose truth the calibration set told, the confidence by
            something that did not see it, and whether they are right :math:`(C)`; without any,
            there is no promise of precision.
    """

    @property
    @abstractmethod
    def rule(self) -> str: ...

    @property
    @abstractmethod
    def cases(self) -> tuple[Tensor, Tensor]: ...

    @abstractmethod
    def fit(
        self,
        candidates: Candidates,
        votes: Votes,
        calibration_links: Tensor,
        eligible: Tensor | None = None,
    ) -> dict[str, Any]:
        """Learns from a round; returns what the ledger says of it, a rule and numbers of cases."""

    @abstractmethod
    def __call__(self, candidates: Candidates, votes: Votes) -> Tensor:
        """Returns the confidence of each candidate, on the CPU as :obj:`cases` are :math:`(P)`."""

    @abstractmethod
    def state_dict(self) -> dict[str, Tensor]:
        """Returns what was learned as tensors."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores what was learned; nothing, of an empty state."""


class VoteConfidence(Confidence):
    r"""Combines score, margins, ranks and probabilities into one probability by logistic
    regression, fitted on candidates whose truth a calibration set tells.

    Validation links are such a set: they are hidden from training, so that their entities are
    proposed in the same way as all others. Targets are smoothed as in `"Probabilistic Outputs for
    Support Vector Machines and Comparisons to Regularized Likelihood Methods"
    <https://www.researchgate.net/publication/2594015>`_ (Platt, 1999), so that cases that are few,
    or all right, make nothing certain: of :math:`N_+` right and :math:`N_-` wrong ones, a right one
    counts as :math:`(N_+ + 1) / (N_+ + 2)` right and a wrong one as :math:`1 / (N_- + 2)`.

    A wrong pair of two linked entities is a case if either of them has a calibration link, a right
    one if both have: of few links, wrong ones are cases about twice as often, so that confidence
    errs on the side of caution. What :func:`~pyg_mmea.metrics.pseudo_label_precision` counts has
    the same bias, the less, the more links are known.

    A round with too few cases leaves what an earlier one taught in force. Where nothing was
    learned, confidence is a rule and no probability: the share of the voters that rank the pair
    first, of those that do not abstain.

    Args:
        min_cases (int): Cases needed. (default: :obj:`20`)

    Raises:
        ValueError: If :obj:`min_cases` is below one.
    """

    def __init__(self, min_cases: int = 20) -> None:
        if min_cases < 1:
            raise ValueError(f"'min_cases' needs to be at least 1 (got {min_cases})")
        self.min_cases = min_cases
        self._state: dict[str, Tensor] = {}

    def fit(
        self,
        candidates: Candidates,
        votes: Votes,
        calibration_links: Tensor,
        eligible: Tensor | None = None,
    ) -> dict[str, Any]:
        """Learns from the candidates that share an entity with a calibration link.

        Args:
            candidates (Candidates): The pairs.
            votes (Votes): Their evidence.
            calibration_links (torch.Tensor): Links that no encoder was trained on
                :math:`(2, C)`.
            eligible (torch.Tensor, optional): Which candidates a threshold is asked for, so that
                :obj:`cases` need to be like them :math:`(P)`.
                (default: :obj:`None`, which means all)

        Returns:
            dict: The rule in force and the numbers of right and wrong cases.
        """
        judged, right = judge(candidates.pairs.cpu(), calibration_links.cpu())
        right = right[judged]
        num_right = int(right.sum())
        num_wrong = right.numel() - num_right
        if right.numel() >= max(self.min_cases, _NUM_FOLDS):
            inputs, average = _inputs(candidates, votes)
            shift, scale = inputs.mean(axis=0), inputs.std(axis=0)
            scale[scale == 0] = 1.0
            cases = (inputs[judged.numpy()] - shift) / scale
            smooth = torch.where(right, (num_right + 1) / (num_right + 2), 1 / (num_wrong + 2))
            target = smooth.numpy()
            held = np.empty(len(cases))
            order = np.lexsort(cases.T[::-1])  # by score: every fold spans all scores
            for fold in range(_NUM_FOLDS):
                rest = np.delete(order, np.s_[fold::_NUM_FOLDS])
                weight, bias = _regress(cases[rest], target[rest])
                held[order[fold::_NUM_FOLDS]] = cases[order[fold::_NUM_FOLDS]] @ weight + bias
            weight, bias = _regress(cases, target)
            weight = weight / scale
            alike = slice(None) if eligible is None else eligible.cpu()[judged]
            self._state = {
                "weight": torch.from_numpy(weight),
                "bias": torch.tensor(bias - weight @ shift),
                "average": average,
                "held": torch.from_numpy(held).sigmoid()[alike],
                "right": right[alike],
            }
        return {"rule": self.rule, "num_right": num_right, "num_wrong": num_wrong}

    @property
    def rule(self) -> str:
        """Whether confidence is a fitted probability or agreement of voters."""
        return "logistic regression" if self._state else AGREEMENT

    @property
    def cases(self) -> tuple[Tensor, Tensor]:
        """Of each eligible candidate that was learned from, the confidence by a regression that did
        not see it, and whether it is right :math:`(C)`; empty where nothing was learned."""
        if not self._state:
            return torch.empty(0, dtype=torch.double), torch.empty(0, dtype=torch.bool)
        return self._state["held"], self._state["right"]

    def __call__(self, candidates: Candidates, votes: Votes) -> Tensor:
        """Returns a confidence in [0, 1] for each candidate :math:`(P)`."""
        if not self._state:
            return votes.cpu().share_first()
        average = self._state.get("average")  # runs of older versions have none
        inputs, _ = _inputs(candidates, votes, average)
        return torch.sigmoid(torch.from_numpy(inputs) @ self._state["weight"] + self._state["bias"])

    def state_dict(self) -> dict[str, Tensor]:
        """Returns what was learned as tensors."""
        return dict(self._state)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores what was learned."""
        self._state = dict(state)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(min_cases={self.min_cases})"


def _inputs(
    candidates: Candidates, votes: Votes, average: Tensor | None = None
) -> tuple[np.ndarray, Tensor]:
    """Score and logarithm of one plus the margin; of each voter the logarithm of the rank, the
    margin and the logarithm of the probability, average where it abstains, and whether it does.
    Returns the averages, too, which are those of the candidates unless they are given."""
    votes = votes.cpu()
    numbers = torch.cat(
        [votes.rank.log(), votes.margin, votes.probability.clamp(min=1e-9).log()], dim=1
    )  # [P, 3V]
    if average is None:
        average = numbers.nanmean(dim=0).nan_to_num(0.0)
    parts = [
        candidates.score.cpu().view(-1, 1),
        candidates.margin.cpu().log1p().view(-1, 1),  # between log-probabilities it is of any size
        torch.where(numbers.isnan(), average, numbers),
        votes.abstains,
    ]
    return torch.cat([part.double() for part in parts], dim=1).numpy(), average


def _regress(inputs: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, float]:
    """Fits a logistic regression to soft targets: each case counts as both, in parts."""
    label = np.repeat([1, 0], len(target))
    model = LogisticRegression(max_iter=1000)
    model.fit(np.tile(inputs, (2, 1)), label, sample_weight=np.concatenate([target, 1 - target]))
    return model.coef_[0], float(model.intercept_[0])
