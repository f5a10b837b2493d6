"""Training on top of the rest: the only place that knows epochs and devices."""

from pyg_mmea.training.aligner import Aligner
from pyg_mmea.training.callbacks import CalibrationCallback, MetricsTable
from pyg_mmea.training.config import TrainingConfig
from pyg_mmea.training.data import LinkDataModule
from pyg_mmea.training.decisions import Decision, DecisionConflictError, Decisions
from pyg_mmea.training.module import AlignmentModule
from pyg_mmea.training.phase import PhaseResult, run_phase

__all__ = [
    "Aligner",
    "AlignmentModule",
    "CalibrationCallback",
    "Decision",
    "DecisionConflictError",
    "Decisions",
    "LinkDataModule",
    "MetricsTable",
    "PhaseResult",
    "TrainingConfig",
    "run_phase",
]
