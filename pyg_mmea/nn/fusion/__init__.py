from pyg_mmea.nn.fusion.cross_modal import CrossModalTransformer
from pyg_mmea.nn.fusion.weighted import WeightedConcat

__all__ = ["CrossModalTransformer", "WeightedConcat"]
