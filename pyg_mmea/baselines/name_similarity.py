"""Alignment by what entities are called."""

from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_mmea.baselines.base import feature
from pyg_mmea.baselines.embedding import EmbeddingBaseline
from pyg_mmea.typing import SIDES


class NameSimilarity(EmbeddingBaseline):
    """Compares features of entities as they are, by default those of their names, and looks at
    neither triples nor links.

    Names give the answer away in the usual benchmarks, so a result that used them is not to be
    compared with one that did not. For names and graph together see
    :class:`~pyg_mmea.baselines.LabelPropagation` with :obj:`feature="name"`, which uses seeds, too.

    Args:
        modality (str): Which features. (default: :obj:`"name"`)
        csls_k (int): Neighbourhood of CSLS in evaluation. (default: :obj:`10`)

    Raises:
        ValueError: On fitting, if the pair lacks these features.
    """

    def __init__(self, modality: str = "name", csls_k: int = 10) -> None:
        super().__init__(csls_k)
        self.modality = modality

    def embed(self, visible: HeteroData, links: Tensor) -> dict[str, Tensor]:
        return {side: feature(visible, side, self.modality).to_dense() for side in SIDES}

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(modality={self.modality})"
