from pyg_mmea.loss.alignment_kl import AlignmentKLLoss
from pyg_mmea.loss.batch_similarity import BatchSimilarity
from pyg_mmea.loss.eva_objective import EVAObjective
from pyg_mmea.loss.hard_negative import HardNegativeLoss
from pyg_mmea.loss.info_nce import InfoNCELoss
from pyg_mmea.loss.meaformer_objective import MEAformerObjective
from pyg_mmea.loss.momentum_contrast import MomentumContrastLoss
from pyg_mmea.loss.mutual_information import MLPCritic, MutualInformationLoss, SeparableCritic
from pyg_mmea.loss.nca import NCALoss
from pyg_mmea.loss.objective import PCMEAObjective
from pyg_mmea.loss.sampled_softmax import SampledSoftmaxLoss
from pyg_mmea.loss.uncertainty_weighting import UncertaintyWeighting

__all__ = [
    "AlignmentKLLoss",
    "BatchSimilarity",
    "EVAObjective",
    "HardNegativeLoss",
    "InfoNCELoss",
    "MEAformerObjective",
    "MLPCritic",
    "MomentumContrastLoss",
    "MutualInformationLoss",
    "NCALoss",
    "PCMEAObjective",
    "SampledSoftmaxLoss",
    "SeparableCritic",
    "UncertaintyWeighting",
]
