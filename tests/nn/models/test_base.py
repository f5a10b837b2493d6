import copy
import dataclasses
import gc
import pickle
import weakref

import pytest
import torch
from torch_geometric.data import HeteroData

from pyg_mmea.data import AlignmentData
from pyg_mmea.nn import AlignmentModel, PairSpec
from pyg_mmea.typing import RELATION_EDGE


class Degree(AlignmentModel):
    """Counts typed neighbours."""

    @property
    def out_channels(self):
        return {"joint": 1}

    def forward(self, data, nodes=None):
        out = {}
        for side in ("source", "target"):
            (_, dst), edge_type = self.edges(data, side)
            count = torch.zeros(data[side].num_nodes, 1)
            out[side] = {"joint": count.index_add(0, dst, edge_type.view(-1, 1) + 1.0)}
        return out


@pytest.fixture
def pair():
    """Three and two entities; the relation 'b' is in both graphs under different ids."""
    data = HeteroData()
    for side, num, uris, edges, types in (
        ("source", 3, ["a", "b"], [[0, 1], [1, 2]], [0, 1]),
        ("target", 2, ["b", "c"], [[0], [1]], [0]),
    ):
        data[side].num_nodes = num
        data[side].x_image = torch.zeros(num, 7)
        data[side].image_mask = torch.zeros(num, dtype=torch.bool)
        store = data[RELATION_EDGE[side]]
        store.edge_index, store.edge_type = torch.tensor(edges), torch.tensor(types)
        store.relation_uri = uris
    data["source"].x_name = torch.zeros(3, 5)  # only one graph has names
    return data


def test_pair_spec_from_data(pair):
    spec = PairSpec.from_data(pair)
    assert spec.num_entities == {"source": 3, "target": 2}
    assert spec.relation_index == {"source": [0, 1], "target": [1, 2]}
    assert spec.num_relations == 3
    assert spec.in_channels == {"image": 7}


@pytest.mark.parametrize("name", ["joint", "structure", "late", "values", "type"])
def test_names_that_are_taken(pair, name):
    for side in ("source", "target"):
        pair[side][f"x_{name}"] = pair[side].x_image
        pair[side][f"{name}_mask"] = pair[side].image_mask
    with pytest.raises(ValueError, match=f"'x_{name}' needs another name: '{name}' is taken"):
        PairSpec.from_data(pair)


def test_what_a_pair_needs(pair):
    del pair["target"].image_mask
    with pytest.raises(ValueError, match=r"data\['target'\] needs 'image_mask' beside 'x_image'"):
        Degree.from_data(pair)
    bare = HeteroData()
    bare["source"].uri = ["a"]
    with pytest.raises(ValueError, match=r"data\['source'\] needs 'num_nodes'"):
        PairSpec.from_data(bare)


def test_pair_spec_of_fake(fake: AlignmentData):
    spec = PairSpec.from_data(fake)
    assert spec.num_entities == {"source": 66, "target": 66}
    assert spec.num_relations == 5
    assert spec.in_channels["relation"] == fake["source"].x_relation.size(1)
    assert len(spec.in_channels) == 6


def test_pair_spec_without_relations():
    assert PairSpec({"source": 1, "target": 1}, {"source": [], "target": []}, {}).num_relations == 0


def test_edges_have_joint_relations_and_inverses(pair):
    model = Degree.from_data(pair)
    edge_index, edge_type = model.edges(pair, "source")
    assert edge_index.tolist() == [[0, 1, 1, 2], [1, 2, 0, 1]]
    assert edge_type.tolist() == [0, 1, 3, 4]
    edge_index, edge_type = model.edges(pair, "target")
    assert edge_index.tolist() == [[0, 1], [1, 0]]
    assert edge_type.tolist() == [1, 4]  # the same 'b' as in the source graph
    assert model(pair)["target"]["joint"].tolist() == [[5.0], [2.0]]


def test_edges_are_made_once_and_again_when_they_change(pair):
    model, store = Degree.from_data(pair), pair[RELATION_EDGE["source"]]
    first = model.edges(pair, "source")
    assert model.edges(pair, "source") is first
    assert model.edges(copy.copy(pair), "source") is first
    assert model.edges(pair, "target") is not first
    store.edge_index[0, 0] = 2
    assert model.edges(pair, "source")[0][0, 0] == 2
    store.edge_type[0] = 1
    assert model.edges(pair, "source")[1].tolist() == [1, 1, 4, 4]
    store.edge_type = torch.tensor([0, 0])
    assert model.edges(pair, "source")[1].tolist() == [0, 0, 3, 3]


def test_edges_live_as_long_as_those_of_the_data(pair):
    model = Degree.from_data(pair)
    edge_index = weakref.ref(model.edges(pair, "source")[0])
    gc.collect()
    assert edge_index() is not None
    del pair[RELATION_EDGE["source"]].edge_index
    gc.collect()
    assert edge_index() is None


def test_edges_of_inference_mode_are_ordinary_tensors(pair):
    model = Degree.from_data(pair)
    with torch.inference_mode():
        edges = model.edges(pair, "source")
        copied = model.edges(pair.clone(), "source")
    assert not any(x.is_inference() for x in (*edges, *copied))
    assert model.edges(pair, "source") is edges
    assert torch.equal(copied[0], edges[0])


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_share_the_edges(pair, clone):
    model = Degree.from_data(pair)
    out = model(pair)
    other = clone(model)
    assert other.edges(pair, "source") is model.edges(pair, "source")
    assert torch.equal(other(pair)["source"]["joint"], out["source"]["joint"])
    assert not model.state_dict()  # relation ids belong to the pair, not to the weights


def test_other_relation_ids_have_other_edges(pair):
    model = Degree.from_data(pair)
    spec = dataclasses.replace(model.spec, relation_index={"source": [2, 0], "target": [1, 0]})
    edge_type = model.edges(pair, "source")[1]
    assert edge_type.tolist() != Degree(spec).edges(pair, "source")[1].tolist()
    assert torch.equal(model.edges(pair, "source")[1], edge_type)


def test_modalities_are_the_output_without_the_joint_embedding(pair):
    model = Degree.from_data(pair)
    assert all("joint" not in part for part in model.embed_modalities(pair).values())


def test_base_class_is_abstract(pair):
    with pytest.raises(TypeError, match="abstract"):
        AlignmentModel(PairSpec.from_data(pair))
