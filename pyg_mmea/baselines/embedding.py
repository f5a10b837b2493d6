"""Baselines that give every entity a vector."""

from abc import abstractmethod
from typing import Any

from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_mmea.baselines.base import Baseline
from pyg_mmea.calibration import SinkhornProposer, SparseSimilarity
from pyg_mmea.calibration.propose import Candidates
from pyg_mmea.metrics import evaluate_alignment
from pyg_mmea.typing import SIDES
from pyg_mmea.utils.pairs import free_entities


class EmbeddingBaseline(Baseline):
    """Base class of baselines that give every entity a vector; entities are compared by cosine.

    The confidence of a pair is the probability that Sinkhorn's iteration gives it among the nearest
    neighbours, see :class:`~pyg_mmea.calibration.SinkhornProposer`.

    Args:
        csls_k (int): Neighbourhood of CSLS in evaluation; zero ranks by cosine.
            (default: :obj:`10`)
    """

    def __init__(self, csls_k: int = 10) -> None:
        super().__init__()
        self.csls_k = csls_k
        self.embeddings: dict[str, Tensor] = {}

    @abstractmethod
    def embed(self, visible: HeteroData, links: Tensor) -> dict[str, Tensor]:
        """Returns a vector for every entity of both graphs :math:`(N, D)`; see :meth:`align`."""

    def align(self, visible: HeteroData, links: Tensor) -> None:
        self.embeddings = self.embed(visible, links)

    def measure(self, links: Tensor, candidates: str, matching: str) -> dict[str, Any]:
        x_s, x_t = (self.embeddings[side] for side in SIDES)
        return evaluate_alignment(x_s, x_t, links, candidates, self.csls_k, matching)

    def propose(self) -> tuple[Candidates, Tensor]:
        return best_pairs(self.embeddings, self.known)


def best_pairs(embeddings: dict[str, Tensor], known: Tensor) -> tuple[Candidates, Tensor]:
    """Returns the pairs of entities without a known link that are each other's best by Sinkhorn's
    iteration, and their probability :math:`(P)`."""
    free_s, free_t = (
        free_entities(embeddings[side].size(0), taken)
        for side, taken in zip(SIDES, known, strict=True)
    )
    views = {side: {"joint": x} for side, x in embeddings.items()}
    candidates = SinkhornProposer()(SparseSimilarity.build(views, None, free_s, free_t))
    return candidates, candidates.score.exp()
