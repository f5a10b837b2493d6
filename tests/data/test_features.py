import torch

from pyg_mmea.data import AlignmentData, GraphTables, attribute_bag, relation_bag


def _graph(num_entities: int, triples: list[list[int]], relation_uri: list[str]) -> GraphTables:
    return GraphTables(
        uri=[str(i) for i in range(num_entities)],
        triples=torch.tensor(triples).view(-1, 3),
        relation_uri=relation_uri,
    )


def test_relation_bag_by_hand() -> None:
    source = _graph(3, [[0, 0, 1], [0, 0, 2], [1, 1, 1]], ["b", "a"])
    target = _graph(2, [[0, 0, 1]], ["a"])
    x_s, x_t, vocabulary = relation_bag(source, target)
    # Both have two triples, so the URI decides.
    assert vocabulary == ["a", "b", "a^-1", "b^-1"]
    assert x_s.to_dense().tolist() == [[0, 2, 0, 0], [1, 0, 1, 1], [0, 0, 0, 1]]
    assert x_t.to_dense().tolist() == [[1, 0, 0, 0], [0, 0, 1, 0]]
    for x in (x_s, x_t):
        assert x.layout == torch.sparse_coo
        assert x.is_coalesced()
        assert x.dtype == torch.float32


def test_relation_bag_agrees_with_a_plain_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    graphs = []
    for names in (["r0", "r1", "r2", "r3"], ["r2", "q", "r0"]):
        triples = torch.stack(
            [torch.randint(n, (40,), generator=generator) for n in (9, len(names), 9)], dim=1
        )
        graphs.append(_graph(9, triples.tolist(), names))
    x_s, x_t, vocabulary = relation_bag(*graphs, max_columns=3)

    frequency: dict[str, int] = {}
    for graph in graphs:
        for _, relation, _ in graph.triples.tolist():
            uri = graph.relation_uri[relation]
            frequency[uri] = frequency.get(uri, 0) + 1
    kept = sorted(frequency, key=lambda uri: (-frequency[uri], uri))[:3]
    assert vocabulary == [*kept, *(f"{uri}^-1" for uri in kept)]
    for graph, x in zip(graphs, (x_s, x_t), strict=True):
        expected = torch.zeros(9, 6)
        for head, relation, tail in graph.triples.tolist():
            if graph.relation_uri[relation] in kept:
                column = kept.index(graph.relation_uri[relation])
                expected[head, column] += 1
                expected[tail, column + 3] += 1
        assert torch.equal(x.to_dense(), expected)


def test_attribute_bag_counts_each_mention() -> None:
    source = GraphTables(
        uri=["a", "b"],
        attributes=torch.tensor([[0, 1], [0, 1], [1, 0]]),
        attribute_uri=["age", "size"],
    )
    target = GraphTables(uri=["c"])
    x_s, x_t, vocabulary = attribute_bag(source, target)
    assert vocabulary == ["size", "age"]
    assert x_s.to_dense().tolist() == [[2, 0], [0, 1]]
    assert x_t.shape == (1, 2)
    assert x_t._nnz() == 0


def test_permuting_entities_permutes_the_bag() -> None:
    source = _graph(4, [[0, 0, 1], [2, 1, 3], [1, 1, 0]], ["a", "b"])
    order = torch.tensor([2, 0, 3, 1])
    triples = source.triples.clone()
    triples[:, [0, 2]] = order[triples[:, [0, 2]]]
    permuted = _graph(4, triples.tolist(), ["a", "b"])
    x, y, _ = relation_bag(source, permuted)
    assert torch.equal(y.to_dense()[order], x.to_dense())


def test_bags_are_coalesced_as_torch_would(fake: AlignmentData) -> None:
    for side in ("source", "target"):
        for name in ("x_relation", "x_attribute"):
            x = fake[side][name]
            again = torch.sparse_coo_tensor(x.indices(), x.values(), x.size()).coalesce()
            assert torch.equal(x.indices(), again.indices())
            assert torch.equal(x.values(), again.values())
            assert x.values().dtype == torch.float32


def test_bags_without_columns() -> None:
    graph = GraphTables(uri=["a", "b"])
    x, _, vocabulary = relation_bag(graph, graph)
    assert vocabulary == []
    assert x.size() == (2, 0)
