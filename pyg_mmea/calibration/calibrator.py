"""One round of calibration: propose, vote, weigh, select."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyg_mmea.calibration.confidence import AGREEMENT, MAJORITY, Confidence, VoteConfidence
from pyg_mmea.calibration.pool import Pool, PseudoLabelPool
from pyg_mmea.calibration.propose import Candidates, Proposer, SinkhornProposer
from pyg_mmea.calibration.select import expected_threshold, precision_threshold
from pyg_mmea.calibration.similarity import SparseSimilarity
from pyg_mmea.calibration.vote import Votes, collect_votes
from pyg_mmea.typing import SIDES, Embeddings
from pyg_mmea.utils.pairs import check_links, contains, free_entities, judge
from pyg_mmea.utils.search import SEARCHES


class Threshold(NamedTuple):
    """The least confidence that is enough, and why.

    Attributes:
        value (float): The threshold; infinity selects nothing.
        rule (str): :obj:`"conformal selection"`, see
            :func:`~pyg_mmea.calibration.precision_threshold`, not below what
            :func:`~pyg_mmea.calibration.expected_threshold` finds. Where the cases allow no
            promise there, since they are too few, too many of them are wrong, or too few candidates
            are that sure, the latter alone, :obj:`"expected precision"`: an estimate. Where nothing
            was learned, :obj:`"majority"`: more than half of the voters that do not abstain need to
            rank a pair first, or for a precision of one :obj:`"unanimity"`: all of them.
    """

    value: float
    rule: str


class Examined(NamedTuple):
    """What one look at the embeddings gives.

    Attributes:
        candidates (Candidates): Pairs of entities without a link.
        votes (Votes): What each voter says of them.
        similarity (SparseSimilarity): The pairs that they were chosen from.
    """

    candidates: Candidates
    votes: Votes
    similarity: SparseSimilarity


class Calibrator:
    """Turns embeddings into pseudo-labels, round by round.

    Each step is an object of its own and can be replaced: :obj:`proposer` finds candidates among
    the entities that no training link names, :func:`~pyg_mmea.calibration.collect_votes` asks
    modalities and momentum encoder, :obj:`confidence` combines the votes,
    :func:`~pyg_mmea.calibration.precision_threshold` turns the precision asked for into a
    threshold, :obj:`pool` decides. The only hidden links that any of them sees is the calibration
    set that the caller hands to :meth:`round`.

    Args:
        proposer (Proposer, optional): By default
            :class:`~pyg_mmea.calibration.SinkhornProposer`. (default: :obj:`None`)
        confidence (VoteConfidence or Confidence, optional): By default
            :class:`~pyg_mmea.calibration.VoteConfidence`. (default: :obj:`None`)
        pool (PseudoLabelPool or Pool, optional): By default
            :class:`~pyg_mmea.calibration.PseudoLabelPool`. (default: :obj:`None`)
        precision (float): Precision asked of pseudo-labels. (default: :obj:`0.95`)
        vote_rank (int): Largest rank that counts as agreement of a modality.
            (default: :obj:`10`)
        num_neighbors (int): Nearest neighbours of each entity that are looked at.
            (default: :obj:`50`)
        search (str): How they are searched: :obj:`"exact"`, :obj:`"faiss"`, or :obj:`"auto"`, which
            is exact up to 50,000 entities a side, see :func:`~pyg_mmea.utils.nearest_pairs`.
            (default: :obj:`"auto"`)
        excluded_voters (Sequence[str]): Voters that are not asked, such as :obj:`"momentum"` or a
            view. (default: :obj:`()`)

    Raises:
        ValueError: If :obj:`precision` is not in [0, 1], :obj:`vote_rank` or :obj:`num_neighbors`
            below one, or :obj:`search` none of the choices.
    """

    def __init__(
        self,
        proposer: Proposer | None = None,
        # The first of two types is whose settings the command line takes without a class path.
        confidence: VoteConfidence | Confidence | None = None,
        pool: PseudoLabelPool | Pool | None = None,
        precision: float = 0.95,
        vote_rank: int = 10,
        num_neighbors: int = 50,
        search: str = "auto",
        excluded_voters: Sequence[str] = (),
    ) -> None:
        if not 0 <= precision <= 1:
            raise ValueError(f"'precision' needs to be in [0, 1] (got {precision})")
        for name, value in (("vote_rank", vote_rank), ("num_neighbors", num_neighbors)):
            if value < 1:
                raise ValueError(f"'{name}' needs to be at least 1 (got {value})")
        if search not in SEARCHES:
            raise ValueError(f"'search' needs to be one of {SEARCHES} (got {search!r})")
        self.proposer = proposer or SinkhornProposer()
        self.confidence: Confidence = confidence or VoteConfidence()
        self.pool: Pool = pool or PseudoLabelPool()
        self.precision = precision
        self.vote_rank = vote_rank
        self.num_neighbors = num_neighbors
        self.search = search
        self.excluded_voters = list(excluded_voters)
        self.rejected = torch.empty(2, 0, dtype=torch.long)  # pairs that people said are wrong

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
            online (dict): Embeddings of the online encoder, by side and modality:
                :obj:`"joint"`, by which neighbours are found, and any that vote.
            momentum (dict, optional): Those of the momentum encoder, of which :obj:`"joint"`
                votes.
            train_links (torch.Tensor): Seed alignment, ids of source and target entities
                :math:`(2, S)`.
            calibration_links (torch.Tensor): Links that no encoder was trained on
                :math:`(2, C)`; may be empty.

        Returns:
            list[dict]: Ledger entries; the first one sums up the round.

        Raises:
            ValueError: If links are no integers of shape :math:`(2, L)`, or of no entity, or if
                there is no joint embedding.
        """
        for side in SIDES:
            if "joint" not in online[side]:
                raise ValueError(f"'online' needs a 'joint' embedding (got {[*online[side]]})")
        sizes = [online[side]["joint"].size(0) for side in SIDES]
        for name, links in (("train", train_links), ("calibration", calibration_links)):
            check_links(f"{name}_links", links, sizes)
        calibration_links = calibration_links.to(online["source"]["joint"].device)
        candidates, votes, _ = self.examine(online, momentum, train_links)
        survivors = self.pool.survivors(candidates, votes)
        info = self.confidence.fit(candidates, votes, calibration_links, survivors)
        confidence = self.confidence(candidates, votes)
        threshold = self.threshold(confidence[survivors], self.precision)
        entries = self.pool.update(candidates, votes, confidence, threshold.value)
        summary = {
            "decision": "round",
            "num_candidates": candidates.pairs.size(1),
            "num_survivors": int(survivors.sum()),
            "num_used": self.pool.num_used,
            "threshold": threshold.value if math.isfinite(threshold.value) else None,
            "selection": threshold.rule,
            **info,
        }
        return [summary, *entries]

    def discard(self, train_links: Tensor) -> list[dict[str, Any]]:
        """Takes out of the pool what people rejected, and what competes with seeds
        :math:`(2, S)`; returns ledger entries."""
        return self.pool.discard(train_links, self.rejected)

    def labels_beside(self, train_links: Tensor) -> Tensor:
        """Returns the pseudo-labels that :meth:`discard` would leave :math:`(2, P)`."""
        labels = self.pool.pairs
        gone, _ = judge(labels, train_links.cpu())
        return labels[:, ~(gone | contains(self.rejected.cpu(), labels))]

    def threshold(self, confidence: Tensor, precision: float) -> Threshold:
        """Finds the confidence above which candidates have a precision.

        Both the cases, which keep a promise but jump from round to round where they are few, and
        the mean of the confidence, which is steady but an estimate, need to allow it; where the
        cases allow nothing, the mean alone does.

        Args:
            confidence (torch.Tensor): Confidence of all candidates that are eligible
                :math:`(P)`.
            precision (float): The precision asked for.
        """
        held, right = self.confidence.cases
        learned = self.confidence.rule != AGREEMENT
        expected = expected_threshold(confidence, precision) if learned else 0.0
        value = precision_threshold(confidence, held, right, precision, expected)
        if math.isfinite(value):
            return Threshold(value, "conformal selection")
        if learned:
            return Threshold(expected, "expected precision")
        if precision == 1:
            return Threshold(1.0, "unanimity")
        return Threshold(MAJORITY, "majority")

    @torch.no_grad()
    def examine(
        self, online: Embeddings, momentum: Embeddings | None, train_links: Tensor
    ) -> Examined:
        """Finds candidates, of which none is in :obj:`rejected`, and asks for votes on them;
        changes nothing."""
        z_s, z_t = online["source"]["joint"], online["target"]["joint"]
        train_links = train_links.to(z_s.device)
        free_s = free_entities(z_s.size(0), train_links[0])
        free_t = free_entities(z_t.size(0), train_links[1])
        similarity = SparseSimilarity.build(
            online,
            momentum,
            free_s,
            free_t,
            self.rejected,
            k=self.num_neighbors,
            search=self.search,
        )
        candidates = self.proposer(similarity)
        votes = collect_votes(similarity, candidates, self.vote_rank, self.excluded_voters)
        return Examined(candidates, votes, similarity)
