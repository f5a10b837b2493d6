"""What all alignment models share."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary
from torch_geometric.data import HeteroData

from pyg_mmea.nn.message_graph import bidirectional, versions
from pyg_mmea.typing import RELATION_EDGE, SIDES, Embeddings, Modality, is_reserved

# edge_index -> what the edges were made of, and the edges with inverse ones; copies of a model,
# such as its momentum encoder, share them and so the sorted graph of each mini-batch
_EDGES = WeakTensorKeyDictionary()


@dataclass(frozen=True)
class PairSpec:
    """The sizes of a pair of graphs that a model is built for.

    Args:
        num_entities (dict[str, int]): Entities of each graph.
        relation_index (dict[str, list[int]]): For each graph, the joint id of each relation;
            relations of the same URI share one.
        in_channels (dict[str, int]): Size of the features of each modality that both graphs have:
            those of :class:`~pyg_mmea.typing.Modality`, then those of one's own.
    """

    num_entities: dict[str, int]
    relation_index: dict[str, list[int]]
    in_channels: dict[str, int]

    @classmethod
    def from_data(cls, data: HeteroData) -> Self:
        """Reads the sizes off a pair.

        Raises:
            ValueError: If a graph does not say how many entities it has, or a modality has a name
                that is taken.
        """
        for side in SIDES:
            if data[side].num_nodes is None:
                raise ValueError(f"data['{side}'] needs 'num_nodes' (got None)")
        joint: dict[str, int] = {}
        relation_index = {
            side: [joint.setdefault(uri, len(joint)) for uri in data[edge].relation_uri]
            for side, edge in RELATION_EDGE.items()
        }
        own = (key.removeprefix("x_") for key in data["source"] if key.startswith("x_"))
        in_channels = {
            name: data["source"][f"x_{name}"].size(1)
            for name in dict.fromkeys([*map(str, Modality), *own])
            if all(f"x_{name}" in data[side] for side in SIDES)
        }
        for name in filter(is_reserved, in_channels):
            raise ValueError(f"'x_{name}' needs another name: '{name}' is taken")
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

    @classmethod
    def from_data(cls, data: HeteroData, **kwargs: Any) -> Self:
        """Builds a model for this pair.

        Raises:
            ValueError: If a modality lacks its mask, or as :meth:`PairSpec.from_data` does.
        """
        spec = PairSpec.from_data(data)
        for side, name in product(SIDES, spec.in_channels):
            if f"{name}_mask" not in data[side]:
                raise ValueError(f"data['{side}'] needs '{name}_mask' beside 'x_{name}'")
        return cls(spec, **kwargs)

    @property
    @abstractmethod
    def out_channels(self) -> dict[str, int]:
        """Size of the embedding of each modality and of :obj:`"joint"`."""

    @property
    def num_parts(self) -> dict[str, int]:
        """Of how many parts of equal size the embedding of a modality is a concatenation, such as
        of the layers of its encoder; one where nothing is said. Parts are weighed apart when
        entities are ranked."""
        return {}

    @abstractmethod
    def forward(self, data: HeteroData, nodes: Mapping[str, Tensor] | None = None) -> Embeddings:
        """Returns ``{'source': {modality: [N_s, D], 'joint': [N_s, D]}, 'target': ...}``.

        Args:
            data (HeteroData): The pair.
            nodes (dict, optional): For each side the entities to embed, whose rows then make up
                the output: a step of training needs those of its links and negatives only.
                (default: :obj:`None`, which means all)
        """

    def embed_modalities(self, data: HeteroData) -> Embeddings:
        """Returns what :meth:`forward` does for all entities, without the joint embedding, which is
        as large as the others together.

        Args:
            data (HeteroData): The pair.
        """
        return {
            side: {name: x for name, x in part.items() if name != "joint"}
            for side, part in self(data).items()
        }

    def edges(self, data: HeteroData, side: str) -> tuple[Tensor, Tensor]:
        """Returns edge indices and joint relation ids of one graph, inverse edges included."""
        store = data[RELATION_EDGE[side]]
        state = versions(store.edge_index, store.edge_type)
        relations = self.spec.relation_index[side], self.spec.num_relations
        cached = None if state is None else _EDGES.get(store.edge_index)
        if cached is not None and cached[0] is store.edge_type and cached[1] == (state, relations):
            return cached[2]
        with torch.inference_mode(False):
            edge_type = getattr(self, f"relation_index_{side}")[store.edge_type]
            edges = bidirectional(store.edge_index, edge_type, self.spec.num_relations)
        if state is not None:
            _EDGES[store.edge_index] = (store.edge_type, (state, relations), edges)
        return edges
