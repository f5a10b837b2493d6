from pyg_mmea.nn.fusion.weighted import WeightedConcat

__all__ = ["WeightedConcat"]
