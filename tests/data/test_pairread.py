from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pyg_mmea.data import check_pair
from pyg_mmea.data.findings import Findings
from pyg_mmea.data.pairfeatures import add_features
from pyg_mmea.data.pairfile import read_pair_file
from pyg_mmea.data.pairread import TablePairContent, read_pair
from pyg_mmea.errors import DataError


def _read(folder: Path) -> TablePairContent:
    findings = Findings(strict=True)
    pair = read_pair_file(folder / "pair.yaml", findings)
    assert pair is not None
    content = read_pair(pair, findings)
    assert content is not None
    assert findings.rules.keys() <= {"column without partner"}
    return content


def _triples(content: TablePairContent, side: int) -> set[tuple[str, str, str]]:
    graph = content.sides[side].graph
    return {
        (graph.uri[head], graph.relation_uri[relation], graph.uri[tail])
        for head, relation, tail in graph.triples.tolist()
    }


def test_rows_relations_and_values(table_folder: Path) -> None:
    content = _read(table_folder)
    source, target = content.sides
    assert source.graph.uri == ["A1", "A2", "A3", "acme", "colour=red", "colour=blue"]
    assert source.graph.name == ["Mug", "Cup", "Jug", "Acme Inc.", "red", "blue"]
    assert source.num_rows == 4
    assert _triples(content, 0) == {
        ("A1", "colour", "colour=red"),
        ("A1", "colour", "colour=blue"),
        ("A2", "colour", "colour=red"),
        ("A1", "brand", "acme"),
        ("A2", "brand", "acme"),
        ("A2", "variantOf", "A1"),
    }
    assert target.graph.uri == ["B1", "B2", "colour=rot", "clay", "maker=Acme"]
    assert _triples(content, 1) == {
        ("B1", "colour", "colour=rot"),
        ("B2", "colour", "colour=rot"),
        ("B1", "goesWith", "B2"),
        ("B1", "madeOf", "clay"),
        ("B2", "maker", "maker=Acme"),
    }
    assert source.graph.attribute_uri == ["weight", "released", "about", "note"]
    assert len(source.graph.attributes) == 7
    assert source.graph.image_path is not None
    assert [path and Path(path).name for path in source.graph.image_path[:3]] == [
        "a1.png",
        None,
        "a3.png",
    ]
    assert content.links.tolist() == [[0, 1], [0, 1]]
    assert content.seed_mask is not None
    assert content.seed_mask.tolist() == [True, False]


def test_numbers_meet_in_their_units(table_folder: Path) -> None:
    source, target = _read(table_folder).sides
    np.testing.assert_array_equal(source.numbers["weight"][:3], [1250, 300, np.nan])
    np.testing.assert_array_equal(target.numbers["weight"][:2], [1250, 300])
    assert source.numbers["released"][0] == target.numbers["released"][0]
    assert target.numbers["size"][0] == pytest.approx(0.1)  # the first value counts


def test_features_of_columns_with_partners(table_folder: Path) -> None:
    content = _read(table_folder)
    add_features(content.sides, None, "hashing")
    source, target = (side.graph for side in content.sides)
    for name in ("number", "text"):
        (x_s, mask_s), (x_t, mask_t) = source.features[name], target.features[name]
        assert mask_s.tolist() == [True, True, False, False, False, False]
        assert mask_t.tolist() == [True, True, False, False, False]
        assert x_s.size(1) == x_t.size(1)
        assert x_s.norm(dim=1)[mask_s].tolist() == pytest.approx([1, 1])
        assert not x_s[~mask_s].any()
    x_s, x_t = source.features["number"][0], target.features["number"][0]
    assert (x_s[:2] @ x_t[:2].T).argmax(dim=1).tolist() == [0, 1]
    assert x_s.size(1) == 64  # weight and date; size and note have no partner


def test_features_keep_what_they_were_fitted_to(table_folder: Path) -> None:
    before = _read(table_folder).sides
    fits = add_features(before, None, "hashing")
    assert fits["number"]["columns"] == ["weight", "released"]
    after = _read(table_folder).sides
    for side in after:
        side.numbers = dict(reversed(side.numbers.items()))
        side.numbers["weight"][2:] = 1e9  # would move all quantiles
        side.numbers["more"] = side.numbers["weight"]
        side.texts = {"extra": [""] * side.graph.num_entities, **side.texts}
    assert add_features(after, None, "hashing", fits) == fits
    for old, new in zip(before, after, strict=True):
        for name, rows in (("number", slice(2)), ("text", slice(None))):
            one, two = old.graph.features[name][0], new.graph.features[name][0]
            assert torch.equal(one[rows], two[rows])
    for side in after:
        del side.numbers["released"]
    with pytest.raises(DataError, match="need a column 'released' of role number"):
        add_features(after, None, "hashing", fits)


def test_texts_of_both_sides_are_encoded_together(table_folder: Path) -> None:
    sides = _read(table_folder).sides
    for side, third in zip(sides, ("zebra", "aardvark"), strict=True):
        blank = [""] * (side.graph.num_entities - 3)
        side.texts = {"text": ["a grey goose", "some rare tapir", third, *blank]}
    add_features(sides, ["text"], "tfidf")
    x_s, x_t = (side.graph.features["text"][0][:2] for side in sides)
    assert torch.allclose(x_s @ x_t.t(), torch.eye(2), atol=0.2)


@pytest.mark.parametrize(
    ("decimal", "number"), [("", 1234.0), (", decimal: '.'", 1234.0), (", decimal: ','", 1.234)]
)
def test_a_decimal_mark_that_no_cell_explains_is_a_warning_until_it_is_said(
    tmp_path: Path, decimal: str, number: float
) -> None:
    (tmp_path / "a.csv").write_text('id,weight\nA1,7\nA2,"1,234"\n')
    side = f"{{tables: [{{file: a.csv, columns: {{id: id, weight: {{role: number{decimal}}}}}}}]}}"
    (tmp_path / "pair.yaml").write_text(f"source: {side}\ntarget: {side}\nlinks: {{}}\n")
    findings, content = check_pair(tmp_path / "pair.yaml")
    assert content is not None
    assert content.sides[0].numbers["weight"].tolist() == [7.0, number]
    assert set(findings.rules) == ({"no links"} if decimal else {"no links", "decimal mark"})
    if not decimal:
        [first, _] = findings.rules["decimal mark"].examples
        assert "a.csv:3: weight: '1,234' is taken for 1234 and may be 1.234" in str(first)


@pytest.mark.parametrize(
    ("order", "dates", "lines"),
    [
        ("%d/%m/%Y", ["2017-10-01", "2022-08-12"], ["a.csv:3"]),
        ("%m/%d/%Y", ["2017-10-01", "2022-08-12"], []),  # the other side has these dates
        ("%m/%d/%Y", ["1999-10-01", "1999-08-12"], ["a.csv:3"]),
        ("%d/%m/%Y", ["10/1/2017", "8/12/2022"], ["a.csv:3", "b.csv:2"]),
    ],
)
def test_dates_whose_order_nothing_tells_are_a_warning(
    tmp_path: Path, order: str, dates: list[str], lines: list[str]
) -> None:
    (tmp_path / "a.csv").write_text("id,since\nA1,2/2/2019\nA2,10/1/2017\nA3,8/12/2022\n")
    rows = "".join(f"B{i},{date}\n" for i, date in enumerate(dates))
    (tmp_path / "b.csv").write_text(f"id,since\n{rows}")
    sides = [
        f"{{tables: [{{file: {name}.csv, columns: {{id: id, since: {{role: date, "
        f"format: '{date_format}'}}}}}}]}}"
        for name, date_format in (("a", order), ("b", order if "/" in dates[0] else "ISO8601"))
    ]
    (tmp_path / "pair.yaml").write_text(f"source: {sides[0]}\ntarget: {sides[1]}\nlinks: {{}}\n")
    findings, content = check_pair(tmp_path / "pair.yaml")
    assert content is not None
    rule = findings.rules.get("day or month")
    found = rule.examples if rule else []
    assert [f"{Path(str(each.path)).name}:{each.line}" for each in found] == lines
    assert all("is taken for" in each.rule for each in found)


def test_the_first_number_of_an_entity_counts(tmp_path: Path) -> None:
    (tmp_path / "values.csv").write_text(
        "e,a,v\nx,weight,unknown\nx,weight,5 kg\nx,weight,6 kg\ny,weight,7 kg\n"
    )
    side = "{attributes: [{file: values.csv, entity: e, attribute: a, value: v}], columns: "
    side += "{weight: number}}"
    (tmp_path / "pair.yaml").write_text(f"source: {side}\ntarget: {side}\nlinks: {{}}\n")
    _, content = check_pair(tmp_path / "pair.yaml")
    assert content is not None
    assert content.sides[0].numbers["weight"].tolist() == [5000, 7000]


@pytest.mark.parametrize("cell", ["", "unknown"])
def test_a_column_without_a_number_has_no_unit_to_clash(tmp_path: Path, cell: str) -> None:
    columns = "columns: {id: id, weight: number}"
    for name, row in (("none", f"1,{cell}"), ("some", "2,3 kg"), ("bare", "3,3")):
        (tmp_path / f"{name}.csv").write_text(f"id,weight\n{row}\n")

    def unit_errors(source: list[str], target: list[str]) -> list[str]:
        sides = []
        for names in (source, target):
            tables = [f"{{file: {name}.csv, {columns}}}" for name in names]
            sides.append(f"{{tables: [{', '.join(tables)}]}}")
        text = f"source: {sides[0]}\ntarget: {sides[1]}\nlinks: {{}}\n"
        (tmp_path / "pair.yaml").write_text(text)
        rules = check_pair(tmp_path / "pair.yaml")[0].rules
        return [str(each) for each in rules["unit"].examples] if "unit" in rules else []

    assert unit_errors(["none", "some"], ["some"]) == []
    assert unit_errors(["none"], ["some"]) == []
    (error,) = unit_errors(["bare", "some"], ["none"])
    assert error.endswith("'weight' is mass here and without a unit before")


def test_only_wanted_features(table_folder: Path) -> None:
    content = _read(table_folder)
    add_features(content.sides, ["relation", "text"], "hashing")
    assert list(content.sides[0].graph.features) == ["text"]


def test_a_pair_in_order(table_folder: Path) -> None:
    findings, content = check_pair(table_folder / "pair.yaml")
    assert content is not None
    assert findings.num_errors == 0
    assert list(findings.rules) == ["column without partner"]  # size


Change = Callable[[Path], object]


def _append(name: str, text: str) -> Change:
    def change(folder: Path) -> None:
        encoding = "cp1252" if name == "b.csv" else "utf-8"
        with open(folder / name, "a", encoding=encoding) as file:
            file.write(text)

    return change


def _yaml(old: str, new: str) -> Change:
    def change(folder: Path) -> None:
        text = (folder / "pair.yaml").read_text()
        assert old in text
        (folder / "pair.yaml").write_text(text.replace(old, new, 1))

    return change


def _cmyk(folder: Path) -> None:
    Image.new("CMYK", (4, 4)).save(folder / "b_photos" / "B1.jpg")


def _animated(folder: Path) -> None:
    frames = [Image.new("L", (4, 4), 80 * i) for i in range(3)]
    frames[0].save(folder / "b_photos" / "B1.gif", save_all=True, append_images=frames[1:])


def _deeper(folder: Path) -> None:
    (folder / "b_photos" / "sub").mkdir()
    (folder / "b_photos" / "B2.png").rename(folder / "b_photos" / "sub" / "B2.png")


ROW = "A9,x,,,,,,,,,\n"
ERRORS: dict[str, tuple[Change, str, str, int | None]] = {
    "id twice": (_append("a.csv", ROW.replace("A9", "A1")), "id twice", "a.csv", 5),
    "id of two tables": (_append("brands.csv", "A2,x\n"), "id twice", "brands.csv", 3),
    "id empty": (_append("a.csv", ROW.replace("A9", " ")), "id empty", "a.csv", 5),
    "ragged": (_append("a.csv", "A9,x\n"), "number of cells", "a.csv", 5),
    "column": (_yaml("note: att", "nota: att"), "column missing", "a.csv", None),
    "attribute": (_yaml("size: {", "sise: {"), "column missing", "pair.yaml", 35),
    "unknown link": (_append("links.csv", "A1,B7,test\n"), "link to unknown id", "links.csv", 4),
    "link twice": (_append("links.csv", "A1,B1,test\n"), "link twice", "links.csv", 4),
    "split": (_append("links.csv", "A3,B1,val\n"), "split", "links.csv", None),
    "link column": (_yaml("source: a,", "source: c,"), "column missing", "links.csv", None),
    "header": (
        lambda f: (f / "links.csv").write_text("A1,B1,part\nA2,B2,test\n"),
        "no header",
        "links.csv",
        1,
    ),
    "triple": (_append("b_triples.csv", "B1,,B2\n"), "triple incomplete", "b_triples.csv", 4),
    "value": (_append("b_values.csv", ",size,3\n"), "value incomplete", "b_values.csv", 5),
    "file": (lambda f: (f / "b.csv").unlink(), "file missing", "b.csv", None),
    "encoding": (_yaml("encoding: cp1252", "encoding: utf-8"), "encoding", "b.csv", 2),
    "images": (_yaml("images: b_photos", "images: c"), "folder missing", "c", None),
    "units": (
        lambda f: (f / "b.csv").write_text(
            "nr;Name;Gewicht;Datum;Text;Farbe\nB1;;3 m;;;r\nB2;;;;;\n"
        ),
        "unit",
        "pair.yaml",
        None,
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(table_folder: Path, case: str) -> None:
    change, rule, file, line = ERRORS[case]
    change(table_folder)
    findings, _ = check_pair(table_folder / "pair.yaml")
    first = findings.rules[rule].examples[0]
    assert findings.rules[rule].severity == "error"
    assert (Path(str(first.path)).name, first.line) == (file, line)
    with pytest.raises(DataError, match=file.replace(".", r"\.")):
        _read(table_folder)


WARNINGS: dict[str, tuple[Change, str, str, int | None]] = {
    "reference": (_append("a.csv", "A9,,,,,,,nope,,,\n"), "dangling reference", "a.csv", 5),
    "number": (_append("a.csv", "A9,,,heavy,,,,,,,\n"), "no number", "a.csv", 5),
    "date": (_append("b.csv", "B9;;;2024-01-01;;\n"), "no date", "b.csv", 4),
    "links": (_append("links.csv", "A1,B2,test\n"), "one-to-many link", "links.csv", 2),
    "url": (_append("a.csv", "A9,,https://x/y.png,,,,,,,,\n"), "picture is a URL", "a.csv", 5),
    "missing": (_append("a.csv", "A9,,no.png,,,,,,,,\n"), "picture: missing", "a.csv", 5),
    "broken": (
        lambda f: (f / "photos" / "a1.png").write_bytes(b"no picture"),
        "picture: unreadable",
        "a.csv",
        2,
    ),
    "CMYK": (_cmyk, "picture: CMYK", "B1.jpg", None),
    "animated": (_animated, "picture: animated", "B1.gif", None),
    "one side": (
        _yaml("  images: b_photos\n", ""),
        "pictures of one side",
        "pair.yaml",
        None,
    ),
    "one side by broken pictures": (
        lambda f: (f / "b_photos" / "B2.png").write_bytes(b"no picture"),
        "pictures of one side",
        "pair.yaml",
        None,
    ),
    "no picture": (
        lambda f: (f / "b_photos" / "B2.png").rename(f / "b_photos" / "X.png"),
        "no picture",
        "b_photos",
        None,
    ),
    "pictures further down": (_deeper, "no picture", "b_photos", None),
    "stranger": (
        lambda f: Image.new("L", (2, 2)).save(f / "b_photos" / "B7.png"),
        "picture of unknown id",
        "B7.png",
        None,
    ),
    "empty": (
        lambda f: (f / "brands.csv").write_text("key,label\nacme,\n"),
        "empty column",
        "brands.csv",
        None,
    ),
}


def test_a_pair_without_links_is_a_warning(table_folder: Path) -> None:
    _yaml("links: {file: links.csv, source: a, target: b, split: part}", "")(table_folder)
    findings, content = check_pair(table_folder / "pair.yaml")
    assert content is not None
    assert findings.num_errors == 0
    assert "names no 'links'" in str(findings.rules["no links"].examples[0])


@pytest.mark.parametrize("case", WARNINGS)
def test_warnings(table_folder: Path, case: str) -> None:
    change, rule, file, line = WARNINGS[case]
    change(table_folder)
    findings, content = check_pair(table_folder / "pair.yaml")
    assert content is not None
    assert findings.num_errors == 0
    first = findings.rules[rule].examples[0]
    assert (Path(str(first.path)).name, first.line) == (file, line)


def test_huge_pictures(table_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyg_mmea.data.image_check.MAX_PIXELS", 63)
    findings, _ = check_pair(table_folder / "pair.yaml")
    assert findings.rules["picture: too large"].count == 3
    assert "picture: too large" not in check_pair(table_folder / "pair.yaml", images=False)[0].rules


def test_pictures_are_counted_as_far_as_they_can_be_read(table_folder: Path) -> None:
    def counts(images: bool = True) -> list[int]:
        content = check_pair(table_folder / "pair.yaml", images)[1]
        assert content is not None
        return [side.num_images for side in content.sides]

    assert counts() == [2, 1]
    (table_folder / "photos" / "a1.png").unlink()
    _cmyk(table_folder)
    assert counts() == [1, 2]
    assert counts(images=False) == [2, 2]


def test_a_predicate_without_pictures_is_a_warning(table_folder: Path) -> None:
    pytest.importorskip("rdflib", reason="needs the extra rdf")
    (table_folder / "a.ttl").write_text("@prefix x: <http://x.org/> .\nx:a x:likes x:b .\n")
    (table_folder / "pair.yaml").write_text(
        "source: {rdf: a.ttl, image_predicate: http://x.org/photo}\ntarget: {rdf: a.ttl}\n"
    )
    findings, _ = check_pair(table_folder / "pair.yaml")
    (first,) = findings.rules["no picture"].examples
    assert str(first).endswith("a.ttl: no picture is named by 'http://x.org/photo'")


def test_totals_of_many_problems(table_folder: Path) -> None:
    _append("links.csv", "".join(f"X{i},B1,test\n" for i in range(50)))(table_folder)
    findings, _ = check_pair(table_folder / "pair.yaml")
    rule = findings.rules["link to unknown id"]
    assert rule.count == findings.num_errors == 50
    assert [example.line for example in rule.examples] == [4, 5, 6, 7, 8]


def test_rdf_and_folder(table_folder: Path, eva_folder: Path) -> None:
    pytest.importorskip("rdflib", reason="needs the extra rdf")
    (table_folder / "a.ttl").write_text(
        '@prefix x: <http://x.org/> .\nx:a x:weight "2 kg" ; x:likes x:b ; x:colour "red" .\n'
    )
    (table_folder / "same.nt").write_text(
        "<http://x.org/a> <http://www.w3.org/2002/07/owl#sameAs> <http://b.org/é> .\n"
    )
    (eva_folder / "attr_triples_2").write_text("http://b.org/é\tmass\t2000 g\nE\tbad\t1\n")
    (table_folder / "pair.yaml").write_text(
        "source:\n  rdf: a.ttl\n  columns:\n    http://x.org/weight: {role: number, as: mass}\n"
        "    http://x.org/colour: category\n"
        f"target:\n  folder: {eva_folder}\n  columns: {{mass: number, bad: ignore}}\n"
        "links: {file: same.nt}\n"
    )
    content = _read(table_folder)
    source, target = content.sides
    assert "http://x.org/colour=red" in source.graph.uri
    assert source.numbers["mass"][0] == target.numbers["mass"][0] == 2000
    assert source.graph.attribute_uri == ["mass"]
    assert len(source.graph.attributes) == len(target.graph.attributes) == 1
    assert content.links.tolist() == [[0], [0]]


def test_folder_with_its_own_links(eva_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "pair.yaml").write_text(
        f"source: {{folder: {eva_folder}}}\ntarget: {{folder: {eva_folder}}}\n"
        f"links: {{folder: {eva_folder}}}\n"
    )
    content = _read(tmp_path)
    assert content.links.tolist() == [[0, 1, 2], [0, 1, 2]]
    assert content.seed_mask is not None
    assert content.seed_mask.tolist() == [False, True, True]
