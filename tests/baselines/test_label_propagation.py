import pytest
import torch
import torch.nn.functional as F

from pyg_mmea.baselines import LabelPropagation
from pyg_mmea.baselines.embedding import best_pairs
from pyg_mmea.data import AlignmentData
from pyg_mmea.datasets import FakeMMKG
from pyg_mmea.typing import ANCHOR_EDGE, RELATION_EDGE, SIDES


def dense_spread(data: AlignmentData, side: str, x: torch.Tensor, num_relations: int):
    """Two hops by dense matrices: what comes from neighbours, and what along relations."""
    store = data[RELATION_EDGE[side]]
    (head, tail), rel = store.edge_index, store.edge_type
    num = data[side].num_nodes
    send = torch.zeros(2 * num_relations, num, num)  # receiver by sender
    send[rel, tail, head] = 1
    send[rel + num_relations, head, tail] = 1
    count = send.sum(dim=(1, 2)).clamp(min=1)
    near_by = (send * (send.sum() / count).log().view(-1, 1, 1)).sum(dim=0)
    member = send.amax(dim=1)  # [R, N]: who sends along it
    received = send.sum(dim=2).t()  # [N, R]
    hops = []
    for _ in range(2):
        near = F.normalize(near_by @ x, dim=1)
        along = F.normalize(received @ F.normalize(member @ x, dim=1), dim=1)
        hops += [near, along]
        x = F.normalize(near + along / 2, dim=1)
    return hops


def test_names_and_labels_equal_dense_matrices(fake: AlignmentData) -> None:
    baseline = LabelPropagation(channels=32, feature="name", feature_weight=0.5).fit(fake)
    links = fake[ANCHOR_EDGE].edge_label_index[:, fake[ANCHOR_EDGE].train_mask]
    codes = torch.randn(links.size(1), 32, generator=torch.Generator().manual_seed(0))
    codes = F.normalize(codes, dim=1)
    num_relations = max(len(fake[edge].relation_uri) for edge in RELATION_EDGE.values())
    for side, ends in zip(SIDES, links, strict=True):
        names = F.normalize(fake[side].x_name, dim=1)
        hops = [names, *dense_spread(fake, side, names, num_relations)]
        names = F.normalize(torch.cat(hops, dim=1), dim=1)
        labels = torch.zeros(fake[side].num_nodes, 32).index_add_(0, ends, codes)
        hops = dense_spread(fake, side, labels, num_relations)
        own = F.normalize(labels, dim=1)
        hops = [hop - (hop * own).sum(dim=1, keepdim=True) * own for hop in hops]
        labels = F.normalize(torch.cat(hops, dim=1), dim=1)
        expected = torch.cat([labels, 0.5 * names], dim=1)
        torch.testing.assert_close(baseline.embeddings[side], expected, atol=1e-4, rtol=1e-4)


def test_a_second_round_begins_with_found_pairs(fake: AlignmentData) -> None:
    first = LabelPropagation(channels=64).fit(fake)
    second = LabelPropagation(channels=64, num_rounds=2).fit(fake)
    pairs, probability = best_pairs(first.embeddings, first.known)
    assert pairs.pairs.size(1) > 0
    assert probability.max() <= 1
    assert not torch.isin(pairs.pairs[0], first.known[0]).any()
    # More seeds reach entities that none reached before.
    reached = [x["source"].any(dim=1).sum() for x in (first.embeddings, second.embeddings)]
    assert reached[1] >= reached[0]
    ranks = [b.evaluate(fake, matching="sinkhorn")["mean"]["mrr"] for b in (first, second)]
    assert ranks[0] != ranks[1]


def test_names_need_no_seed() -> None:
    data = FakeMMKG(seed_ratio=0.0)[0]
    baseline = LabelPropagation(feature="name", num_rounds=2, channels=32).fit(data)
    assert baseline.evaluate(data)["mean"]["hits@1"] > 0.8


@pytest.mark.parametrize("name", ["channels", "num_layers", "num_rounds", "feature_weight"])
def test_arguments(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}'"):
        LabelPropagation(**{name: 0})


def test_repr() -> None:
    expected = "LabelPropagation(channels=512, num_layers=2, num_rounds=1, feature=None)"
    assert str(LabelPropagation()) == expected
