import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pyg_mmea.data import FolderPair, read_folder
from pyg_mmea.data.layoutfiles import EntityIndex
from pyg_mmea.datasets import AlignmentFolder
from pyg_mmea.errors import DataError


def test_read_folder(eva_folder: Path) -> None:
    pair = read_folder(eva_folder)
    assert isinstance(pair, FolderPair)
    assert pair.source.uri == ["http://a.org/Zoë", 'http://a.org/"B,C"', "http://a.org/D", "E"]
    assert pair.target.uri == ["http://b.org/é", "http://b.org/b\u2028c", "E"]
    assert pair.source.triples.tolist() == [[0, 1, 1], [2, 0, 2], [3, 1, 0]]
    assert pair.target.triples.tolist() == [[0, 1, 1], [1, 0, 2]]
    assert pair.source.relation_uri == ["http://a.org/likes", "http://x.org/madeOf"]
    assert pair.links.tolist() == [[0, 1, 2], [0, 1, 2]]
    assert pair.seed_mask is not None
    assert pair.seed_mask.tolist() == [False, True, True]


def test_ref_that_holds_the_seeds_is_no_leak(eva_folder: Path) -> None:
    (eva_folder / "ref_ent_ids").write_text("0\t3\n2\t1\n4\t6")
    (eva_folder / "ill_ent_ids").unlink()
    pair = read_folder(eva_folder)
    assert sorted(pair.links.t().tolist()) == [[0, 0], [1, 1], [2, 2]]
    assert pair.seed_mask is not None
    assert pair.links[:, ~pair.seed_mask].tolist() == [[0], [0]]


def test_gold_links_in_neither_part_are_for_the_test(eva_folder: Path) -> None:
    (eva_folder / "ref_ent_ids").unlink()
    pair = read_folder(eva_folder)
    assert pair.seed_mask is not None
    assert pair.seed_mask.tolist() == [False, True, True]


def test_an_entity_may_have_two_links(eva_folder: Path) -> None:
    (eva_folder / "ill_ent_ids").write_text("0\t3\n2\t1\n4\t6\n0\t6\n")
    assert read_folder(eva_folder).links.tolist() == [[0, 1, 2, 0], [0, 1, 2, 2]]


def test_attributes(eva_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (eva_folder / "training_attrs_1").write_text("E\tage\tsize\tage\nelsewhere\tx\n")
    (eva_folder / "attr_triples_1").write_text('E\tsize\t"7"\nhttp://a.org/D\tage\tn/a\n')
    (eva_folder / "attr_triples_2").write_text("E\tgröße\t1,5")
    source, target = (pair := read_folder(eva_folder)).source, pair.target
    kinds = source.attribute_uri
    assert [(i, kinds[a]) for i, a in source.attributes.tolist()] == [
        (3, "age"),
        (3, "size"),
        (3, "age"),
    ]
    assert [(i, kinds[a]) for i, a in source.attribute_triples.tolist()] == [
        (3, "size"),
        (2, "age"),
    ]
    assert source.attribute_value == ['"7"', "n/a"]
    # Without a file of their own, attributes come from the values.
    assert target.attributes.tolist() == [[2, 0]]
    assert "left out 1 entities" in caplog.text


def test_names_and_pictures(eva_folder: Path) -> None:
    (eva_folder / "names_2.json").write_text(json.dumps({"1": "zwei", "6": "drei"}))
    (eva_folder / "images_1").mkdir()
    for name in ("4.png", "0.JPG", "Thumbs.db"):
        (eva_folder / "images_1" / name).touch()
    pair = read_folder(eva_folder)
    assert pair.target.name == ["", "zwei", "drei"]
    assert pair.source.image_path is not None
    assert [path and Path(path).name for path in pair.source.image_path] == [
        "0.JPG",
        None,
        "4.png",
        None,
    ]


def test_relation_names_can_be_optional(eva_folder: Path) -> None:
    for side in (1, 2):
        (eva_folder / f"rel_ids_{side}").unlink()
    pair = read_folder(eva_folder, need_relation_names=False)
    assert pair.source.relation_uri == ["unknown:0", "unknown:7"]
    assert pair.source.triples[:, 1].tolist() == [1, 0, 1]


def _write(name: str, content: str | bytes) -> Callable[[Path], object]:
    encoded = content if isinstance(content, bytes) else content.encode()

    def change(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(encoded)

    return change


def _remove(*names: str) -> Callable[[Path], object]:
    return lambda folder: [(folder / name).unlink() for name in names]


BROKEN = {
    "no entities": (_remove("ent_ids_2"), "ent_ids_2", None, "file is missing"),
    "no triples": (_remove("triples_1"), "triples_1", None, "file is missing"),
    "no relations": (_remove("rel_ids_1"), "rel_ids_1", None, "file is missing"),
    "no links": (_remove("ill_ent_ids", "ref_ent_ids"), "ref_ent_ids", None, "file is missing"),
    "empty entities": (_write("ent_ids_1", ""), "ent_ids_1", None, "holds no entity"),
    "entity id": (_write("ent_ids_1", "0\ta\nx\tb"), "ent_ids_1", 2, "'x' is no id"),
    "entity columns": (_write("ent_ids_1", "0\ta\n1"), "ent_ids_1", 2, "needs 2 tab"),
    "entity twice": (_write("ent_ids_1", "0\ta\n0\tb"), "ent_ids_1", 2, "id 0 is there twice"),
    "entity in both": (_write("ent_ids_2", "9\ta\n0\tb"), "ent_ids_2", 2, "also in ent_ids_1"),
    "URI twice": (_write("ent_ids_2", "3\ta\n1\ta"), "ent_ids_2", 2, "URI 'a' is there twice"),
    "UTF-8": (_write("ent_ids_2", b"3\ta\n1\t\xe9"), "ent_ids_2", 2, "not valid UTF-8"),
    "relation twice": (_write("rel_ids_1", "0\ta\n0\tb"), "rel_ids_1", 2, "id 0 is there twice"),
    "triple id": (_write("triples_1", "0\t7\t2\n0\t7\ttwo"), "triples_1", 2, "'two' is no id"),
    "triple columns": (_write("triples_1", "0\t7\t2\n0\t7"), "triples_1", 2, "needs 3 tab"),
    "unknown entity": (_write("triples_1", "0\t7\t99"), "triples_1", 1, "entity 99 is in neither"),
    "unknown relation": (_write("triples_1", "0\t5\t2"), "triples_1", 1, "relation 5 is not in"),
    "two graphs": (_write("triples_1", "0\t7\t2\n0\t7\t3"), "triples_1", 2, "different graphs"),
    "wrong graph": (_write("triples_1", "3\t0\t1"), "triples_1", 1, "entity 3 belongs to graph 2"),
    "link twice": (_write("ill_ent_ids", "0\t3\n2\t1\n0\t3"), "ill_ent_ids", 3, "there twice"),
    "seed twice": (_write("sup_ent_ids", "4\t6\n4\t6"), "sup_ent_ids", 2, "there twice"),
    "link sides": (_write("ref_ent_ids", "0\t3\n3\t0"), "ref_ent_ids", 2, "belongs to graph 2"),
    "link in one graph": (_write("sup_ent_ids", "0\t2"), "sup_ent_ids", 1, "belongs to graph 1"),
    "link entity": (_write("ill_ent_ids", "0\t77"), "ill_ent_ids", 1, "entity 77 is in neither"),
    "link columns": (_write("ill_ent_ids", "0\t3\t1"), "ill_ent_ids", 1, "needs 2 tab"),
    "link id": (_write("ill_ent_ids", "0\t3.5"), "ill_ent_ids", 1, "'3.5' is no id"),
    "no seed": (_write("sup_ent_ids", "\n"), "sup_ent_ids", None, "holds no link"),
    "seed not gold": (_write("sup_ent_ids", "0\t3\n0\t1"), "sup_ent_ids", 2, "not in ill_ent_ids"),
    "attribute URIs": (_write("training_attrs_1", "x\ta"), "training_attrs_1", 1, "no entity"),
    "attribute": (_write("training_attrs_1", "E\ta\nE\t"), "training_attrs_1", 2, "is empty"),
    "value entity": (_write("attr_triples_2", "E\ta\t1\nx\ta\t1"), "attr_triples_2", 2, "'x' is"),
    "value columns": (_write("attr_triples_2", "E\ta"), "attr_triples_2", 1, "needs 3 tab"),
    "names JSON": (_write("names_1.json", '{"0": "a",\n}'), "names_1.json", 2, "is no JSON"),
    "names list": (_write("names_1.json", "[]"), "names_1.json", None, "needs to map"),
    "names id": (_write("names_1.json", '{"a": "b"}'), "names_1.json", None, "needs to map"),
    "names entity": (_write("names_1.json", '{"3": "b"}'), "names_1.json", None, "entity 3 is not"),
    "picture name": (_write("images_1/a.png", ""), "a.png", None, "needs an entity id"),
    "picture entity": (_write("images_1/3.png", ""), "3.png", None, "entity 3 is not in"),
    "features": (_write("x_img_feature_dict.pkl", "x"), "x_img_feature_dict.pkl", None, "read"),
    "hostile features": (
        _write("x_img_feature_dict.pkl", b"cos\nsystem\n(S'touch hacked'\ntR."),
        "x_img_feature_dict.pkl",
        None,
        "not allowed",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_folder(case: str, eva_folder: Path, cache_folder: Path) -> None:
    change, name, line, rule = BROKEN[case]
    change(eva_folder)
    before = sorted(eva_folder.rglob("*"))
    with pytest.raises(DataError) as info:
        AlignmentFolder(str(eva_folder))
    assert Path(str(info.value.path)).name == name
    assert info.value.line == line
    assert rule in info.value.rule
    assert "\n" not in str(info.value)
    # Nothing is written, neither beside the data nor in the cache.
    assert sorted(eva_folder.rglob("*")) == before
    assert not list(cache_folder.rglob("*.*"))


def test_two_pictures_of_one_entity(eva_folder: Path) -> None:
    (eva_folder / "images_1").mkdir()
    for name in ("4.png", "04.jpg"):
        (eva_folder / "images_1" / name).touch()
    with pytest.raises(DataError, match="second picture of entity 4"):
        read_folder(eva_folder)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="folder is missing"):
        read_folder(tmp_path / "none")


@pytest.mark.parametrize("factor", [1, 10**6], ids=["table", "search"])
def test_locate_agrees_with_a_plain_loop(factor: int) -> None:
    ids = np.random.default_rng(0).permutation(60)[:50] * factor
    index = EntityIndex(ids[:20], ids[20:])
    wanted = np.array([-1, *range(70), 10**11]) * factor
    where = {number: (0, i) for i, number in enumerate(ids[:20].tolist())}
    where |= {number: (1, i) for i, number in enumerate(ids[20:].tolist())}
    for number, side, place in zip(wanted.tolist(), *index.locate(wanted), strict=True):
        assert side == where.get(number, (-1, 0))[0]
        assert side < 0 or place == where[number][1]
