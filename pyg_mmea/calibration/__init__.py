"""Pseudo-labels: proposing, voting, confidence, selection and the record of it."""

from pyg_mmea.calibration.calibrator import Calibrator
from pyg_mmea.calibration.confidence import VoteConfidence
from pyg_mmea.calibration.fusion import fit_view_weights, weighted_joint
from pyg_mmea.calibration.ledger import Ledger
from pyg_mmea.calibration.pool import PseudoLabelPool, confidence_threshold
from pyg_mmea.calibration.propose import Candidates, MutualNearestProposer, Proposer
from pyg_mmea.calibration.vote import Votes, collect_votes

__all__ = [
    "Calibrator",
    "Candidates",
    "Ledger",
    "MutualNearestProposer",
    "Proposer",
    "PseudoLabelPool",
    "VoteConfidence",
    "Votes",
    "collect_votes",
    "confidence_threshold",
    "fit_view_weights",
    "weighted_joint",
]
