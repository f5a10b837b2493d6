"""What all alignment models share."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary
from torch_geometric.data import HeteroData

from pyg_mmea.nn.message_graph import bidirectional, versions
from pyg_mmea.typing import RELATION_EDGE, SIDES, Modality

Embeddings = dict[str, dict[str, Tensor]]


@dataclass(frozen=True)
class PairSpec:
    """The sizes of a pair of graphs that a model is built for.

    Args:
        num_entities (dict[str, int]): Entities of each graph.
        relation_index (dict[str, list[int]]): For each graph, the joint id of each relation;
            relations of the same URI share one.
        in_channels (dict[str, int]): Size of the features of each modality that both graphs have.
    """

    num_entities: dict[str, int]
    relation_index: dict[str, list[int]]
    in_channels: dict[str, int]

    @classmethod
    def from_data(cls, data: HeteroData) -> Self:
        """Reads the sizes off a pair."""
        joint: dict[str, int] = {}
        relation_index = {
            side: [joint.setdefault(uri, len(joint)) for uri in data[edge].relation_uri]
            for side, edge in RELATION_EDGE.items()
        }
        in_channels = {
            str(modality): data["source"][f"x_{modality}"].size(1)
            for modality in Modality
            if all(f"x_{modality}" in data[side] for side in SIDES)
        }
        return cls({side: data[side].num_nodes for side in SIDES}, relation_index, in_channels)

    @property
    def num_relations(self) -> int:
        """Number of relations of both graphs together, without inverse ones."""
        return 1 + max(max(index, default=-1) for index in self.relation_index.values())


class AlignmentModel(torch.nn.Module, ABC):
    """Base class of models: ``model(data)`` embeds the entities of both graphs.

    Args:
        spec (PairSpec): The sizes of the pair of graphs.
    """

    def __init__(self, spec: PairSpec) -> None:
        super().__init__()
        self.spec = spec
        for side in SIDES:
            index = torch.tensor(spec.relation_index[side], dtype=torch.long)
            self.register_buffer(f"relation_index_{side}", index, persistent=False)
        self._edges = WeakTensorKeyDictionary()  # edge_index -> edges with inverse ones

    @classmethod
    def from_data(cls, data: HeteroData, **kwargs: Any) -> Self:
        """Builds a model for this pair."""
        return cls(PairSpec.from_data(data), **kwargs)

    @property
    @abstractmethod
    def out_channels(self) -> dict[str, int]:
        """Size of the embedding of each modality and of :obj:`"joint"`."""

    @abstractmethod
    def forward(self, data: HeteroData, nodes: Mapping[str, Tensor] | None = None) -> Embeddings:
        """Returns ``{'source': {modality: [N_s, D], 'joint': [N_s, D]}, 'target': ...}``.

        Args:
            data (HeteroData): The pair.
            nodes (dict, optional): For each side the entities to embed, whose rows then make up
                the output: a step of training needs those of its links and negatives only.
                (default: :obj:`None`, which means all)
        """

    def edges(self, data: HeteroData, side: str) -> tuple[Tensor, Tensor]:
        """Returns edge indices and joint relation ids of one graph, inverse edges included."""
        store = data[RELATION_EDGE[side]]
        state = versions(store.edge_index, store.edge_type)
        cached = None if state is None else self._edges.get(store.edge_index)
        if cached is not None and cached[0] == state and cached[1] is store.edge_type:
            return cached[2]
        with torch.inference_mode(False):
            edge_type = getattr(self, f"relation_index_{side}")[store.edge_type]
            edges = bidirectional(store.edge_index, edge_type, self.spec.num_relations)
        if state is not None:
            self._edges[store.edge_index] = (state, store.edge_type, edges)
        return edges

    def __getstate__(self) -> dict[str, Any]:
        # Copies and pickles leave the cache behind: it belongs to tensors of this process.
        return {key: value for key, value in self.__dict__.items() if key != "_edges"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._edges = WeakTensorKeyDictionary()
