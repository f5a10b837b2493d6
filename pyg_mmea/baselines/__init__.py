"""Methods without a neural network, measured like the models: label propagation, PARIS, names."""

from pyg_mmea.baselines.base import Baseline
from pyg_mmea.baselines.embedding import EmbeddingBaseline
from pyg_mmea.baselines.label_propagation import LabelPropagation
from pyg_mmea.baselines.name_similarity import NameSimilarity
from pyg_mmea.baselines.paris import PARIS

__all__ = [
    "PARIS",
    "Baseline",
    "EmbeddingBaseline",
    "LabelPropagation",
    "NameSimilarity",
]
