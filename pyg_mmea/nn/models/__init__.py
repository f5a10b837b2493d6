"""Alignment models: one file each."""

from pyg_mmea.nn.models.base import AlignmentModel, Embeddings, PairSpec
from pyg_mmea.nn.models.pcmea import PCMEA

__all__ = ["PCMEA", "AlignmentModel", "Embeddings", "PairSpec"]
