import pytest
import torch
import torch.nn.functional as F

from pyg_mmea.nn import LinkPropagation

NUM_RELATIONS = 2


def graphs():
    """Two copies of a path 0 - 1 - 2 - 3 - 4 (target: 4 - 3 - ...), and node 5 without edges."""
    head, tail, rel = (
        torch.tensor([0, 1, 2, 3]),
        torch.tensor([1, 2, 3, 4]),
        torch.tensor([0, 1, 0, 0]),
    )
    source = torch.stack([torch.cat([head, tail]), torch.cat([tail, head])])
    edge_type = torch.cat([rel, rel + NUM_RELATIONS])
    edges = {"source": (source, edge_type), "target": (4 - source, edge_type.clone())}
    return edges, {"source": 6, "target": 6}


def plain(edge_index, edge_type, x, num_layers):
    """The formulas edge by edge."""
    own = F.normalize(x, dim=1)
    triples = set(zip(*edge_index.tolist(), edge_type.tolist(), strict=True))
    parts = []
    for _ in range(num_layers):
        near, along, relation = torch.zeros_like(x), torch.zeros_like(x), {}
        for src, rel in {(src, rel) for src, _, rel in triples}:
            relation[rel] = relation.get(rel, 0) + x[src]
        for src, dst, rel in triples:
            num = sum(other == rel for _, _, other in triples)
            near[dst] += torch.tensor(len(triples) / num).log() * x[src]
            along[dst] += F.normalize(relation[rel], dim=0)
        near, along = F.normalize(near, dim=1), F.normalize(along, dim=1)
        parts += [part - (part * own).sum(dim=1, keepdim=True) * own for part in (near, along)]
        x = F.normalize(near + along / 2, dim=1)
    return F.normalize(torch.cat(parts, dim=1), dim=1)


def test_a_link_is_no_evidence_for_itself():
    edges, num_nodes = graphs()
    layer = LinkPropagation(2 * NUM_RELATIONS, channels=16, num_layers=2)
    out = layer(edges, num_nodes, torch.tensor([[0], [4]]))  # two hops lead back to both ends
    assert torch.allclose(out["source"][0], torch.zeros(64), atol=1e-6)
    assert torch.allclose(out["target"][4], torch.zeros(64), atol=1e-6)
    assert out["source"].abs().sum() > 1


@pytest.mark.parametrize("block_size", [4, 1000])
def test_link_propagation_equals_plain_loop(monkeypatch, block_size):
    monkeypatch.setattr("pyg_mmea.utils.rows._FEW_ROWS", block_size)
    monkeypatch.setattr("pyg_mmea.utils.rows._BLOCK_SIZE", block_size)
    edges, num_nodes = graphs()
    layer = LinkPropagation(2 * NUM_RELATIONS, channels=16, num_layers=2)
    assert str(layer) == "LinkPropagation(4, channels=16, num_layers=2)"
    links = torch.tensor([[0, 3], [4, 1]])
    weight = torch.tensor([1.0, 0.25])
    out = layer(edges, num_nodes, links, weight)
    codes = torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
    codes = F.normalize(codes, dim=1) * weight.view(-1, 1)
    for side, ends in zip(("source", "target"), links, strict=True):
        x = torch.zeros(6, 16)
        x[ends] = codes
        assert out[side].size() == (6, layer.out_channels) == (6, 64)
        assert torch.allclose(out[side], plain(*edges[side], x, 2), atol=1e-5)
        assert torch.equal(out[side][5], torch.zeros(64))


def test_link_propagation_finds_counterparts():
    edges, num_nodes = graphs()
    out = LinkPropagation(2 * NUM_RELATIONS)(edges, num_nodes, torch.tensor([[0, 3], [4, 1]]))
    similarity = out["source"][:5] @ out["target"][:5].t()
    assert torch.allclose(similarity.fliplr().diagonal(), torch.ones(5), atol=1e-5)
    assert similarity.argmax(dim=1).tolist() == [4, 3, 2, 1, 0]


def test_link_propagation_is_the_same_at_each_call():
    edges, num_nodes = graphs()
    layer = LinkPropagation(2 * NUM_RELATIONS, channels=8)
    links = torch.tensor([[0, 3], [4, 1]])
    first = layer(edges, num_nodes, links)
    torch.rand(1)
    again = layer(edges, num_nodes, links, torch.ones(2))
    assert all(torch.equal(first[side], again[side]) for side in first)


def test_link_propagation_without_links_or_edges():
    edges, num_nodes = graphs()
    layer = LinkPropagation(2 * NUM_RELATIONS, channels=8)
    none = torch.empty(2, 0, dtype=torch.long)
    out = layer(edges, num_nodes, none)
    assert all(torch.equal(x, torch.zeros(6, 32)) for x in out.values())
    without = {side: (none, none[0]) for side in edges}
    out = layer(without, num_nodes, torch.tensor([[0], [4]]))
    assert all(torch.equal(x, torch.zeros(6, 32)) for x in out.values())


def test_half_precision_and_the_order_of_graphs():
    edges, num_nodes = graphs()
    layer = LinkPropagation(2 * NUM_RELATIONS, channels=16, num_layers=2)
    links = torch.tensor([[0, 2], [4, 2]])
    out, turned = (
        layer(edges, num_nodes, links),
        layer(dict(reversed(edges.items())), num_nodes, links),
    )
    labels = {side: torch.randn(6, 5).half() for side in edges}
    labels["source"][1] = 0
    spread = layer.spread(edges, labels, keep_own=True)
    for side in edges:
        assert torch.equal(out[side], turned[side])
        assert spread[side].isfinite().all()
