import copy
import io

import pytest
import torch
import torch_geometric.transforms as T
from torch_geometric.loader import NeighborLoader
from torch_geometric.loader.utils import filter_hetero_data
from torch_geometric.nn import SAGEConv, to_hetero
from torch_geometric.typing import WITH_PYG_LIB, WITH_TORCH_SPARSE

from pyg_mmea.data import AlignmentData, HideAnchors, validate
from pyg_mmea.typing import ANCHOR_EDGE, RELATION_EDGE, SIDES


def _assert_equal(data: AlignmentData, other: AlignmentData) -> None:
    first, second = data.to_dict(), other.to_dict()
    assert first.keys() == second.keys()
    for key, store in first.items():
        assert store.keys() == second[key].keys()
        for name, value in store.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value.cpu().to_dense(), second[key][name].cpu().to_dense())
            else:
                assert value == second[key][name]


def test_links_pass_no_messages(fake: AlignmentData) -> None:
    assert "edge_index" not in fake[ANCHOR_EDGE]
    assert fake.edge_index_dict[ANCHOR_EDGE].shape == (2, 0)
    assert fake[ANCHOR_EDGE].edge_label_index.shape == (2, 60)


@pytest.mark.parametrize("copy_", [copy.copy, copy.deepcopy, AlignmentData.clone])
def test_copies_keep_the_kind_of_stores(fake: AlignmentData, copy_: object) -> None:
    other = copy_(fake)  # type: ignore[operator]
    _assert_equal(fake, other)
    assert other.edge_index_dict[ANCHOR_EDGE].shape == (2, 0)


def test_save_and_load(fake: AlignmentData) -> None:
    buffer = io.BytesIO()
    torch.save(fake, buffer)
    buffer.seek(0)
    loaded = torch.load(buffer, weights_only=False)  # an object that this test made
    _assert_equal(fake, loaded)
    assert loaded.edge_index_dict[ANCHOR_EDGE].shape == (2, 0)

    buffer = io.BytesIO()
    torch.save(fake.to_dict(), buffer)
    buffer.seek(0)
    loaded = AlignmentData.from_dict(torch.load(buffer, weights_only=True))
    validate(loaded)
    _assert_equal(fake, loaded)


def test_to_device(fake: AlignmentData) -> None:
    moved = copy.copy(fake).to("meta")
    assert moved["source"].x_relation.device.type == "meta"
    assert moved["source"].x_relation.is_sparse
    assert moved.edge_index_dict[ANCHOR_EDGE].device.type == "meta"
    _assert_equal(fake, copy.copy(fake).to("cpu"))


@pytest.mark.parametrize("merge", [True, False])
def test_to_undirected(fake: AlignmentData, merge: bool) -> None:
    # PyG adds up the types of parallel edges that it merges, unless told otherwise.
    data = T.ToUndirected(reduce="min", merge=merge)(fake)
    validate(data)
    for side, edge in RELATION_EDGE.items():
        if merge:
            assert data[edge].is_undirected()
        else:
            reverse = data[side, "rev_relation", side]
            assert torch.equal(reverse.edge_index, fake[edge].edge_index.flip(0))
            assert torch.equal(reverse.edge_type, fake[edge].edge_type)
    # Nothing is added for links.
    assert len(data.edge_types) == (3 if merge else 5)
    assert data[ANCHOR_EDGE].to_dict().keys() == fake[ANCHOR_EDGE].to_dict().keys()


def test_to_hetero(fake: AlignmentData) -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = SAGEConv((-1, -1), 4)

        def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
            return self.conv(x, edge_index)

    net = to_hetero(Net(), fake.metadata())
    out = net(fake.x_image_dict, fake.edge_index_dict)
    assert {side: x.shape for side, x in out.items()} == {side: (66, 4) for side in SIDES}
    # The target does not hear of the source.
    changed = dict(fake.x_image_dict, source=torch.randn(66, 16))
    assert torch.equal(net(changed, fake.edge_index_dict)["target"], out["target"])


def test_mini_batch_is_cut_out(fake: AlignmentData) -> None:
    """What every neighbor sampler of PyG does with the nodes and edges it drew."""
    nodes = {"source": torch.tensor([5, 2]), "target": torch.tensor([7])}
    edge = RELATION_EDGE["source"]
    batch = filter_hetero_data(
        fake,
        nodes,
        {edge: torch.tensor([0])},
        {edge: torch.tensor([1])},
        {edge: torch.tensor([3])},
    )
    for side, index in nodes.items():
        assert batch[side].num_nodes == index.numel()
        for name in ("x_relation", "x_image", "image_mask"):
            assert torch.equal(
                batch[side][name].to_dense(), fake[side][name].to_dense()[nodes[side]]
            )
        assert batch[side].uri == fake[side].uri
    assert batch[edge].edge_type.tolist() == fake[edge].edge_type[[3]].tolist()
    assert batch[edge].relation_uri == fake[edge].relation_uri
    # Local ids of the whole graph would mean nothing here.
    assert batch[ANCHOR_EDGE].edge_label_index.shape == (2, 0)


def test_neighbor_loader_takes_it_unchanged(fake: AlignmentData) -> None:
    loader = NeighborLoader(fake, [3, 3], input_nodes="source", batch_size=8)
    if not (WITH_PYG_LIB or WITH_TORCH_SPARSE):
        pytest.skip("drawing neighbors needs pyg-lib or torch-sparse")
    batch = next(iter(loader))
    n_id = batch["source"].n_id
    assert torch.equal(batch["source"].x_image, fake["source"].x_image[n_id])
    assert torch.equal(
        batch["source"].x_relation.to_dense(), fake["source"].x_relation.to_dense()[n_id]
    )


def test_lists_that_happen_to_have_the_length_of_the_edges() -> None:
    data = AlignmentData()
    edge = RELATION_EDGE["source"]
    data["source"].num_nodes = 2
    data[edge].edge_index = torch.tensor([[0, 1], [1, 0]])
    data[edge].relation_uri = ["a", "b"]
    assert data[edge].edge_attrs() == ["edge_index"]


def test_hide_anchors_keeps_the_kind_of_stores(fake: AlignmentData) -> None:
    assert HideAnchors()(fake).edge_index_dict[ANCHOR_EDGE].shape == (2, 0)
