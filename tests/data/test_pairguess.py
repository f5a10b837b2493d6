from pathlib import Path

import pandas as pd
import pytest

from pyg_mmea.data import check_pair
from pyg_mmea.data.findings import Findings
from pyg_mmea.data.pairfile import read_pair_file
from pyg_mmea.data.pairguess import draft_pair
from pyg_mmea.data.pairwrite import pair_text
from pyg_mmea.errors import DataError


def test_a_draft_is_read_back_without_an_error(table_folder: Path) -> None:
    files = [[table_folder / "a.csv", table_folder / "brands.csv"]]
    files.append([table_folder / name for name in ("b.csv", "b_triples.csv", "b_values.csv")])
    (table_folder / "b_triples.csv").write_text("head,relation,tail\nB1,goesWith,B2\n")
    draft = draft_pair(
        files[0], files[1], table_folder / "links.csv", (None, table_folder / "b_photos")
    )
    assert [file.kind for file in draft.sides[1].files] == ["table", "triples", "attributes"]
    (table_folder / "deep").mkdir()
    path = table_folder / "deep" / "guess: #1.yaml"
    path.write_text(pair_text(draft, path.parent), encoding="utf-8")
    pair = read_pair_file(path, Findings(strict=True))
    assert pair is not None
    assert pair.source.tables[0].file == "../a.csv"
    assert pair.target.tables[0].encoding == "cp1252"
    roles = {name: spec.role for name, spec in pair.source.tables[0].columns.items()}
    assert roles["sku"] == "id"
    assert roles["title"] == "name"
    assert roles["weight"] == "number"
    assert roles["released"] == "date"
    assert roles["brand"] == "reference"
    assert pair.target.tables[0].columns["Gewicht"].name == "weight"
    assert pair.target.tables[0].columns["Gewicht"].decimal == ","
    assert (pair.links.source, pair.links.target, pair.links.split) == ("a", "b", "part")
    findings, content = check_pair(path)
    assert findings.num_errors == 0
    assert content is not None
    assert content.links.size(1) == 2


def test_odd_names_survive(tmp_path: Path) -> None:
    odd = ["a: b", "#c", 'd"e', "null", "f'g", "ü {h}", "- i", "* j", "1", "yes"]
    header = ",".join(['"' + name.replace('"', '""') + '"' for name in odd])
    for side in "ab":
        rows = "\n".join(f"{side}{i},{','.join(['x'] * len(odd))}" for i in range(3))
        (tmp_path / f"{side} #.csv").write_text(f"sku,{header}\n{rows}\n", encoding="utf-8")
    draft = draft_pair([tmp_path / "a #.csv"], [tmp_path / "b #.csv"])
    path = tmp_path / "pair.yaml"
    path.write_text(pair_text(draft, tmp_path), encoding="utf-8")
    pair = read_pair_file(path, Findings(strict=True))
    assert pair is not None
    assert list(pair.source.tables[0].columns) == ["sku", *odd]
    assert (pair.links.file, pair.links.folder) == ("", "")
    assert check_pair(path)[0].num_errors == 0


def test_graphs(eva_folder: Path, tmp_path: Path) -> None:
    (eva_folder / "attr_triples_1").write_text('E\tweight\t3 kg\nhttp://a.org/"B,C"\tcolour\tred')
    draft = draft_pair([eva_folder], [eva_folder], eva_folder)
    path = tmp_path / "pair.yaml"
    path.write_text(pair_text(draft, tmp_path), encoding="utf-8")
    pair = read_pair_file(path, Findings(strict=True))
    assert pair is not None
    assert pair.source.columns["weight"].role == "number"
    assert pair.links.folder == "pair"
    assert check_pair(path)[0].num_errors == 0


def test_what_cannot_be_guessed_is_said(table_folder: Path) -> None:
    good = [table_folder / "a.csv"]
    (table_folder / "c.csv").write_text("x,y\n1,\n1,\n")
    with pytest.raises(DataError, match=r"c\.csv: no column can be the ids"):
        draft_pair(good, [table_folder / "c.csv"])
    with pytest.raises(DataError, match=r"c\.csv: no column holds ids of the source"):
        draft_pair(good, [table_folder / "b.csv"], table_folder / "c.csv")
    (table_folder / "c.csv").write_text("s,t\nA1,\nA2,B1.0\n")
    with pytest.raises(
        DataError, match=r"of the target; nearest are the cell 'B1.0' and the id 'B1'"
    ):
        draft_pair(good, [table_folder / "b.csv"], table_folder / "c.csv")
    (table_folder / "c.csv").write_text("id,y\n")
    with pytest.raises(DataError, match=r"c\.csv: holds no row"):
        draft_pair(good, [table_folder / "c.csv"])
    with pytest.raises(DataError, match=r"c\.csv: holds no row"):
        draft_pair(good, [table_folder / "b.csv"], table_folder / "c.csv")
    for name in ("d.xlsx", "d.csv.gz"):
        (table_folder / name).write_bytes(b"PK\x03\x04")
        message = r"a table needs to end in \.csv, .*\.parquet, RDF in \.ttl, "
        with pytest.raises(DataError, match=message):
            draft_pair([table_folder / name], good)
        with pytest.raises(DataError, match=message):
            draft_pair(good, [table_folder / "b.csv"], table_folder / name)
    with pytest.raises(DataError, match="needs to be all that a side has"):
        draft_pair([*good, table_folder], good)
    with pytest.raises(DataError, match="file is missing"):
        draft_pair(good, [table_folder / "none.csv"])


def test_the_column_next_to_ids_is_named_with_its_lines(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        'kind,number\nx,N1\nx,"N2"\n\ny, N2\ny,\ny,\nx,N3\nx,N3\nx,N4\n'
    )
    with pytest.raises(DataError, match="'number' comes closest: 'N2' in lines 3 and 5, empty in"):
        draft_pair([tmp_path / "a.csv"], [tmp_path / "a.csv"])
    rows = "".join(f"N{i},thing {i}\n" for i in range(30))
    (tmp_path / "a.csv").write_text(f"number,title\n{rows}N1,\n,x\n")
    with pytest.raises(DataError, match="'number' comes closest: 'N1' in lines 3 and 32, empty in"):
        draft_pair([tmp_path / "a.csv"], [tmp_path / "a.csv"])
    pytest.importorskip("pyarrow", reason="needs the extra parquet")
    pd.DataFrame({"n": ["N1", "N2", "N1"]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="'n' comes closest: 'N1' in rows 1 and 3"):
        draft_pair([tmp_path / "a.parquet"], [tmp_path / "a.parquet"])


@pytest.mark.parametrize("header", ["A1,B1", "B2, A1 ", "x,A1,B1"])
def test_links_without_a_header(table_folder: Path, header: str) -> None:
    row = header.replace("1", "2")
    (table_folder / "c.csv").write_text(f"{header}\n{row}\n")
    with pytest.raises(DataError, match=r"c\.csv:1: no header: its first line is a link"):
        draft_pair([table_folder / "a.csv"], [table_folder / "b.csv"], table_folder / "c.csv")


def test_links_without_a_header_between_equal_ids(table_folder: Path) -> None:
    (table_folder / "c.csv").write_text("A1,A1\nA2,A2\n")
    good = [table_folder / "a.csv"]
    with pytest.raises(DataError, match=r"c\.csv:1: no header"):
        draft_pair(good, good, table_folder / "c.csv")
    (table_folder / "c.csv").write_text("A1,theirs\nA1,A1\nA2,A2\n")  # A1 is but one cell
    assert draft_pair(good, good, table_folder / "c.csv").links is not None


def test_broken_rows_are_left_to_the_check(table_folder: Path) -> None:
    with open(table_folder / "a.csv", "a") as file:
        file.writelines(f"A{i},x,,,,,,,,,\n" for i in range(3, 30))
        file.write("A99,too,few\n")
    draft = draft_pair([table_folder / "a.csv"], [table_folder / "b.csv"])
    assert draft.sides[0].files[0].id_column == "sku"
    assert "but 3.3% are empty or there twice" in draft.sides[0].columns[0].why
    path = table_folder / "pair.yaml"
    path.write_text(pair_text(draft, table_folder), encoding="utf-8")
    rules = check_pair(path)[0].rules
    assert (rules["id twice"].count, rules["number of cells"].count) == (1, 1)


def test_one_name_and_one_picture(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "id,photo,back,title,label,subtitle\n1,a.png,b.png,x,y,z\n2,c.png,d.png,v,w,u\n"
    )
    columns = draft_pair([tmp_path / "a.csv"], [tmp_path / "a.csv"]).sides[0].columns
    roles = [guess.spec.role for guess in columns]
    assert roles == ["id", "image", "ignore", "name", "text", "attribute"]
    (tmp_path / "b.csv").write_text(
        "id,short,long\n1,a big mug here,a big mug of clay here\n2,a small cup,a small tea cup\n"
    )
    columns = draft_pair([tmp_path / "b.csv"], [tmp_path / "b.csv"]).sides[0].columns
    assert [guess.spec.role for guess in columns] == ["id", "name", "text"]


def test_pictures_of_rdf(tmp_path: Path) -> None:
    pytest.importorskip("rdflib", reason="needs the extra rdf")
    head = "@prefix x: <http://x.org/> .\n"
    literals = "".join(f'x:a{i} x:photo "p/{i}.png" ; x:scan "s/{i}.png" .\n' for i in range(4))
    links = "".join(
        f"<http://y.org/{i}> x:shows <q/{i}.jpg> , <http://y.org/{i}0> ; "
        f"x:web <http://web.org/{i}.jpg> .\n"
        for i in range(4)
    )
    (tmp_path / "a.ttl").write_text(head + literals)
    (tmp_path / "b.ttl").write_text(head + links.replace(" , <", " ; x:like <"))
    draft = draft_pair([tmp_path / "a.ttl"], [tmp_path / "b.ttl"])
    path = tmp_path / "pair.yaml"
    path.write_text(pair_text(draft, tmp_path), encoding="utf-8")
    pair = read_pair_file(path, Findings(strict=True))
    assert pair is not None
    assert pair.source.image_predicate == "http://x.org/photo"
    assert {name: spec.role for name, spec in pair.source.columns.items()} == {
        "http://x.org/scan": "attribute"
    }
    assert pair.target.image_predicate == "http://x.org/shows"
    findings, content = check_pair(path, images=False)
    assert findings.num_errors == 0
    assert content is not None
    for side in content.sides:
        assert side.num_images == 4


def test_the_language_of_labels_of_rdf(tmp_path: Path) -> None:
    pytest.importorskip("rdflib", reason="needs the extra rdf")
    label = "<http://www.w3.org/2000/01/rdf-schema#label>"
    for side, languages in (("a", ("de", "en")), ("b", ("fr", "en"))):
        lines = [f'<http://{side}.org> {label} "x {tag}"@{tag} .' for tag in languages]
        (tmp_path / f"{side}.nt").write_text("\n".join(lines))
    path = tmp_path / "pair.yaml"
    path.write_text("source: {rdf: a.nt}\ntarget: {rdf: b.nt, language: it}\n")
    findings, _ = check_pair(path)
    assert [str(each).partition(": ")[2] for each in findings.rules["language"].examples] == [
        "labels are in several languages, of which 'language' takes one: de (1), en (1)",
        "no label is in 'it', the 'language' to take (there are: en (1), fr (1))",
    ]
    path.write_text(pair_text(draft_pair([tmp_path / "a.nt"], [tmp_path / "b.nt"]), tmp_path))
    findings, content = check_pair(path)
    assert "language" not in findings.rules
    assert content is not None
    assert [side.graph.name for side in content.sides] == [["x en"], ["x en"]]


def test_datatypes_and_units_of_rdf(tmp_path: Path) -> None:
    pytest.importorskip("rdflib", reason="needs the extra rdf")
    year = "<http://www.w3.org/2001/XMLSchema#gYear>"
    for side, made, other in (("a", "madeIn", "heightCm"), ("b", "year", "heightMm")):
        base = f"http://{side}.org"
        lines = [
            f'<{base}/{i}> <{base}/{made}> "{1500 + i}"^^{year} ; <{base}/{other}> {i + 0.5} ; '
            f"<{base}/height> {i + 0.25} ."
            for i in range(9)
        ]
        (tmp_path / f"{side}.ttl").write_text("\n".join(lines))
    source, target = draft_pair([tmp_path / "a.ttl"], [tmp_path / "b.ttl"]).sides
    assert {guess.label: guess.spec.role for guess in source.columns} == {
        "http://a.org/madeIn": "date",
        "http://a.org/heightCm": "number",
        "http://a.org/height": "number",
    }
    assert {guess.label: guess.spec.name for guess in target.columns} == {
        "http://b.org/year": "http://a.org/madeIn",
        "http://b.org/heightMm": "http://a.org/heightCm",
        "http://b.org/height": "http://a.org/height",
    }
