"""Pseudo-labels: proposing, voting, confidence, selection and the record of it."""

from pyg_mmea.calibration.calibrator import Calibrator, Examined, Threshold
from pyg_mmea.calibration.confidence import Confidence, VoteConfidence
from pyg_mmea.calibration.doubt import doubtful_links
from pyg_mmea.calibration.fusion import (
    even_weights,
    fit_view_weights,
    split_parts,
    sum_parts,
    weighted_joint,
)
from pyg_mmea.calibration.informative import informative_pairs
from pyg_mmea.calibration.ledger import Ledger, decided_by_hand, in_force, replay
from pyg_mmea.calibration.pool import Pool, PseudoLabelPool
from pyg_mmea.calibration.propose import (
    Candidates,
    MutualNearestProposer,
    Proposer,
    SinkhornProposer,
)
from pyg_mmea.calibration.select import expected_threshold, precision_threshold
from pyg_mmea.calibration.similarity import SparseSimilarity
from pyg_mmea.calibration.vote import Votes, collect_votes

__all__ = [
    "Calibrator",
    "Candidates",
    "Confidence",
    "Examined",
    "Ledger",
    "MutualNearestProposer",
    "Pool",
    "Proposer",
    "PseudoLabelPool",
    "SinkhornProposer",
    "SparseSimilarity",
    "Threshold",
    "VoteConfidence",
    "Votes",
    "collect_votes",
    "decided_by_hand",
    "doubtful_links",
    "even_weights",
    "expected_threshold",
    "fit_view_weights",
    "in_force",
    "informative_pairs",
    "precision_threshold",
    "replay",
    "split_parts",
    "sum_parts",
    "weighted_joint",
]
