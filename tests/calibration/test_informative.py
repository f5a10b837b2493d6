import math

import pytest
import torch
from torch_geometric.data import HeteroData

from pyg_mmea.calibration import informative_pairs
from pyg_mmea.datasets import FakeMMKG


def graphs(source, target, num=8):
    data = HeteroData()
    for side, edges in (("source", source), ("target", target)):
        data[side].num_nodes = num
        edge_index = torch.tensor(edges, dtype=torch.long).view(-1, 2).t()
        data[side, "relation", side].edge_index = edge_index
    return data


def diagonal(num):
    return torch.arange(num).repeat(2, 1)


def order(*args, **kwargs):
    return informative_pairs(*args, **kwargs).tolist()


def test_uncertain_ones_first():
    confidence = torch.tensor([1.0, 0.9, 0.5, 0.3, 0.0])
    assert order(graphs([], []), diagonal(5), confidence) == [2, 3, 1, 0, 4]
    assert order(graphs([], []), diagonal(5), confidence, limit=2) == [2, 3]
    assert order(graphs([], []), diagonal(0), torch.empty(0)) == []


def test_influence_counts_open_pairs_that_are_neighbours_in_both_graphs():
    data = graphs([(0, 1), (2, 3), (4, 5)], [(1, 0), (3, 6), (4, 5)])
    # 0 and 1 depend on each other, 2 has a neighbour in one graph only, 4 depends on a sure pair.
    confidence = torch.tensor([0.4, 0.42, 0.45, 0.9, 0.46, 1.0])
    assert order(data, diagonal(6), confidence, limit=1) == [1]
    assert order(graphs([], []), diagonal(6), confidence)[:4] == [4, 2, 1, 0]


def test_diversity():
    # 0, 1 and 2 share a neighbour, 3 is on its own and the least uncertain.
    edges = [(0, 7), (1, 7), (2, 7)]
    confidence = torch.tensor([0.5, 0.49, 0.48, 0.45])
    assert order(graphs([], []), diagonal(4), confidence) == [0, 1, 2, 3]
    assert order(graphs(edges, edges), diagonal(4), confidence) == [0, 3, 1, 2]
    decided = torch.tensor([[0], [0]])
    assert order(graphs(edges, edges), diagonal(4), confidence, decided=decided) == [3, 1, 2]


def test_each_pair_once_and_the_same_each_time():
    data = FakeMMKG()[0]
    num = min(data["source"].num_nodes, data["target"].num_nodes)
    generator = torch.Generator().manual_seed(0)
    pairs = torch.stack([torch.randperm(num, generator=generator) for _ in range(2)])
    confidence = torch.rand(num, generator=generator)
    chosen = order(data, pairs, confidence)
    assert sorted(chosen) == list(range(num))
    assert order(data, pairs, confidence, limit=5) == chosen[:5]
    assert chosen == greedy(data, pairs, confidence)


def greedy(data, pairs, confidence):
    """The formula of the docstring, word by word, all values computed anew in every step."""
    near = []
    for side in ("source", "target"):
        edges = data[side, "relation", side].edge_index.t().tolist()
        near.append({(a, b) for a, b in edges if a != b} | {(b, a) for a, b in edges if a != b})
    zones = [
        [{i} | {b for a, b in edges if a == i} for i in range(data[side].num_nodes)]
        for side, edges in zip(("source", "target"), near, strict=True)
    ]
    ends = pairs.t().tolist()
    bits = [sum(-x * math.log2(x) for x in (c, 1 - c)) for c in confidence.double().tolist()]
    count = [[0] * len(zone) for zone in zones]
    chosen: list[int] = []
    while len(chosen) < len(ends):
        best = None
        for i, (s, t) in enumerate(ends):
            depend = [
                bits[j] for j, (a, b) in enumerate(ends) if (s, a) in near[0] and (t, b) in near[1]
            ]
            zone = [count[0][e] for e in zones[0][s]] + [count[1][e] for e in zones[1][t]]
            worth = bits[i] * (1 + math.log2(1 + sum(depend))) * 2 ** -(sum(zone) / len(zone))
            if i not in chosen and (best is None or worth > best[0] + 1e-12):
                best = (worth, i)
        chosen.append(best[1])
        for side, entity in enumerate(ends[best[1]]):
            for other in zones[side][entity]:
                count[side][other] += 1
    return chosen


@pytest.mark.parametrize(
    ("confidence", "limit", "name"),
    [([0.5], None, "confidence"), ([0.5, 1.5], None, "confidence"), ([0.5, 0.5], -1, "limit")],
)
def test_bad_arguments(confidence, limit, name):
    with pytest.raises(ValueError, match=f"'{name}' needs to be"):
        informative_pairs(graphs([], []), diagonal(2), torch.tensor(confidence), limit)
