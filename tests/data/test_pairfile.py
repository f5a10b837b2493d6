from pathlib import Path

import pytest

from pyg_mmea.data.findings import Findings
from pyg_mmea.data.pairfile import read_pair_file
from pyg_mmea.errors import DataError

SMALL = """\
source:
  tables:
    - file: a.csv
      columns:
        id: id
        price: {role: number, unit: EUR}
target:
  tables:
    - {file: b.csv, columns: {id: id, price: number}}
links: {file: links.csv}
"""


def _read(folder: Path, text: str) -> Findings:
    path = folder / "pair.yaml"
    path.write_text(text, encoding="utf-8")
    findings = Findings()
    if read_pair_file(path, findings) is None:
        assert findings.num_errors
    return findings


def test_everything(table_folder: Path) -> None:
    pair = read_pair_file(table_folder / "pair.yaml", Findings(strict=True))
    assert pair is not None
    table, brands = pair.source.tables
    assert (table.title, brands.title) == ("a", "brands")
    assert table.having("id") == "sku"
    assert table.columns["parent"].name == "variantOf"
    assert table.columns["weight"].unit == "g"
    assert table.columns["weight"].line == 8
    assert pair.target.triples[0].tail == "o"
    assert pair.target.columns["size"].role == "number"
    assert pair.find("a.csv") == table_folder / "a.csv"


def test_keys_are_texts_whatever_yaml_makes_of_them(tmp_path: Path) -> None:
    text = SMALL.replace("price: {", "no: number\n        2020: text\n        price: {")
    assert _read(tmp_path, text).rules == {}
    pair = read_pair_file(tmp_path / "pair.yaml", Findings(strict=True))
    assert pair is not None
    assert list(pair.source.tables[0].columns) == ["id", "no", "2020", "price"]


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("role: number, unit: EUR", "role: nummer", 6, "needs a role, one of id, name"),
        ("unit: EUR", "units: EUR", 6, r"price\.units' is no known key of a number"),
        ("unit: EUR", "unit: parsnips", 6, r"unknown unit \(got 'parsnips'\)"),
        ("unit: EUR", "decimal: x", 6, r"decimal' needs to be '\.' or ','"),
        ("unit: EUR", "scale: [1]", 6, r"scale' needs to be a text"),
        ("role: number, unit: EUR", "role: date, format: '%Q'", 6, "like %d"),
        ("role: number, unit: EUR", "role: date, format: day", 6, "like %d"),
        ("- {file: b.csv,", "- {file: b.csv, delimiter: tab,", 9, "needs to be one character"),
        ("links: {file", "link: {file", 10, "'link' is no known key"),
        ("links: {file: links.csv}", "links: {file: a, folder: b}", None, "not both"),
        ("file: a.csv", "path: a.csv", 3, r"'source\.tables\[0\]\.path' is no known key"),
        ("file: a.csv", "encoding: utf-8", 3, r"'source\.tables\[0\]\.file' is missing"),
        ("        id: id\n", "", None, "needs one column with the role 'id'"),
        ("        id: id\n", "        id: id\n        id: name\n", 6, "id' is there twice"),
        ("        id: id\n", "        id: id\n        x: name\n        y: name\n", None, "two col"),
        ("price: {role: number, unit: EUR}", "x: {role: reference, to: z}", 6, "name a table"),
        ("price: {role: number, unit: EUR}", "price: text", 9, "'price' is a number here and a t"),
        (
            "  tables:\n    - file",
            "  rdf: a.ttl\n  tables:\n    - file",
            None,
            "needs one of tables",
        ),
        ("target:", "target: [", 9, "is no YAML"),
        ("target:\n", "target: x\nold:\n", 7, "'target' needs keys with values"),
        ("    - {file: b.csv", "    {file: b.csv", 9, "needs to be a list"),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, old: str, new: str, line: int | None, message: str
) -> None:
    assert old in SMALL
    findings = _read(tmp_path, SMALL.replace(old, new, 1))
    first = findings.rules["pair.yaml"].examples[0]
    assert first.line == line
    with pytest.raises(DataError, match=message):
        read_pair_file(tmp_path / "pair.yaml", Findings(strict=True))


def test_all_of_it_is_named(tmp_path: Path) -> None:
    text = SMALL.replace("unit: EUR", "unit: x, y: 1").replace("links", "lines")
    assert _read(tmp_path, text).num_errors == 3


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'pyg-mmea init' writes one"):
        read_pair_file(tmp_path / "none.yaml", Findings(strict=True))
    assert "is empty" in str(_read(tmp_path, "").rules["pair.yaml"].examples[0])
    (tmp_path / "pair.yaml").write_bytes(b"\xff")
    with pytest.raises(DataError, match="cannot be read"):
        read_pair_file(tmp_path / "pair.yaml", Findings(strict=True))
