from pathlib import Path

import pytest

from pyg_mmea.data import AlignmentData, from_rdf
from pyg_mmea.data.rdf import read_rdf
from pyg_mmea.errors import DataError
from pyg_mmea.typing import ANCHOR_EDGE, RELATION_EDGE

rdflib = pytest.importorskip("rdflib", reason="needs the extra rdf")

SOURCE = """
@prefix a: <http://a.org/> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
@prefix skos: <http://www.w3.org/2004/02/skos/core#> .
a:x rdfs:label "Zoë, \\"the first\\"" ; skos:prefLabel "other" ; a:knows a:y ; a:age 7 .
a:y skos:prefLabel "why" ; a:photo "y.png" ; a:age 8 .
"""
TARGET = """
<http://b.org/p> <http://b.org/near> <http://b.org/q> .
<http://b.org/p> <http://www.w3.org/2002/07/owl#sameAs> <http://elsewhere.org/> .
"""
LINKS = """
<http://a.org/x> <http://www.w3.org/2002/07/owl#sameAs> <http://b.org/q> .
"""
FEATURES = ["relation", "attribute", "attribute_text"]


def _check(data: AlignmentData, photo: str = "y.png") -> None:
    assert data["source"].uri == ["http://a.org/x", "http://a.org/y"]
    assert data["source"].name == ['Zoë, "the first"', "why"]
    assert data["source"].image_path == [None, photo]
    assert data["target"].uri == ["http://b.org/p", "http://b.org/q"]
    assert "name" not in data["target"]
    assert data[RELATION_EDGE["source"]].edge_index.tolist() == [[0], [1]]
    assert data[RELATION_EDGE["source"]].relation_uri == ["http://a.org/knows"]
    assert data.attribute_vocabulary == ["http://a.org/age"]
    assert data[ANCHOR_EDGE].edge_label_index.tolist() == [[0], [1]]
    assert data["source"].attribute_text_mask.all()


def test_graphs() -> None:
    source, target, links = (
        rdflib.Graph().parse(data=text, format="turtle") for text in (SOURCE, TARGET, LINKS)
    )
    photo = "http://a.org/photo"
    _check(from_rdf(source, target, links, image_predicate=photo, features=FEATURES))


def test_files_and_pairs(tmp_path: Path) -> None:
    (tmp_path / "source.ttl").write_text(SOURCE)
    (tmp_path / "target.nt").write_text(TARGET)
    data = from_rdf(
        tmp_path / "source.ttl",
        str(tmp_path / "target.nt"),
        [("http://a.org/x", "http://b.org/q")],
        image_predicate="http://a.org/photo",
        features=FEATURES,
    )
    _check(data, str(tmp_path / "y.png"))  # from the folder of the file on


def test_pictures_by_iri(tmp_path: Path) -> None:
    folder = tmp_path / "a b"
    folder.mkdir()
    for photo, path in (
        ("<y%20z.png>", "y z.png"),
        ("<file:///etc/passwd>", None),
        ('"file://[x"', "file:/[x"),
    ):
        (folder / "source.ttl").write_text(SOURCE.replace('"y.png"', photo))
        (folder / "target.nt").write_text(TARGET)
        data = from_rdf(
            folder / "source.ttl",
            folder / "target.nt",
            [("http://a.org/x", "http://b.org/q")],
            image_predicate="http://a.org/photo",
            features=FEATURES,
        )
        expected = None if path is None else str(folder / path)
        assert data["source"].image_path == [None, expected]


def test_broken(tmp_path: Path) -> None:
    (tmp_path / "a.nt").write_text("<http://a.org/x> no triple")
    (tmp_path / "empty.nt").touch()
    (tmp_path / "b.nt").write_text(TARGET)
    with pytest.raises(DataError, match=r"a\.nt: is no RDF that can be read") as info:
        from_rdf(tmp_path / "a.nt", tmp_path / "b.nt", [])
    assert "\n" not in str(info.value)
    with pytest.raises(DataError, match=r"c\.nt: file is missing"):
        from_rdf(tmp_path / "b.nt", tmp_path / "c.nt", [])
    with pytest.raises(DataError, match="the source graph holds no entity"):
        from_rdf(tmp_path / "empty.nt", tmp_path / "b.nt", [])
    with pytest.raises(DataError, match="entity 'x' in column 'source' is unknown"):
        from_rdf(tmp_path / "b.nt", tmp_path / "b.nt", [("x", "http://b.org/p")])


def test_blank_nodes_keep_their_names(tmp_path: Path) -> None:
    size = "a:x a:size [ a:height 3 ; a:of [ a:unit 'cm' ] ] , [ a:height 4 ] ."
    chain = f"a:z a:list ({'1 ' * 50}) ."  # longer than what names tell apart
    twins = "a:y a:part [ a:colour 'red' ] , [ a:colour 'red' ] ."
    head = "@prefix a: <http://a.org/> ."
    (tmp_path / "a.ttl").write_text(f"{head} {size} {twins} {chain}")
    (tmp_path / "b.ttl").write_text(f"{head} a:a a:size [ a:height 9 ] . {twins} {chain} {size}")
    first, again = (_uris(tmp_path / "a.ttl") for _ in range(2))
    assert first == again
    blank = {uri for uri in first if uri.startswith("_:")}
    assert len(blank) == 5 + 50
    assert {*first} - {*_uris(tmp_path / "b.ttl")} == set()


def _uris(path: Path) -> list[str]:
    return from_rdf(path, path, [], features=["relation"])["source"].uri


@pytest.mark.parametrize(
    ("language", "names"),
    [
        (None, ["Uhr", "Vase", "Ding", "lampe"]),
        ("en", ["clock", "Vase", "plain", "lamp"]),
        ("fr", ["Uhr", "Vase", "lampe", "lampe"]),
    ],
)
def test_labels_in_several_languages(
    tmp_path: Path, language: str | None, names: list[str]
) -> None:
    (tmp_path / "a.ttl").write_text(
        "@prefix a: <http://a.org/> . @prefix l: <http://www.w3.org/2000/01/rdf-schema#> .\n"
        "@prefix s: <http://www.w3.org/2004/02/skos/core#> .\n"
        'a:1 l:label "clock"@en-GB , "Uhr"@de . a:2 l:label "Vase"@de ; s:prefLabel "vas"@sv .\n'
        'a:3 l:label "plain" , "Ding"@de ; s:prefLabel "lampe"@fr .\n'
        'a:4 l:label "lamp"@en , "lampe"@fr .\n'
    )
    path = tmp_path / "a.ttl"
    data = from_rdf(path, path, [], language=language, features=["name"])
    assert data["source"].name == names
    assert read_rdf(path, "source", None).languages == {
        **{"de": 3, "fr": 2, "en": 1, "en-GB": 1, "sv": 1}
    }


def test_labels_in_the_language_that_both_share(tmp_path: Path) -> None:
    label = "<http://www.w3.org/2000/01/rdf-schema#label>"
    for side, tags in (("a", ("de", "en")), ("b", ("fr", "en")), ("c", ("fr", "it"))):
        (tmp_path / f"{side}.nt").write_text(
            "\n".join(f'<http://{side}.org> {label} "{tag}"@{tag} .' for tag in tags)
            + f'\n<http://{side}.org/2> {label} "2"@{tags[0]} .'
        )

    def names(source: str, target: str) -> list[str]:
        data = from_rdf(tmp_path / source, tmp_path / target, [], features=["name"])
        return [data[side].name[0] for side in ("source", "target")]

    assert names("a.nt", "b.nt") == ["en", "en"]
    assert names("a.nt", "c.nt") == ["de", "fr"]
