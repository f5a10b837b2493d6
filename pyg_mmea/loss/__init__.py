from pyg_mmea.loss.hard_negative import HardNegativeLoss
from pyg_mmea.loss.info_nce import InfoNCELoss

__all__ = [
    "HardNegativeLoss",
    "InfoNCELoss",
]
