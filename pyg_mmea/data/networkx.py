"""Pairs from and to networkx graphs."""

from collections.abc import Hashable, Iterable
from typing import Any

import networkx as nx
import pandas as pd
import torch
from torch_geometric.data import HeteroData

from pyg_mmea.data.alignment import make_pair
from pyg_mmea.data.alignment_data import AlignmentData
from pyg_mmea.data.frames import read_links
from pyg_mmea.data.split import split_anchors
from pyg_mmea.data.tables import GraphTables
from pyg_mmea.data.textfile import first_repeat
from pyg_mmea.errors import DataError
from pyg_mmea.typing import ANCHOR_EDGE, RELATION_EDGE, SIDES

Links = Iterable[tuple[Hashable, Hashable]]


def _to_tables(graph: nx.Graph, side: str, relation_key: str) -> GraphTables:
    if graph.number_of_nodes() == 0:
        raise DataError(f"the {side} graph holds no entity")
    uri = [str(node) for node in graph]
    twice = first_repeat(uri)
    if twice is not None:
        raise DataError(f"two nodes of the {side} graph read '{uri[twice]}'")
    tables = GraphTables(uri=uri)
    local = {node: i for i, node in enumerate(graph)}
    relations: dict[str, int] = {}
    triples = []
    for head, tail, edge in graph.edges(data=True):
        if relation_key not in edge:
            raise DataError(f"edge {head!r}, {tail!r} of the {side} graph has no '{relation_key}'")
        relation = relations.setdefault(str(edge[relation_key]), len(relations))
        triples.append((local[head], relation, local[tail]))
    tables.triples = torch.tensor(triples, dtype=torch.long).view(-1, 3)
    tables.relation_uri = list(relations)

    attributes: dict[str, int] = {}
    pairs = []
    for node, columns in graph.nodes(data=True):
        for key, value in columns.items():
            if key in ("name", "image") or value is None:
                continue
            pairs.append((local[node], attributes.setdefault(str(key), len(attributes))))
            tables.attribute_value.append(str(value))
    tables.attributes = torch.tensor(pairs, dtype=torch.long).view(-1, 2)
    tables.attribute_triples = tables.attributes
    tables.attribute_uri = list(attributes)
    names, images = (dict(graph.nodes(data=key)) for key in ("name", "image"))
    if any(value is not None for value in names.values()):
        tables.name = ["" if names[node] is None else str(names[node]) for node in graph]
    if any(value is not None for value in images.values()):
        tables.image_path = [None if images[n] is None else str(images[n]) for n in graph]
    return tables


def from_networkx(
    source: nx.Graph,
    target: nx.Graph,
    links: Links,
    relation_key: str = "relation",
    seed_ratio: float = 0.3,
    val_ratio: float = 0.1,
    split_seed: int = 0,
    **kwargs: Any,
) -> AlignmentData:
    """Builds a pair from two networkx graphs.

    Args:
        source (networkx.Graph): Source graph, of any kind. The nodes read as text are the URIs;
            their attributes :obj:`name` and :obj:`image` (a path) are label and picture, all
            others are attributes of the entity.
        target (networkx.Graph): Target graph.
        links (Iterable[tuple]): Known links, pairs of nodes.
        relation_key (str): Attribute of the edges that names the relation.
            (default: :obj:`"relation"`)
        seed_ratio (float): Fraction of the links that are seeds. (default: :obj:`0.3`)
        val_ratio (float): Fraction of the seeds that validate. (default: :obj:`0.1`)
        split_seed (int): Seed of the split. (default: :obj:`0`)
        **kwargs: Further arguments of :func:`make_pair`.

    Raises:
        DataError: If an edge has no relation, or a link an unknown entity.
    """
    graphs = (
        _to_tables(source, "source", relation_key),
        _to_tables(target, "target", relation_key),
    )
    pairs = [(str(head), str(tail)) for head, tail in links]
    index = read_links(pd.DataFrame(pairs, columns=list(SIDES), dtype=object), *graphs)
    masks = split_anchors(index.size(1), seed_ratio, val_ratio, split_seed)
    return make_pair(*graphs, index, masks, **{"dataset": "networkx", **kwargs})


def to_networkx(
    data: HeteroData,
) -> tuple[nx.MultiDiGraph, nx.MultiDiGraph, list[tuple[str, str]]]:
    """Gives the two graphs and the links of a pair, in the form :func:`from_networkx` takes.

    Nodes are URIs with :obj:`name` and :obj:`image` where the pair has them, edges have the
    attribute :obj:`relation`. Values of attributes are not part of a pair, features are left out.
    """
    graphs = []
    for side in SIDES:
        store, edges = data[side], data[RELATION_EDGE[side]]
        graph = nx.MultiDiGraph()
        graph.add_nodes_from(store.uri)
        for key, values in (("name", store.get("name")), ("image", store.get("image_path"))):
            for uri, value in zip(store.uri, values or [], strict=False):
                if value:
                    graph.nodes[uri][key] = value
        for head, tail, relation in zip(
            *edges.edge_index.tolist(), edges.edge_type.tolist(), strict=True
        ):
            graph.add_edge(store.uri[head], store.uri[tail], relation=edges.relation_uri[relation])
        graphs.append(graph)
    source, target = data["source"].uri, data["target"].uri
    links = [(source[i], target[j]) for i, j in data[ANCHOR_EDGE].edge_label_index.t().tolist()]
    return graphs[0], graphs[1], links
