import sys

import numpy as np
import pytest
import torch
from torch_geometric.data import HeteroData

from pyg_mmea.data import AlignmentData, PartitionedPair, partition_pair
from pyg_mmea.data.partition import _fill
from pyg_mmea.datasets import FakeMMKG
from pyg_mmea.typing import ANCHOR_EDGE, RELATION_EDGE, SIDES


def seeds(data: HeteroData) -> torch.Tensor:
    anchors = data[ANCHOR_EDGE]
    return anchors.edge_label_index[:, anchors.train_mask]


def random_parts(data: HeteroData, num_parts: int) -> dict[str, torch.Tensor]:
    return {side: torch.randperm(data[side].num_nodes) % num_parts for side in SIDES}


def communities(num: int, size: int) -> AlignmentData:
    """Two equal graphs of cliques in a ring."""
    data = AlignmentData()
    within = [
        (c * size + i, c * size + j) for c in range(num) for i in range(size) for j in range(i)
    ]
    ring = [(c * size, (c + 1) % num * size + 1) for c in range(num)]
    edges = torch.tensor(within + ring).t().contiguous()
    for side in SIDES:
        data[side].num_nodes = num * size
        store = data[RELATION_EDGE[side]]
        store.edge_index = edges
        store.edge_type = torch.zeros(edges.size(1), dtype=torch.long)
    return data


def test_partition_cuts_few_edges_and_no_link() -> None:
    pytest.importorskip("pymetis")
    data = communities(num=8, size=12)
    links = torch.arange(0, 96, 3).repeat(2, 1)
    part = partition_pair(data, links, num_parts=4)
    assert torch.equal(part["source"][links[0]], part["target"][links[1]])
    for side in SIDES:
        head, tail = part[side][data[RELATION_EDGE[side]].edge_index]
        assert int((head != tail).sum()) <= 4  # of the edges of the ring
        assert torch.bincount(part[side], minlength=4).tolist() == [24] * 4
    again = partition_pair(data, links, num_parts=4)
    assert all(torch.equal(part[side], again[side]) for side in SIDES)


def test_entities_without_edges_are_spread_evenly() -> None:
    pytest.importorskip("pymetis")
    data = communities(num=4, size=6)
    data["source"].num_nodes, data["target"].num_nodes = 41, 30
    links = torch.tensor([[0, 6, 12, 18, 40], [0, 6, 12, 18, 29]])
    part = partition_pair(data, links, num_parts=4)
    assert part["source"][40] == part["target"][29]
    for side in SIDES:
        count = torch.bincount(part[side], minlength=4)
        assert count.max() - count.min() <= 2


@pytest.mark.parametrize("num_new", [0, 1, 2, 3, 7, 20])
def test_fill_lets_the_smallest_grow_first(num_new: int) -> None:
    taken = np.array([0, 0, 0, 1, 3, 3, -1])
    count = np.bincount(taken[taken >= 0], minlength=4)
    for _ in range(num_new):
        count[count.argmin()] += 1
    new = _fill(taken, num_new, 4)
    assert new.size == num_new
    grown = np.bincount(np.concatenate([taken[taken >= 0], new]), minlength=4)
    assert sorted(grown) == sorted(count)


def test_links_that_share_an_entity_stay_together(fake: AlignmentData) -> None:
    pytest.importorskip("pymetis")
    links = torch.tensor([[0, 0, 1, 2], [5, 6, 6, 7]])
    part = partition_pair(fake, links, num_parts=6)
    assert torch.equal(part["source"][links[0]], part["target"][links[1]])


def test_one_part_needs_no_pymetis(fake: AlignmentData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymetis", None)
    part = partition_pair(fake, seeds(fake), 1)
    assert all(not part[side].any() for side in SIDES)
    with pytest.raises(ImportError, match=r"pip install '\.\[metis\]"):
        partition_pair(fake, seeds(fake), 2)


def test_wrong_arguments(fake: AlignmentData) -> None:
    with pytest.raises(ValueError, match="'num_parts' needs to be in"):
        partition_pair(fake, seeds(fake), 0)
    part = random_parts(fake, 3)
    part["target"] = part["target"][1:]
    with pytest.raises(ValueError, match=r"'part' needs to have shape \[66\] for the target"):
        PartitionedPair(fake, part)


def test_one_part_is_the_pair(fake: AlignmentData) -> None:
    pair = PartitionedPair(fake, partition_pair(fake, seeds(fake), 1))
    batch = pair.batch(torch.tensor([0]))
    for side in SIDES:
        assert torch.equal(batch[side].n_id, torch.arange(fake[side].num_nodes))
        for key in ("edge_index", "edge_type"):
            edge = RELATION_EDGE[side]
            assert torch.equal(batch[edge][key], fake[edge][key])
    assert batch["source"].num_nodes == fake["source"].num_nodes


def test_batch_is_the_induced_pair(fake: AlignmentData) -> None:
    part = random_parts(fake, 5)
    pair = PartitionedPair(fake, part)
    chosen = torch.tensor([3, 1])
    batch = pair.batch(chosen)
    assert isinstance(batch, AlignmentData)
    local = {}
    for side in SIDES:
        n_id = batch[side].n_id
        assert (
            n_id.sort().values.tolist()
            == torch.isin(part[side], chosen).nonzero().view(-1).tolist()
        )
        assert batch[side].num_nodes == n_id.numel()
        local[side] = dict(zip(n_id.tolist(), range(n_id.numel()), strict=True))
        for key, value in fake[side].items():
            if isinstance(value, torch.Tensor):
                own = batch[side][key]
                assert own.layout == value.layout
                rows = value.to_dense()[n_id]
                assert torch.equal(own.to_dense(), rows), key
                assert own.layout == torch.strided or own.is_coalesced()
        assert "uri" not in batch[side]

        edge = RELATION_EDGE[side]
        triples = zip(*fake[edge].edge_index.tolist(), fake[edge].edge_type.tolist(), strict=True)
        expected = sorted(
            (local[side][h], local[side][t], r)
            for h, t, r in triples
            if h in local[side] and t in local[side]
        )
        index, kind = batch[edge].edge_index.tolist(), batch[edge].edge_type.tolist()
        assert sorted(zip(*index, kind, strict=True)) == expected
        assert batch[edge].relation_uri == fake[edge].relation_uri
    anchors = fake[ANCHOR_EDGE]
    expected = sorted(
        (local["source"][s], local["target"][t], train)
        for s, t, train in zip(
            *anchors.edge_label_index.tolist(), anchors.train_mask.tolist(), strict=True
        )
        if s in local["source"] and t in local["target"]
    )
    own = batch[ANCHOR_EDGE]
    links = zip(*own.edge_label_index.tolist(), own.train_mask.tolist(), strict=True)
    assert sorted(links) == expected


def test_links_within_groups_of_parts(fake: AlignmentData) -> None:
    part = random_parts(fake, 4)
    pair = PartitionedPair(fake, part)
    links = fake[ANCHOR_EDGE].edge_label_index
    group = torch.tensor([0, 1, 0, 1])
    found = pair.group(links, group)
    for (s, t), g in zip(links.t().tolist(), found.tolist(), strict=True):
        ends = {int(group[part["source"][s]]), int(group[part["target"][t]])}
        assert ends == {g} if g >= 0 else len(ends) == 2
    parts = torch.tensor([0, 2])
    inside = links[:, found == 0]
    local = pair.locate(inside, parts)
    batch = pair.batch(parts)
    for side, end, own in zip(SIDES, inside, local, strict=True):
        assert torch.equal(batch[side].n_id[own], end)


def test_only_the_rows_of_a_batch_are_read(fake: AlignmentData, tmp_path) -> None:
    x = fake["source"].x_image
    path = tmp_path / "x_image.npy"
    np.save(path, x.numpy())
    mapped = fake.clone()
    mapped["source"].x_image = torch.from_numpy(np.load(path, mmap_mode="c"))
    parts = random_parts(fake, 4)
    for chosen in (torch.tensor([0]), torch.tensor([2, 3])):
        one, two = (PartitionedPair(data, parts).batch(chosen) for data in (fake, mapped))
        assert torch.equal(one["source"].x_image, two["source"].x_image)


def test_parts_may_be_empty() -> None:
    data = FakeMMKG(num_links=3, num_dangling=0)[0]
    part = {"source": torch.tensor([0, 2, 2]), "target": torch.tensor([0, 0, 2])}
    batch = PartitionedPair(data, part).batch(torch.tensor([1, 2]))
    assert [batch[side].num_nodes for side in SIDES] == [2, 1]


@pytest.mark.parametrize("num_links", [0, 1, 48])
def test_parts_have_entities_of_both_graphs(num_links: int) -> None:
    pytest.importorskip("pymetis")
    data = communities(num=8, size=12)
    links = torch.arange(num_links).repeat(2, 1)
    part = partition_pair(data, links, num_parts=4)
    count = torch.stack([torch.bincount(part[side], minlength=4) for side in SIDES])
    assert count.sum(dim=0).tolist() == pytest.approx([48] * 4, abs=4)
    assert count.min() >= 12


@pytest.mark.parametrize("num_parts", [0, 31])
def test_number_of_parts(num_parts: int) -> None:
    data = communities(num=8, size=12)
    data["target"].num_nodes = 30
    with pytest.raises(ValueError, match=r"'num_parts' needs to be in \[1, 30\]"):
        partition_pair(data, torch.empty(2, 0, dtype=torch.long), num_parts)
