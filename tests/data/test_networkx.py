import networkx as nx
import pytest
import torch

from pyg_mmea.data import AlignmentData, HideAnchors, from_networkx, to_networkx, validate
from pyg_mmea.errors import DataError
from pyg_mmea.typing import ANCHOR_EDGE, RELATION_EDGE, SIDES


def test_round_trip(fake: AlignmentData) -> None:
    source, target, links = to_networkx(fake)
    data = from_networkx(source, target, links)
    validate(data)
    for side in SIDES:
        assert data[side].uri == fake[side].uri
        assert data[side].name == fake[side].name
        edge, before = data[RELATION_EDGE[side]], fake[RELATION_EDGE[side]]
        triples = [
            sorted(
                (*ends, store.relation_uri[kind])
                for *ends, kind in zip(
                    *store.edge_index.tolist(), store.edge_type.tolist(), strict=True
                )
            )
            for store in (edge, before)
        ]
        assert triples[0] == triples[1]
        assert torch.equal(data[side].x_relation.to_dense(), fake[side].x_relation.to_dense())
    assert torch.equal(data[ANCHOR_EDGE].edge_label_index, fake[ANCHOR_EDGE].edge_label_index)


def test_to_networkx_of_hidden_links(fake: AlignmentData) -> None:
    hidden = HideAnchors()(fake)
    assert len(to_networkx(hidden)[2]) == int(fake[ANCHOR_EDGE].train_mask.sum())


def _graph() -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_node(1, name="one", size=3)
    graph.add_node("two", size=None, image="two.png")
    graph.add_edge(1, "two", relation="next")
    return graph


def test_node_attributes() -> None:
    features = ["relation", "attribute", "attribute_text"]
    data = from_networkx(_graph(), _graph(), [(1, "two")], features=features, dataset="mine")
    assert data.dataset == "mine"
    assert data["source"].uri == ["1", "two"]
    assert data["source"].name == ["one", ""]
    assert data["source"].image_path == [None, "two.png"]
    assert data.attribute_vocabulary == ["size"]
    assert data["source"].attribute_text_mask.tolist() == [True, False]
    assert data[RELATION_EDGE["target"]].relation_uri == ["next"]


@pytest.mark.parametrize(
    ("change", "links", "message"),
    [
        (lambda graph: graph.add_edge("two", 1), [], "edge 'two', 1 of the source graph has no"),
        (lambda graph: graph.add_node("1"), [], "two nodes of the source graph read '1'"),
        (nx.DiGraph.clear, [], "the source graph holds no entity"),
        (lambda graph: None, [(1, 3)], "links, row 0: entity '3' in column 'target' is unknown"),
        (lambda graph: None, [(1, 1), (1, 1)], "links, row 1: this link is there twice"),
    ],
)
def test_broken(change: object, links: list, message: str) -> None:
    source = _graph()
    change(source)  # type: ignore[operator]
    with pytest.raises(DataError, match=message):
        from_networkx(source, _graph(), links)
