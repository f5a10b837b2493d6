import pytest
import torch

from pyg_mmea.data import GraphTables, encode_texts, verbalize
from pyg_mmea.data.verbalize import attribute_text, local_name, relation_text


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("http://dbpedia.org/ontology/birthPlace", "birth place"),
        ("<http://a.org/x#Zo%C3%AB_B>", "zoë b"),
        ("http://a.org/list/", "list"),
        ("hasCapital", "has capital"),
        ("Bobby_Baun", "bobby baun"),
    ],
)
def test_local_name(uri: str, name: str) -> None:
    assert local_name(uri) == name


@pytest.fixture
def graph() -> GraphTables:
    return GraphTables(
        uri=["http://a.org/Ann", "http://a.org/Bob", "http://a.org/Cid"],
        triples=torch.tensor([[0, 0, 1], [0, 0, 2], [1, 0, 0], [1, 0, 0]]),
        relation_uri=["http://a.org/knowsWell"],
        attribute_uri=["http://a.org/shoeSize"],
        attribute_triples=torch.tensor([[2, 0], [2, 0]]),
        attribute_value=["41", "42"],
        name=["", "Robert", ""],
    )


@pytest.mark.parametrize("chunk", [8192, 1])
def test_texts_are_means_of_sentences(
    graph: GraphTables, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verbalize, "_CHUNK", chunk)
    sentences, _ = encode_texts(["knows well Robert", "knows well cid", "knows well ann"])
    x, mask = relation_text(graph, "hashing")
    assert mask.tolist() == [True, True, False]
    torch.testing.assert_close(x[0], sentences[:2].mean(dim=0))
    torch.testing.assert_close(x[1], sentences[2])
    assert not x[2].any()

    values, _ = encode_texts(["shoe size 41", "shoe size 42"])
    x, mask = attribute_text(graph, "hashing")
    assert mask.tolist() == [False, False, True]
    torch.testing.assert_close(x[2], values.mean(dim=0))


def test_without_sentences(graph: GraphTables) -> None:
    graph.triples = graph.triples[:0]
    x, mask = relation_text(graph, "hashing")
    assert x.shape == (3, 256)
    assert not mask.any()
