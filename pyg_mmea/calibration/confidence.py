"""The probability that a candidate is right, learned from held-back links."""

from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from pyg_mmea.calibration.propose import Candidates
from pyg_mmea.calibration.vote import Votes

_MIN_CASES = 5  # right and wrong cases each, below which a regression says nothing


class VoteConfidence:
    """Combines score, margin and votes into one probability by logistic regression (Platt
    scaling over several inputs), fitted on candidates whose truth a calibration set tells.

    Validation links are such a set: they are hidden from training, so that their entities are
    proposed in the same way as all others. A round with too few cases on either side leaves what an
    earlier one taught in force. Where nothing was learned, the confidence is a rule and no
    probability: one if all voters agree, else half the share that does.

    Args:
        min_cases (int): Right and wrong cases needed, each. (default: :obj:`5`)
    """

    def __init__(self, min_cases: int = _MIN_CASES) -> None:
        self.min_cases = min_cases
        self._weights: dict[str, Tensor] = {}

    def fit(
        self, candidates: Candidates, votes: Votes, calibration_links: Tensor
    ) -> dict[str, Any]:
        """Learns from the candidates that share an entity with a calibration link.

        Args:
            candidates (Candidates): The pairs.
            votes (Votes): Their evidence.
            calibration_links (torch.Tensor): Links that no encoder was trained on
                :math:`(2, C)`.

        Returns:
            dict: The rule in force and the numbers of right and wrong cases.
        """
        candidates = Candidates(*(x.cpu() for x in candidates))
        votes = Votes(votes.voters, *(x.cpu() for x in votes[1:]))
        judged, right = judge(candidates.pairs, calibration_links.cpu())
        num_right = int(right.sum())
        num_wrong = int(judged.sum()) - num_right
        info = {"num_right": num_right, "num_wrong": num_wrong}
        if min(num_right, num_wrong) < self.min_cases:
            return {"rule": self.rule, **info}
        inputs = _inputs(candidates, votes)
        scaler = StandardScaler().fit(inputs)
        chosen = scaler.transform(inputs[judged.cpu().numpy()])
        model = LogisticRegression().fit(chosen, right[judged].cpu().numpy())
        weight = model.coef_[0] / scaler.scale_
        bias = model.intercept_[0] - weight @ scaler.mean_
        self._weights = {"weight": torch.from_numpy(weight), "bias": torch.tensor(bias)}
        return {"rule": self.rule, **info}

    @property
    def rule(self) -> str:
        """What confidence stands for: a fitted probability or agreement."""
        return "logistic regression" if self._weights else "agreement"

    def __call__(self, candidates: Candidates, votes: Votes) -> Tensor:
        """Returns a confidence in [0, 1] for each candidate :math:`(P)`."""
        if not self._weights:
            voting = (~votes.abstains).sum(dim=1).clamp(min=1)
            share = (votes.agrees.sum(dim=1) / voting).double().cpu()
            return torch.where(share < 1, share / 2, share)
        inputs = torch.from_numpy(_inputs(candidates, votes))
        return torch.sigmoid(inputs @ self._weights["weight"] + self._weights["bias"])

    def state_dict(self) -> dict[str, Tensor]:
        """Returns what was learned as tensors."""
        return dict(self._weights)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores what was learned."""
        self._weights = dict(state)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(min_cases={self.min_cases})"


def judge(pairs: Tensor, links: Tensor) -> tuple[Tensor, Tensor]:
    """Tells which pairs share an entity with a link, and which are one.

    Args:
        pairs (torch.Tensor): Source and target ids :math:`(2, P)`.
        links (torch.Tensor): Source and target ids :math:`(2, C)`.

    Returns:
        tuple: Two bool tensors :math:`(P)`.
    """
    width = 1 + int(torch.cat([pairs[1], links[1], pairs.new_zeros(1)]).max())
    right = torch.isin(pairs[0] * width + pairs[1], links[0] * width + links[1])
    touched = torch.isin(pairs[0], links[0]) | torch.isin(pairs[1], links[1])
    return touched, right


def _inputs(candidates: Candidates, votes: Votes) -> np.ndarray:
    """Score, margin and the logarithm of each rank; a voter that abstains counts as average."""
    rank = votes.rank.double().log()
    average = rank.nanmean(dim=0).nan_to_num(0.0)
    rank = torch.where(rank.isnan(), average, rank)
    parts = [candidates.score.double().view(-1, 1), candidates.margin.double().view(-1, 1), rank]
    return torch.cat(parts, dim=1).cpu().numpy()
