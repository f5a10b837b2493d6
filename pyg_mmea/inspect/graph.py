"""Triples by entity."""

from collections.abc import Callable, Collection

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_mmea.inspect.evidence import Relation
from pyg_mmea.inspect.label import label_of
from pyg_mmea.typing import RELATION_EDGE, Side


class Neighborhood:
    """The triples of one graph, found by either entity.

    Args:
        data (HeteroData): The pair of graphs.
        side (str): Which of its graphs.
    """

    def __init__(self, data: HeteroData, side: Side) -> None:
        self._labels = [label_of(uri) for uri in data[RELATION_EDGE[side]].relation_uri]
        store = data[RELATION_EDGE[side]]
        head, tail = store.edge_index.cpu()
        kind = store.edge_type.cpu()
        num_nodes = data[side].num_nodes
        own = torch.cat([head, tail])
        other = torch.cat([tail, head])
        kinds = torch.cat([kind, kind + len(self._labels)])  # incoming ones are kinds of their own
        order = own.argsort(stable=True)
        self._other, self._kind = other[order], kinds[order]
        # How many entities have this relation to this neighbour: of few, it tells much.
        key = self._kind * num_nodes + self._other
        _, inverse, count = key.unique(return_inverse=True, return_counts=True)
        self._frequency = count[inverse]
        self.degree = own.bincount(minlength=num_nodes)
        self._end = self.degree.cumsum(0)

    def neighbors(self, entity: int) -> Tensor:
        """Entities in a triple with an entity :math:`(E)`."""
        return self._other[self._span(entity)]

    def relations(
        self,
        entity: int,
        name: Callable[[int], str],
        shared: Collection[int] = (),
        limit: int = 12,
    ) -> tuple[Relation, ...]:
        """Returns triples of an entity, those with shared neighbours first, then the rarest.

        Args:
            entity (int): Local id.
            name (Callable): Gives the name of an entity.
            shared (Collection[int]): Neighbours that come first. (default: :obj:`()`)
            limit (int): The most that are returned. (default: :obj:`12`)
        """
        span = self._span(entity)
        rows = zip(
            self._frequency[span].tolist(),
            self._kind[span].tolist(),
            self._other[span].tolist(),
            strict=True,
        )
        ordered = sorted(set(rows), key=lambda row: (row[2] not in shared, *row))[:limit]
        num = len(self._labels)
        return tuple(
            Relation(self._labels[kind % num], kind < num, other, name(other), other in shared)
            for _, kind, other in ordered
        )

    def _span(self, entity: int) -> slice:
        end = int(self._end[entity])
        return slice(end - int(self.degree[entity]), end)
