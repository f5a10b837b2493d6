"""Alignment by propagating labels over both graphs."""

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_mmea.baselines.base import feature
from pyg_mmea.baselines.embedding import EmbeddingBaseline, best_pairs
from pyg_mmea.nn import LinkPropagation
from pyg_mmea.nn.message_graph import bidirectional
from pyg_mmea.typing import RELATION_EDGE, SIDES
from pyg_mmea.utils.similarity import unit_rows


class LabelPropagation(EmbeddingBaseline):
    r"""Describes entities by the seeds around them, in the manner of `"LightEA: A Scalable, Robust,
    and Interpretable Entity Alignment Framework via Three-view Label Propagation"
    <https://arxiv.org/abs/2210.10436>`_: each seed is a random label, labels travel along the
    triples and along relations (:class:`~pyg_mmea.nn.LinkPropagation`), and entities that are
    reached by the same labels are the same. :obj:`matching="sinkhorn"` is what the paper ranks by.

    With :obj:`feature`, the vectors of a modality travel, too, such as those of names. Then
    entities without a seed nearby can be told apart, and with them alone no seed is needed.

    With more than one round, pairs that are each other's best join the seeds of the next round,
    each with its probability as the length of its label.

    Args:
        channels (int): Size :math:`D` of the random labels. (default: :obj:`512`)
        num_layers (int): Number of hops :math:`L`. (default: :obj:`2`)
        num_rounds (int): How often labels are propagated. (default: :obj:`1`)
        feature (str, optional): A modality whose vectors are propagated beside the labels.
            (default: :obj:`None`)
        feature_weight (float): Length of what they give, where that of labels is one.
            (default: :obj:`1.0`)
        csls_k (int): Neighbourhood of CSLS in evaluation. (default: :obj:`10`)

    Raises:
        ValueError: If an argument is out of range; on fitting, if the pair has no link and no
            feature to propagate, or lacks the feature.
    """

    def __init__(
        self,
        channels: int = 512,
        num_layers: int = 2,
        num_rounds: int = 1,
        feature: str | None = None,
        feature_weight: float = 1.0,
        csls_k: int = 10,
    ) -> None:
        super().__init__(csls_k)
        for name, value in (
            ("channels", channels),
            ("num_layers", num_layers),
            ("num_rounds", num_rounds),
        ):
            if value < 1:
                raise ValueError(f"'{name}' needs to be at least 1 (got {value})")
        if not feature_weight > 0:
            raise ValueError(f"'feature_weight' needs to be positive (got {feature_weight})")
        self.channels = channels
        self.num_layers = num_layers
        self.num_rounds = num_rounds
        self.feature = feature
        self.feature_weight = feature_weight

    def embed(self, visible: HeteroData, links: Tensor) -> dict[str, Tensor]:
        if links.size(1) == 0 and self.feature is None:
            raise ValueError("'data' needs to have links to propagate (got none)")
        num_relations = max(len(visible[edge].relation_uri) for edge in RELATION_EDGE.values())
        edges = {
            side: bidirectional(visible[edge].edge_index, visible[edge].edge_type, num_relations)
            for side, edge in RELATION_EDGE.items()
        }
        num_nodes = {side: visible[side].num_nodes for side in SIDES}
        layer = LinkPropagation(2 * num_relations, self.channels, self.num_layers)
        features: dict[str, Tensor] = {}
        if self.feature is not None:
            labels: dict[str, Tensor] = {
                side: unit_rows(feature(visible, side, self.feature).to_dense()) for side in SIDES
            }
            features = layer.spread(edges, labels, keep_own=True)

        def propagate(seeds: Tensor, weight: Tensor | None) -> dict[str, Tensor]:
            if seeds.size(1) == 0:
                return features
            reached = layer(edges, num_nodes, seeds, weight)
            if not features:
                return reached
            return {
                side: torch.cat([x, self.feature_weight * features[side]], dim=1)
                for side, x in reached.items()
            }

        x = propagate(links, None)
        for _ in range(self.num_rounds - 1):
            found, probability = best_pairs(x, links)
            one = probability.new_ones(links.size(1))
            seeds = torch.cat([links, found.pairs], dim=1)
            x = propagate(seeds, torch.cat([one, probability]))
        return x

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}(channels={self.channels}, num_layers={self.num_layers}, "
            f"num_rounds={self.num_rounds}, feature={self.feature})"
        )
