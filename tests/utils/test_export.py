import csv

import pandas as pd
import pytest

from pyg_mmea.utils import write_alignment
from pyg_mmea.utils.export import OWL_SAME_AS, is_alignment


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "extra": ["b", "a", "c"],
            "target": ["http://b.org/Beijing", "http://b.org/x y\\z", "http://b.org/a#b"],
            "source": ["http://a.org/北京", 'http://a.org/"q",{1}', "http://a.org/AC/DC"],
            "confidence": [0.5, 0.9, 0.5],
            "rank_margin": [0.1, 0.3, 0.2],
        }
    )


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_csv(tmp_path, table):
    path = tmp_path / "out.csv"
    write_alignment(path, table)
    rows = read(path)
    assert rows[0] == ["source", "target", "confidence", "rank_margin", "extra"]
    assert [row[4] for row in rows[1:]] == ["a", "c", "b"]  # best first, then the margin
    assert rows[1][:3] == ['http://a.org/"q",{1}', "http://b.org/x y\\z", "0.9"]
    assert rows[3][0] == "http://a.org/北京"
    assert b"\r" not in path.read_bytes()
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.csv"]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'s-Gravenhage"])
def test_csv_formulas_are_guarded_and_come_back(tmp_path, table, text):
    table["source"] = text
    table["confidence"] = [0.1, 0.2, 0.3]
    table["rank_margin"] = [-0.1, -0.2, -0.3]
    path = tmp_path / "out.csv"
    write_alignment(path, table)
    for row in read(path)[1:]:
        assert row[0] == f"'{text}"
        assert row[0].removeprefix("'") == text
        assert float(row[3]) < 0  # numbers stay numbers


def test_csv_of_missing_and_broken_cells(tmp_path, table):
    table["extra"] = [None, "two\nlines", "return\rhere"]
    write_alignment(tmp_path / "out.csv", table)
    assert [row[4] for row in read(tmp_path / "out.csv")] == [
        "extra",
        "two\nlines",
        "return\rhere",
        "",
    ]
    out = pd.read_csv(tmp_path / "out.csv")
    assert out["confidence"].tolist() == [0.9, 0.5, 0.5]


def test_empty_table_still_has_a_header(tmp_path, table):
    write_alignment(tmp_path / "out.csv", table.iloc[:0])
    assert read(tmp_path / "out.csv") == [
        ["source", "target", "confidence", "rank_margin", "extra"]
    ]


def test_parquet(tmp_path, table):
    pytest.importorskip("pyarrow")
    table.loc[0, "source"] = "=1+1"
    write_alignment(tmp_path / "out.parquet", table)
    out = pd.read_parquet(tmp_path / "out.parquet")
    assert list(out.columns) == ["source", "target", "confidence", "rank_margin", "extra"]
    assert out["extra"].tolist() == ["a", "c", "b"]
    assert out["source"].tolist()[2] == "=1+1"


def test_nt_is_read_back_by_rdflib(tmp_path, table):
    rdflib = pytest.importorskip("rdflib")
    write_alignment(tmp_path / "out.nt", table)
    lines = (tmp_path / "out.nt").read_text(encoding="utf-8").splitlines()
    assert lines[0] == (
        f"<http://a.org/\\u0022q\\u0022,\\u007B1\\u007D> <{OWL_SAME_AS}> "
        "<http://b.org/x\\u0020y\\u005Cz> ."
    )
    graph = rdflib.Graph().parse(tmp_path / "out.nt", format="nt")
    pairs = {(str(s), str(t)) for s, p, t in graph if str(p) == OWL_SAME_AS}
    assert pairs == set(zip(table["source"], table["target"], strict=True))


def test_sssom(tmp_path, table):
    path = tmp_path / "out.sssom.tsv"
    table["extra"] = [None, "a", "p|q="]
    write_alignment(path, table)
    lines = path.read_text(encoding="utf-8").splitlines()
    header = [line[1:] for line in lines if line.startswith("#")]
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    assert header[0].startswith("mapping_set_id: https://w3id.org/sssom/mappings/")
    assert "license: https://w3id.org/sssom/license/unspecified" in header
    start = header.index("curie_map:") + 1
    prefixes = dict(line.strip().split(": ", 1) for line in header[start:])
    assert rows[0] == [
        "subject_id",
        "predicate_id",
        "object_id",
        "mapping_justification",
        "confidence",
        "other",
    ]
    expanded = []
    for row in rows[1:]:
        assert "".join(row).isascii()
        uris = []
        for curie in (row[0], row[2]):
            prefix, local = curie.split(":", 1)
            assert local[0].isalnum()  # sssom-py does not see a CURIE otherwise
            uris.append(prefixes[prefix].strip('"') + local)
        expanded.append(tuple(uris))
        assert row[1] == "owl:sameAs"
        assert row[3] == "semapv:SemanticSimilarityThresholdMatching"
    assert expanded == [
        ("http://a.org/%22q%22,%7B1%7D", "http://b.org/x%20y%5Cz"),
        ("http://a.org/AC/DC", "http://b.org/a#b"),
        ("http://a.org/%E5%8C%97%E4%BA%AC", "http://b.org/Beijing"),
    ]
    assert [float(row[4]) for row in rows[1:]] == [0.9, 0.5, 0.5]
    assert [row[5] for row in rows[1:]] == [
        "rank_margin=0.3|extra=a",
        "rank_margin=0.2|extra=p%7Cq%3D",
        "rank_margin=0.1",
    ]
    table["more|than"] = [["a", 1], [], None]
    write_alignment(path, table)
    cells = [line.split("\t")[5] for line in path.read_text(encoding="utf-8").splitlines()[-3:]]
    assert cells[0].endswith("|extra=a|more%7Cthan=%5B%5D")
    assert "more" not in cells[1]
    assert cells[2].endswith("|more%7Cthan=%5B%27a%27%2C 1%5D")
    assert prefixes["owl"] == "http://www.w3.org/2002/07/owl#"
    assert prefixes["semapv"] == "https://w3id.org/semapv/vocab/"


def test_sssom_passes_the_checks_of_its_own_tools(tmp_path, table):
    pytest.importorskip("sssom", reason="checks SSSOM files with the package sssom")
    from sssom.constants import DEFAULT_VALIDATION_TYPES
    from sssom.parsers import parse_sssom_table
    from sssom.validators import validate

    path = tmp_path / "out.sssom.tsv"
    write_alignment(path, table)
    mappings = parse_sssom_table(path)
    assert len(mappings.df) == len(table)  # the parser drops rows it cannot take
    reports = validate(mappings, DEFAULT_VALIDATION_TYPES, fail_on_error=False)
    assert len(reports) == len(DEFAULT_VALIDATION_TYPES)
    assert [report.results for report in reports.values()] == [[]] * len(reports)


def test_sssom_is_the_same_twice_and_differs_with_content(tmp_path, table):
    paths = [tmp_path / f"{i}.sssom.tsv" for i in range(3)]
    write_alignment(paths[0], table)
    write_alignment(paths[1], table)
    write_alignment(paths[2], table.iloc[:2])
    first, second, third = (path.read_text().splitlines()[0] for path in paths)
    assert first == second != third


@pytest.mark.parametrize("suffix", [".nt", ".sssom.tsv"])
def test_bare_names_need_a_base(tmp_path, table, suffix):
    table["target"] = ["Marco_Reich", "A", "B"]
    path = tmp_path / f"out{suffix}"
    with pytest.raises(ValueError, match="'A' has no scheme"):
        write_alignment(path, table)
    assert not path.exists()
    write_alignment(path, table, base="http://yago.example/")
    assert "http://yago.example/" in path.read_text()


def test_bad_input_writes_nothing(tmp_path, table):
    with pytest.raises(ValueError, match="'path' needs to end in"):
        write_alignment(tmp_path / "out.txt", table)
    with pytest.raises(ValueError, match="missing: \\['confidence'\\]"):
        write_alignment(tmp_path / "out.csv", table.drop(columns="confidence"))
    for value in (1.5, float("nan")):
        table.loc[0, "confidence"] = value
        with pytest.raises(ValueError, match="'confidence' needs to be in"):
            write_alignment(tmp_path / "out.csv", table)
    assert list(tmp_path.iterdir()) == []


def test_parquet_without_pyarrow(tmp_path, table, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install '\.\[parquet\]'"):
        write_alignment(tmp_path / "out.parquet", table)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".nt", ".sssom.tsv"])
def test_alignments_are_told_from_other_files(tmp_path, suffix):
    pytest.importorskip("pyarrow")
    path, other = tmp_path / f"links{suffix}", tmp_path / f"other{suffix}"
    table = pd.DataFrame(
        {"source": ["http://a/1"], "target": ["http://b/1"], "confidence": 0.5, "rank_margin": 0.1}
    )
    write_alignment(path, table)
    assert is_alignment(path)
    if suffix == ".parquet":
        table[["source", "target"]].to_parquet(other)
    else:
        other.write_text(f'<http://a/1> <http://a/name> "one" .\n{path.read_text()}')
    assert not is_alignment(other)


def test_triples_state_nothing_that_nobody_has_confirmed(tmp_path, table):
    table["origin"] = ["known", "pivot", "predicted"]
    assert write_alignment(tmp_path / "out.nt", table, base="http://base.org/") == 2
    assert write_alignment(tmp_path / "out.sssom.tsv", table, base="http://base.org/") == 3


@pytest.mark.parametrize("suffix", ["nt", "sssom.tsv"])
def test_blank_nodes_have_no_name_elsewhere(tmp_path, table, suffix):
    table.loc[0, "target"] = "_:0a1b"
    path = tmp_path / f"out.{suffix}"
    assert write_alignment(path, table, base="http://base.org/") == 2
    assert "0a1b" not in path.read_text()
    assert write_alignment(tmp_path / "out.csv", table) == 3
