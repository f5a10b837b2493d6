"""Bags of relations and attributes with columns that both graphs share."""

from collections import Counter

import torch
from torch import Tensor

from pyg_mmea.data.tables import GraphTables

# The papers keep the 1,000 most frequent relations and attributes.
MAX_COLUMNS = 1000

Bags = tuple[Tensor, Tensor, list[str]]


def _bags(
    sides: list[tuple[Tensor, Tensor, list[str], int]],
    max_columns: int,
) -> Bags:
    """Counts (entity, item) pairs; a side is (entity ids, item ids, item names, N)."""
    frequency: Counter[str] = Counter()
    for _, items, uris, _ in sides:
        counts = torch.bincount(items, minlength=len(uris)).tolist()
        for uri, count in zip(uris, counts, strict=True):
            if count > 0:
                frequency[uri] += count
    vocabulary = sorted(frequency, key=lambda uri: (-frequency[uri], uri))[:max_columns]
    column = {uri: i for i, uri in enumerate(vocabulary)}

    bags = []
    for entities, items, uris, num_entities in sides:
        # Items beyond the vocabulary get column -1 and fall out.
        columns = torch.tensor([column.get(uri, -1) for uri in uris], dtype=torch.long)[items]
        kept = columns >= 0
        index = torch.stack([entities[kept], columns[kept]])
        bag = torch.sparse_coo_tensor(
            index,
            torch.ones(index.size(1)),
            (num_entities, len(vocabulary)),
            check_invariants=True,
        )
        bags.append(bag.coalesce())
    return bags[0], bags[1], vocabulary


def relation_bag(source: GraphTables, target: GraphTables, max_columns: int = MAX_COLUMNS) -> Bags:
    """Counts for each entity how often it is head and how often it is tail of each relation.

    The papers add both numbers up. They are columns of their own here, since being the head of a
    relation says another thing than being its tail.

    Args:
        source (GraphTables): Source graph.
        target (GraphTables): Target graph.
        max_columns (int): Keep this many relations, the most frequent ones over both graphs;
            ties go by URI. (default: :obj:`1000`)

    Returns:
        The bag of each graph :math:`(N, D)`, sparse COO, coalesced, and the name of each of the
        :math:`D` columns, which both graphs share: the URI of a relation for its heads, the URI
        with :obj:`"^-1"` behind it for its tails.
    """
    ends = []
    for end in ("head", "tail"):
        sides = []
        for graph in (source, target):
            head, relation, tail = graph.triples.unbind(1)
            entities = head if end == "head" else tail
            sides.append((entities, relation, graph.relation_uri, graph.num_entities))
        ends.append(_bags(sides, max_columns))
    (heads_s, heads_t, vocabulary), (tails_s, tails_t, _) = ends
    return (
        torch.cat([heads_s, tails_s], dim=1).coalesce(),
        torch.cat([heads_t, tails_t], dim=1).coalesce(),
        [*vocabulary, *(f"{uri}^-1" for uri in vocabulary)],
    )


def attribute_bag(source: GraphTables, target: GraphTables, max_columns: int = MAX_COLUMNS) -> Bags:
    """Counts for each entity how often it has each attribute.

    Args:
        source (GraphTables): Source graph.
        target (GraphTables): Target graph.
        max_columns (int): Keep this many attributes, the most frequent ones over both graphs;
            ties go by URI. (default: :obj:`1000`)

    Returns:
        The bag of each graph :math:`(N, D)`, sparse COO, coalesced, and the attribute URI of each
        of the :math:`D` columns, which both graphs share.
    """
    sides = [
        (graph.attributes[:, 0], graph.attributes[:, 1], graph.attribute_uri, graph.num_entities)
        for graph in (source, target)
    ]
    return _bags(sides, max_columns)


def bag_mask(bag: Tensor) -> Tensor:
    """True for the rows of a coalesced sparse matrix that have an entry :math:`(N)`."""
    mask = torch.zeros(bag.size(0), dtype=torch.bool)
    mask[bag.indices()[0]] = True
    return mask
