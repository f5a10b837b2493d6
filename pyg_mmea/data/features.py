"""Bags of relations and attributes with columns that both graphs share."""

from collections import Counter

import numpy as np
import torch
from torch import Tensor

from pyg_mmea.data.tables import GraphTables

# The papers keep the 1,000 most frequent relations and attributes.
MAX_COLUMNS = 1000

Bags = tuple[Tensor, Tensor, list[str]]
# For each kind of mention entity ids and item ids; item names; number of entities.
_Side = tuple[list[tuple[Tensor, Tensor]], list[str], int]


def _bags(sides: list[_Side], max_columns: int, vocabulary: list[str] | None) -> Bags:
    """Counts items by entity; each kind of mention has columns of its own, one behind the other."""
    if vocabulary is None:
        frequency: Counter[str] = Counter()
        for kinds, uris, _ in sides:
            counts = torch.bincount(kinds[0][1], minlength=len(uris)).tolist()
            for uri, count in zip(uris, counts, strict=True):
                if count > 0:
                    frequency[uri] += count
        vocabulary = sorted(frequency, key=lambda uri: (-frequency[uri], uri))[:max_columns]
    column = {uri: i for i, uri in enumerate(vocabulary)}
    bags = []
    for kinds, uris, num_rows in sides:
        # Items beyond the vocabulary get column -1 and fall out.
        column_of = torch.tensor([column.get(uri, -1) for uri in uris], dtype=torch.long)
        width = len(kinds) * len(vocabulary)
        keys = []
        for kind, (entities, items) in enumerate(kinds):
            columns = column_of[items]
            key = entities * width + columns + kind * len(vocabulary)
            keys.append(key[columns >= 0])
        bags.append(_count(torch.cat(keys), num_rows, width))
    return bags[0], bags[1], vocabulary


def _count(keys: Tensor, num_rows: int, num_columns: int) -> Tensor:
    """A sparse matrix of how often each cell, row times width plus column, is there."""
    # NumPy sorts whole numbers several times as fast as coalescing does.
    cells, counts = np.unique(keys.numpy(), return_counts=True)
    index = torch.from_numpy(np.stack(np.divmod(cells, max(num_columns, 1))))
    values = torch.from_numpy(counts).float()
    return torch.sparse_coo_tensor(
        index, values, (num_rows, num_columns), check_invariants=True, is_coalesced=True
    )


def relation_bag(
    source: GraphTables,
    target: GraphTables,
    max_columns: int = MAX_COLUMNS,
    vocabulary: list[str] | None = None,
) -> Bags:
    """Counts for each entity how often it is head and how often it is tail of each relation.

    The papers add both numbers up. They are columns of their own here, since being the head of a
    relation says another thing than being its tail.

    Args:
        source (GraphTables): Source graph.
        target (GraphTables): Target graph.
        max_columns (int): Keep this many relations, the most frequent ones over both graphs;
            ties go by URI. (default: :obj:`1000`)
        vocabulary (list[str], optional): Names of the columns of another bag, to have the same
            ones. (default: :obj:`None`)

    Returns:
        The bag of each graph :math:`(N, D)`, sparse COO, coalesced, and the name of each of the
        :math:`D` columns, which both graphs share: the URI of a relation for its heads, the URI
        with :obj:`"^-1"` behind it for its tails.
    """
    sides: list[_Side] = []
    for graph in (source, target):
        head, relation, tail = graph.triples.unbind(1)
        mentions = [(head, relation), (tail, relation)]
        sides.append((mentions, graph.relation_uri, graph.num_entities))
    heads = None if vocabulary is None else vocabulary[: len(vocabulary) // 2]
    *bags, heads = _bags(sides, max_columns, heads)
    return bags[0], bags[1], [*heads, *(f"{uri}^-1" for uri in heads)]


def attribute_bag(
    source: GraphTables,
    target: GraphTables,
    max_columns: int = MAX_COLUMNS,
    vocabulary: list[str] | None = None,
) -> Bags:
    """Counts for each entity how often it has each attribute.

    Args:
        source (GraphTables): Source graph.
        target (GraphTables): Target graph.
        max_columns (int): Keep this many attributes, the most frequent ones over both graphs;
            ties go by URI. (default: :obj:`1000`)
        vocabulary (list[str], optional): Columns of another bag, to have the same ones.
            (default: :obj:`None`)

    Returns:
        The bag of each graph :math:`(N, D)`, sparse COO, coalesced, and the attribute URI of each
        of the :math:`D` columns, which both graphs share.
    """
    sides: list[_Side] = [
        (
            [(graph.attributes[:, 0], graph.attributes[:, 1])],
            graph.attribute_uri,
            graph.num_entities,
        )
        for graph in (source, target)
    ]
    return _bags(sides, max_columns, vocabulary)


def bag_mask(bag: Tensor) -> Tensor:
    """True for the rows of a coalesced sparse matrix that have an entry :math:`(N)`."""
    mask = torch.zeros(bag.size(0), dtype=torch.bool)
    mask[bag.indices()[0]] = True
    return mask
