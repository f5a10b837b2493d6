"""The views of both graphs: what ranks, votes and is weighed."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.data.storage import NodeStorage

from pyg_mmea.calibration import even_weights, split_parts, weighted_joint
from pyg_mmea.nn import AlignmentModel, LinkPropagation
from pyg_mmea.training.config import TrainingConfig
from pyg_mmea.typing import SIDES, Embeddings

Beliefs = tuple[Tensor, Tensor]  # links (2, A), and how sure each is (A)


class ViewEmbedder:
    """Embeds both graphs without dropout, with two kinds of views that take no training beside the
    modalities, as trained encoders forget some of what is common to all entities:

    * :obj:`"<modality>_frozen"`, dense features as they are;
    * :obj:`"propagation"`, see :class:`~pyg_mmea.nn.LinkPropagation`.

    Where :obj:`config.rank_by` is :obj:`"joint"`, :obj:`"joint"` is that of the model.

    Args:
        model (AlignmentModel): The online encoder.
        momentum (AlignmentModel): The momentum encoder itself.
        config (TrainingConfig): Which views there are, and what ranks; where its :obj:`encoder` is
            :obj:`"momentum"`, both encoders change places.
    """

    def __init__(
        self, model: AlignmentModel, momentum: AlignmentModel, config: TrainingConfig
    ) -> None:
        self.final, self.other = (
            (model, momentum) if config.encoder == "online" else (momentum, model)
        )
        self.config = config
        self.propagation = LinkPropagation(
            2 * model.spec.num_relations, config.propagation_channels
        )

    def views(self, pair: HeteroData, beliefs: Beliefs) -> Embeddings:
        """Embeds both graphs by the encoder that embeds in the end.

        Args:
            pair (HeteroData): The pair, on the device of the encoders.
            beliefs (tuple): Links that the propagation starts from, and how sure each is.
        """
        return _merged(self._embed(self.final, pair), self._untrained(pair, beliefs))

    def voters(
        self, pair: HeteroData, beliefs: Beliefs, weights: Mapping[str, float]
    ) -> tuple[Embeddings, Embeddings]:
        """Returns what calibration asks: all views of the encoder that embeds in the end, with the
        joint embedding that ranks, and the joint embedding of the other encoder.

        Args:
            pair (HeteroData): The pair, on the device of the encoders.
            beliefs (tuple): Links that the propagation starts from, and how sure each is.
            weights (dict): Weight of each part, see :meth:`with_joint`.
        """
        untrained = self._untrained(pair, beliefs)
        # The other one first: only its joint embedding stays while the final one embeds.
        views = _merged(self._embed(self.other, pair), untrained)
        other = {
            side: {"joint": out["joint"]} for side, out in self.with_joint(views, weights).items()
        }
        del views
        final = _merged(self._embed(self.final, pair), untrained)
        return self.with_joint(final, weights), other

    def parts(self, views: Embeddings) -> Embeddings:
        """Takes views apart into what is weighed, see
        :func:`~pyg_mmea.calibration.split_parts`."""
        num_parts = {**self.final.num_parts, "propagation": self.propagation.num_parts}
        return {side: split_parts(out, num_parts) for side, out in views.items()}

    def with_joint(self, views: Embeddings, weights: Mapping[str, float]) -> Embeddings:
        """Adds the joint embedding that ranks, unless it is that of the model.

        Args:
            views (dict): Embeddings by side and view.
            weights (dict): Weight of each of the :meth:`parts`; without any, all views count the
                same, and all parts of a view.
        """
        if self.config.rank_by == "joint":
            return views
        parts = self.parts(views)
        weights = weights or even_weights(parts["source"])
        return {
            side: {**out, "joint": weighted_joint(parts[side], weights)}
            for side, out in views.items()
        }

    @torch.no_grad()
    def _embed(self, model: AlignmentModel, pair: HeteroData) -> Embeddings:
        training = model.training
        model.eval()
        # The joint embedding of the model is as large as all others, and weighed views replace it.
        embed = model if self.config.rank_by == "joint" else model.embed_modalities
        device = next(model.parameters()).device
        # Where something is random, as noise for missing modalities, two looks show the same.
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(0)
            out = embed(pair)
        model.train(training)
        return out

    def _untrained(self, pair: HeteroData, beliefs: Beliefs) -> Embeddings:
        views: Embeddings = {side: {} for side in SIDES}
        if self.config.frozen_views:
            names = self.final.out_channels
            views = {side: frozen_views(pair[side], names) for side in SIDES}
        if self.config.propagate_links:
            edges = {side: self.final.edges(pair, side) for side in SIDES}
            num_nodes = {side: pair[side].num_nodes for side in SIDES}
            links, weight = (x.to(edges["source"][0].device) for x in beliefs)
            for side, view in self.propagation(edges, num_nodes, links, weight).items():
                views[side]["propagation"] = view
        return views


def voter_names(model: AlignmentModel, data: HeteroData, config: TrainingConfig) -> list[str]:
    """Returns the names of those who vote in a round of calibration, as :meth:`ViewEmbedder.voters`
    will have them."""
    names = [name for name in model.out_channels if name != "joint"]
    frozen = frozen_views(data["source"], names) if config.frozen_views else ()
    return [*names, *frozen, *["propagation"] * config.propagate_links, "momentum"]


def frozen_views(store: NodeStorage, names: Iterable[str]) -> dict[str, Tensor]:
    """Returns the dense features of those modalities that have any, by name of their view."""
    return {
        f"{name}_frozen": store[f"x_{name}"]
        for name in names
        if f"x_{name}" in store and store[f"x_{name}"].layout == torch.strided
    }


def _merged(first: Embeddings, second: Embeddings) -> Embeddings:
    return {side: {**part, **second[side]} for side, part in first.items()}
