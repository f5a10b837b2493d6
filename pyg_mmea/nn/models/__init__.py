"""Alignment models: one file each."""

from pyg_mmea.nn.models.base import AlignmentModel, PairSpec
from pyg_mmea.nn.models.eva import EVA
from pyg_mmea.nn.models.mclea import MCLEA
from pyg_mmea.nn.models.meaformer import MEAformer
from pyg_mmea.nn.models.multimodal import ConcatModel, MultiModalModel
from pyg_mmea.nn.models.pcmea import PCMEA

__all__ = [
    "EVA",
    "MCLEA",
    "PCMEA",
    "AlignmentModel",
    "ConcatModel",
    "MEAformer",
    "MultiModalModel",
    "PairSpec",
]
