import gc
import weakref

import pytest
import torch

from pyg_mmea.nn import message_graph as module
from pyg_mmea.nn.message_graph import MessageGraph, bidirectional, message_graph

# sender, receiver, relation; (0, 1, 2) twice, (0, 1) with two relations, a self loop, node 4 alone
EDGES = [(0, 1, 2), (3, 1, 0), (0, 1, 2), (0, 1, 1), (2, 2, 1), (1, 0, 2)]


def edges():
    src, dst, rel = torch.tensor(EDGES).t()
    return torch.stack([src, dst]), rel.clone()


def typed_edges(graph):
    columns = (graph.neighbors.col, graph.neighbors.row, graph.edge_type)
    return set(zip(*(column.tolist() for column in columns), strict=True))


@pytest.fixture
def num_builds(monkeypatch):
    """Counts how often a graph is built."""
    calls = []
    build = MessageGraph.build

    def counting(*args):
        calls.append(args)
        return build(*args)

    monkeypatch.setattr(MessageGraph, "build", counting)
    return lambda: len(calls)


def test_message_graph_has_each_typed_edge_once():
    graph = message_graph(*edges(), num_nodes=5, num_relations=3)
    assert typed_edges(graph) == set(EDGES)
    assert graph.neighbors.num_entries == len(set(EDGES))
    assert torch.equal(graph.relations.row, graph.neighbors.row)
    assert graph.relations.size == graph.senders.size == (5, 3)
    # The place of an edge among the (sender, relation) pairs.
    assert torch.equal(graph.senders.row[graph.sender_index], graph.neighbors.col)
    assert torch.equal(graph.senders.col[graph.sender_index], graph.edge_type)
    assert graph.senders.num_entries == len({(src, rel) for src, _, rel in EDGES})
    degree = {0: 1, 1: 3, 2: 1}
    assert graph.mean.tolist() == [1 / degree[int(dst)] for dst in graph.neighbors.row]


def test_looped_has_each_pair_and_each_node_once():
    graph = message_graph(*edges(), num_nodes=5, num_relations=3)
    found = sorted(zip(graph.looped.row.tolist(), graph.looped.col.tolist(), strict=True))
    assert found == sorted({(dst, src) for src, dst, _ in EDGES} | {(i, i) for i in range(5)})


def test_message_graph_without_edges():
    none = torch.empty(2, 0, dtype=torch.long)
    graph = message_graph(none, none[0], num_nodes=3, num_relations=2)
    assert graph.neighbors.num_entries == graph.senders.num_entries == 0
    assert graph.looped.num_entries == 3


def test_message_graph_does_not_overflow():
    edge_index = torch.tensor([[999_999, 0], [999_998, 999_999]])
    graph = message_graph(edge_index, torch.tensor([9_999, 0]), 1_000_000, 10_000)
    assert graph.neighbors.row.tolist() == [999_998, 999_999]
    assert graph.neighbors.col.tolist() == [999_999, 0]
    assert graph.edge_type.tolist() == [9_999, 0]


def test_message_graph_is_built_once(num_builds):
    edge_index, edge_type = edges()
    graph = message_graph(edge_index, edge_type, 5, 3)
    untyped = message_graph(edge_index, None, 5)
    assert untyped is not graph
    for _ in range(2):  # layers with and without types take turns
        assert message_graph(edge_index, edge_type, 5, 3) is graph
        assert message_graph(edge_index, None, 5) is untyped
    assert num_builds() == 2


@pytest.mark.parametrize("what", ["edge_index", "edge_type", "other type", "num_nodes"])
def test_message_graph_is_built_again_when_something_changes(num_builds, what):
    edge_index, edge_type = edges()
    num_nodes = 5
    old = message_graph(edge_index, edge_type, num_nodes, 3)
    if what == "edge_index":
        edge_index[1, 1] = 4
    elif what == "edge_type":
        edge_type[1] = 2
    elif what == "other type":
        edge_type = torch.where(torch.arange(6) == 1, 2, edge_type)
    else:
        num_nodes = 6
    graph = message_graph(edge_index, edge_type, num_nodes, 3)
    assert num_builds() == 2
    assert graph is not old
    assert typed_edges(graph) == set(zip(*edge_index.tolist(), edge_type.tolist(), strict=True))
    assert graph.neighbors.size == (num_nodes, num_nodes)
    assert message_graph(edge_index, edge_type, num_nodes, 3) is graph


def test_message_graph_lives_as_long_as_the_edges():
    edge_index, edge_type = edges()
    graph = weakref.ref(message_graph(edge_index, edge_type, 5, 3))
    num_cached = len(module._CACHE)
    gc.collect()
    assert graph() is not None
    del edge_index
    gc.collect()
    assert graph() is None
    assert len(module._CACHE) < num_cached


def test_message_graph_of_inference_mode_can_be_trained_with(num_builds):
    edge_index, edge_type = edges()
    with torch.inference_mode():
        graph = message_graph(edge_index, edge_type, 5, 3)
        patterns = (graph.neighbors, graph.relations, graph.senders, graph.looped)
    assert message_graph(edge_index, edge_type, 5, 3) is graph
    assert num_builds() == 1
    assert not any(x.is_inference() for p in patterns for x in (p.row, p.col, p.order, p.t_col))

    with torch.inference_mode():
        edge_index, edge_type = edges()  # these cannot tell whether they changed
        message_graph(edge_index, edge_type, 5, 3)
        edge_index[1, 1] = 4
        graph = message_graph(edge_index, edge_type, 5, 3)
    assert 4 in graph.neighbors.row
    assert not graph.neighbors.row.is_inference()


@pytest.mark.parametrize("bad", [-1, 5])
def test_message_graph_rejects_unknown_ids(bad):
    edge_index, edge_type = edges()
    edge_index[0, 0] = bad
    with pytest.raises(ValueError, match=r"'edge_index' needs to be in \[0, 5\)"):
        message_graph(edge_index, edge_type, 5, 3)
    edge_index, edge_type = edges()
    edge_type[0] = bad
    with pytest.raises(ValueError, match=r"'edge_type' needs to be in \[0, 3\)"):
        message_graph(edge_index, edge_type, 5, 3)


def test_bidirectional():
    edge_index, edge_type = bidirectional(torch.tensor([[0, 1], [2, 1]]), torch.tensor([0, 4]), 5)
    assert edge_index.tolist() == [[0, 1, 2, 1], [2, 1, 0, 1]]
    assert edge_type.tolist() == [0, 4, 5, 9]


def test_edges_that_some_nodes_receive():
    graph = message_graph(*edges(), num_nodes=5, num_relations=3)
    assert graph.at(None) is graph
    nodes = torch.tensor([1, 4, 0])
    part = graph.at(nodes)
    number = {1: 0, 4: 1, 0: 2}
    expected = {(src, number[dst], rel) for src, dst, rel in EDGES if dst in number}
    assert typed_edges(part) == expected
    assert part.neighbors.size == (3, 5)
    assert part.relations.size == (3, 3)
    assert torch.equal(part.senders.row[part.sender_index], part.neighbors.col)
    assert torch.equal(part.senders.col[part.sender_index], part.edge_type)
    assert part.senders.num_entries == len({(src, rel) for src, _, rel in expected})
    assert part.mean.tolist() == [[1 / 3, 0, 1][int(dst)] for dst in part.neighbors.row]
    assert graph.looped_at(None) is graph.looped
    looped = graph.looped_at(nodes)
    found = set(zip(looped.row.tolist(), looped.col.tolist(), strict=True))
    assert found == {(0, 0), (0, 1), (0, 3), (1, 4), (2, 0), (2, 1)}


def test_edges_of_some_nodes_are_kept_as_long_as_these():
    graph = message_graph(*edges(), num_nodes=5, num_relations=3)
    nodes = torch.tensor([1, 4])
    part = weakref.ref(graph.at(nodes))
    assert graph.at(nodes) is part()
    assert graph.at(nodes.clone()) is not part()
    del nodes
    gc.collect()
    assert part() is None
