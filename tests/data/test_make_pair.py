import json

import pytest
import torch
from PIL import Image

from pyg_mmea.data import GraphTables, make_pair, validate
from pyg_mmea.errors import DataError
from pyg_mmea.typing import ANCHOR_EDGE, RELATION_EDGE

LINKS = torch.tensor([[0, 1], [1, 0]])


@pytest.fixture
def graphs() -> tuple[GraphTables, GraphTables]:
    def graph(side: str) -> GraphTables:
        return GraphTables(
            uri=[f"{side}/{i}" for i in range(3)],
            triples=torch.tensor([[0, 0, 1]]),
            relation_uri=["r"],
            attributes=torch.tensor([[2, 0]]),
            attribute_uri=["a"],
            attribute_triples=torch.tensor([[2, 0]]),
            attribute_value=["7"],
            name=["ann", "bob", ""],
        )

    return graph("s"), graph("t")


def test_values_of_attributes_are_kept_for_people(graphs: tuple) -> None:
    graphs[0].attribute_value = ['Zoë "7"' + "x" * 1000]
    graphs[1].attribute_triples = torch.empty(0, 2, dtype=torch.long)
    graphs[1].attribute_value = []
    data = make_pair(*graphs, LINKS)
    none, _, text = data["source"].attribute_values
    assert none is None
    ((name, value),) = json.loads(text)
    assert (name, value) == ("a", ('Zoë "7"' + "x" * 1000)[:300])
    assert "attribute_values" not in data["target"]
    data["source"].attribute_values = [7, None, None]
    with pytest.raises(ValueError, match=r"data\['source'\].attribute_values: needs to be a list"):
        validate(data)


def test_auto_leaves_out_what_gives_the_answer_away(graphs: tuple) -> None:
    data = make_pair(*graphs, LINKS, dataset="mine")
    keys = {key for key in data["source"] if key.startswith("x_")}
    assert keys == {"x_relation", "x_attribute"}
    assert data.dataset == "mine"
    assert data["source"].name == ["ann", "bob", ""]
    assert data["source"].relation_mask.tolist() == [True, True, False]
    assert data["target"].attribute_mask.tolist() == [False, False, True]
    assert data.relation_vocabulary == ["r", "r^-1"]
    assert data.attribute_vocabulary == ["a"]
    edge = data[RELATION_EDGE["source"]]
    assert edge.edge_index.tolist() == [[0], [1]]
    assert edge.edge_type.tolist() == [0]
    assert torch.equal(data[ANCHOR_EDGE].edge_label_index, LINKS)


def test_features_by_name(graphs: tuple) -> None:
    data = make_pair(*graphs, LINKS, features=["name", "attribute_text", "relation_text"])
    keys = {key for key in data["target"] if key.startswith("x_")}
    assert keys == {"x_name", "x_attribute_text", "x_relation_text"}
    assert data["target"].name_mask.tolist() == [True, True, False]
    assert torch.equal(data["source"].x_name[0], data["target"].x_name[0])
    assert "relation_vocabulary" not in data


@pytest.mark.parametrize("features", ["structure", ["relation", "colour"]])
def test_unknown_features(graphs: tuple, features: object) -> None:
    with pytest.raises(ValueError, match="'features' needs to be among auto, relation"):
        make_pair(*graphs, LINKS, features=features)  # type: ignore[arg-type]


def test_features_that_the_data_lack(graphs: tuple) -> None:
    with pytest.raises(DataError, match="asks for 'image', but 'custom' has none"):
        make_pair(*graphs, LINKS, features="image")


def test_ready_made_features(graphs: tuple) -> None:
    x, mask = torch.ones(3, 4), torch.ones(3, dtype=torch.bool)
    graphs[0].features["image"] = (x, mask)
    with pytest.raises(DataError, match="'image' features are given for one graph only"):
        make_pair(*graphs, LINKS)
    graphs[1].features["image"] = (2 * x, mask)
    data = make_pair(*graphs, LINKS)
    assert torch.equal(data["target"].x_image, 2 * x)


def test_pictures(graphs: tuple, tmp_path: object) -> None:
    pytest.importorskip("skimage", reason="needs the extra images")
    paths = []
    for i, colour in enumerate(["red", "green", "blue"]):
        paths.append(f"{tmp_path}/{i}.png")
        Image.new("RGB", (32, 32), colour).save(paths[-1])
    graphs[0].image_path = [paths[0], paths[1], None]
    graphs[1].image_path = [None, paths[0], paths[2]]
    data = make_pair(*graphs, LINKS)
    assert data["source"].image_mask.tolist() == [True, True, False]
    assert data["source"].image_path == graphs[0].image_path
    assert data["source"].x_image.size(1) <= 256
    torch.testing.assert_close(data["source"].x_image[0], data["target"].x_image[1])
    assert not torch.allclose(data["source"].x_image[1], data["target"].x_image[1])


def test_masks_and_links_are_validated(graphs: tuple) -> None:
    with pytest.raises(ValueError, match="edge_label_index: row 1 needs to be in"):
        make_pair(*graphs, torch.tensor([[0], [3]]))
    none = torch.zeros(2, dtype=torch.bool)
    with pytest.raises(ValueError, match="cover all links"):
        make_pair(*graphs, LINKS, (none, none, none))


def test_names_of_both_graphs_are_weighed_together(graphs: tuple) -> None:
    data = make_pair(*graphs, LINKS, features="name", text_encoder="tfidf")
    assert torch.equal(data["source"].x_name, data["target"].x_name)
    assert data["source"].name_mask.tolist() == [True, True, False]
    with pytest.raises(ValueError, match="'text_encoder' cannot be 'tfidf'"):
        make_pair(*graphs, LINKS, features="relation_text", text_encoder="tfidf")
