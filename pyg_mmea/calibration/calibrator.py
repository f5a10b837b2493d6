"""One round of calibration: propose, vote, weigh, select."""

from typing import Any

import torch
from torch import Tensor

from pyg_mmea.calibration.confidence import VoteConfidence
from pyg_mmea.calibration.pool import PseudoLabelPool
from pyg_mmea.calibration.propose import Candidates, MutualNearestProposer, Proposer
from pyg_mmea.calibration.vote import Embeddings, Votes, collect_votes


class Calibrator:
    """Turns embeddings into pseudo-labels, round by round.

    Each step is an object of its own and can be replaced: :obj:`proposer` finds candidates among
    the entities that no training link names, :func:`~pyg_mmea.calibration.collect_votes` asks
    modalities and momentum encoder, :obj:`confidence` combines the votes, :obj:`pool` decides.
    The only hidden links that any of them sees is the calibration set that the caller hands to
    :meth:`round`.

    Args:
        proposer (Proposer, optional): By default
            :class:`~pyg_mmea.calibration.MutualNearestProposer`. (default: :obj:`None`)
        confidence (VoteConfidence, optional): By default
            :class:`~pyg_mmea.calibration.VoteConfidence`. (default: :obj:`None`)
        pool (PseudoLabelPool, optional): By default
            :class:`~pyg_mmea.calibration.PseudoLabelPool`. (default: :obj:`None`)
        vote_rank (int): Largest rank that counts as agreement of a modality.
            (default: :obj:`10`)
    """

    def __init__(
        self,
        proposer: Proposer | None = None,
        confidence: VoteConfidence | None = None,
        pool: PseudoLabelPool | None = None,
        vote_rank: int = 10,
    ) -> None:
        self.proposer = proposer or MutualNearestProposer()
        self.confidence = confidence or VoteConfidence()
        self.pool = pool or PseudoLabelPool()
        self.vote_rank = vote_rank

    def reset(self) -> None:
        """Forgets all pairs and all that was learned of confidence."""
        self.pool.reset()
        self.confidence.load_state_dict({})

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """Returns the state of pool and confidence as tensors."""
        return {"pool": self.pool.state_dict(), "confidence": self.confidence.state_dict()}

    def load_state_dict(self, state: dict[str, dict[str, Tensor]]) -> None:
        """Restores the state of pool and confidence."""
        self.pool.load_state_dict(state["pool"])
        self.confidence.load_state_dict(state["confidence"])

    def round(
        self,
        online: Embeddings,
        momentum: Embeddings | None,
        train_links: Tensor,
        calibration_links: Tensor,
    ) -> list[dict[str, Any]]:
        """Updates the pool and returns what changed.

        Args:
            online (dict): Embeddings of the online encoder, by side and modality.
            momentum (dict, optional): Those of the momentum encoder.
            train_links (torch.Tensor): Seed alignment :math:`(2, S)`.
            calibration_links (torch.Tensor): Links that no encoder was trained on
                :math:`(2, C)`; may be empty.

        Returns:
            list[dict]: Ledger entries; the first one sums up the round.
        """
        candidates, votes = self.examine(online, momentum, train_links)
        info = self.confidence.fit(candidates, votes, calibration_links)
        entries = self.pool.update(candidates, votes, self.confidence(candidates, votes))
        summary = {
            "decision": "round",
            "num_candidates": candidates.pairs.size(1),
            "num_used": self.pool.pairs.size(1),
            **info,
        }
        return [summary, *entries]

    def examine(
        self, online: Embeddings, momentum: Embeddings | None, train_links: Tensor
    ) -> tuple[Candidates, Votes]:
        """Returns candidates and their votes; changes nothing."""
        z_s, z_t = online["source"]["joint"], online["target"]["joint"]
        free_s, free_t = _free(z_s, train_links[0]), _free(z_t, train_links[1])
        candidates = self.proposer(z_s, z_t, free_s, free_t)
        votes = collect_votes(candidates, online, momentum, free_s, free_t, self.vote_rank)
        return candidates, votes


def _free(z: Tensor, taken: Tensor) -> Tensor:
    free = torch.ones(z.size(0), dtype=torch.bool, device=z.device)
    free[taken] = False
    return free.nonzero().view(-1)
