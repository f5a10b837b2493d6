from pathlib import Path

import pandas as pd
import pytest

from pyg_mmea.data.findings import Findings
from pyg_mmea.data.tablefile import frame_columns, read_table, sniff
from pyg_mmea.errors import DataError


def _file(folder: Path, content: str | bytes, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_texts_stay_as_they_are_and_lines_are_those_of_the_file(tmp_path: Path) -> None:
    content = '\ufeffid , name,\r\n007,"two\r\nlines",x\r\n\r\nNA,"a ""b""",\r\n'
    table = read_table(_file(tmp_path, content), Findings(strict=True))
    assert table is not None
    assert table.columns == {
        "id": ["007", "NA"],
        "name": ["two\r\nlines", 'a "b"'],
        "column_3": ["x", ""],
    }
    assert [table.place(0), table.place(1)] == [2, 5]


def test_every_problem_has_its_line(tmp_path: Path) -> None:
    content = "id,a,a\n1,2,3\n4,5\n6,7,8,9\n10,11,12\n"
    findings = Findings()
    table = read_table(_file(tmp_path, content), findings)
    assert table is not None
    assert table.columns == {"id": ["1", "10"], "a": ["2", "11"], "a_3": ["3", "12"]}
    assert [e.line for e in findings.rules["number of cells"].examples] == [3, 4]
    assert findings.rules["column twice"].count == 1


@pytest.mark.parametrize(
    ("content", "rule", "line"),
    [
        ("", "empty file", None),
        (b"id\na\xe9\nb\nc\xe9\n", "encoding", 2),
        ('id,b\n1,"open\n2,3\n', "quotes", 2),
        ('id,b\n1,"a"b\n', "quotes", 2),
    ],
)
def test_what_cannot_be_read(
    tmp_path: Path, content: str | bytes, rule: str, line: int | None
) -> None:
    path, findings = _file(tmp_path, content), Findings()
    read_table(path, findings)
    assert findings.rules[rule].examples[0].line == line
    with pytest.raises(DataError, match=r"a\.csv"):
        read_table(path, Findings(strict=True))


def test_encodings(tmp_path: Path) -> None:
    path, findings = _file(tmp_path, "id;ü\n1;é\n".encode("cp1252")), Findings()
    read_table(path, findings)
    assert findings.rules["encoding"].count == 2  # both lines
    assert sniff(path) == ("cp1252", ";")
    table = read_table(path, Findings(strict=True), ";", "cp1252")
    assert table is not None
    assert table.columns == {"id": ["1"], "ü": ["é"]}
    with pytest.raises(DataError, match="there is no encoding 'klingon'"):
        read_table(path, Findings(strict=True), ";", "klingon")


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        ("a,b\n1,2\n", "a.csv", ("utf-8", ",")),
        ('a;b\n"1,5";2\n"2,5";3\n', "a.csv", ("utf-8", ";")),
        ("a|b,c\n1|2\n3|4\n", "a.txt", ("utf-8", "|")),
        ("a\tb\n", "a.tsv", ("utf-8", "\t")),
        ("id\n1\n", "a.csv", ("utf-8", ",")),
        ("a;b\né;2\n".encode("utf-16"), "a.csv", ("utf-16", ";")),
        (b"a,b\n\x81,2\n", "a.csv", ("latin-1", ",")),
    ],
)
def test_sniff(tmp_path: Path, content: str | bytes, name: str, expected: tuple[str, str]) -> None:
    path = _file(tmp_path, content, name)
    assert sniff(path) == expected
    table = read_table(path, Findings(strict=True), expected[1], expected[0])
    assert table is not None


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "id,name\n1,Crème brûlée\n2,Größe naïve Straße\n3,señor mañana\n"),
        ("cp1252", "id,price\n" + "".join(f"{i},£0.99\n{i},0.{i} €\n" for i in range(50))),
        ("cp1250", "id,název\n1,červený čajník\n2,příliš žluťoučký kůň úpěl\n"),
        ("cp1251", "id,название\n1,красный чайник\n2,зелёная ваза\n"),
        ("gb18030", "编号,名称\n1,红色陶瓷茶壶\n2,绿色玻璃花瓶\n"),
        ("big5", "編號,名稱\n1,紅色陶瓷茶壺\n2,綠色玻璃花瓶\n"),
        ("cp932", "番号,名前\n1,赤い陶器の急須\n2,緑のガラスの花瓶\n"),
        ("cp949", "번호,이름\n1,빨간 도자기 찻주전자\n2,초록 유리 꽃병\n"),
    ],
)
def test_sniff_guesses_what_a_table_without_unicode_is_in(
    tmp_path: Path, encoding: str, text: str
) -> None:
    path = _file(tmp_path, text.encode(encoding))
    table = read_table(path, Findings(strict=True), ",", sniff(path)[0])
    assert table is not None
    cells = [[*row] for row in zip(*(line.split(",") for line in text.splitlines()), strict=True)]
    assert table.columns == {name: values for name, *values in cells}


def test_large_files_and_cells(tmp_path: Path) -> None:
    page = "x" * 300_000
    path = _file(tmp_path, f"id;b\n1;{page}\n2;é\n".encode("cp1252"))
    assert sniff(path) == ("cp1252", ";")
    table = read_table(path, Findings(strict=True), ";", "cp1252")
    assert table is not None
    assert table.columns["b"] == [page, "é"]


def test_sniff_needs_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="file is missing"):
        sniff(tmp_path / "none.csv")
    with pytest.raises(DataError, match="is empty"):
        sniff(_file(tmp_path, ""))


def test_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs the extra parquet")
    path = tmp_path / "a.parquet"
    pd.DataFrame({"id": [1.0, None, 2.5], "tags": [["a", "b"], None, ["c"]]}).to_parquet(path)
    table = read_table(path, Findings(strict=True))
    assert table is not None
    assert table.columns == {"id": ["1", "", "2.5"], "tags": ["a|b", "", "c"]}
    assert table.place(2) == 3

    frame = pd.DataFrame({"id": ["x", "y"], "n": [1, 2]})
    for indexed in (frame.set_index("id"), frame.set_index(["id", "n"])):
        indexed.to_parquet(path)
        table = read_table(path, Findings(strict=True))
        assert table is not None
        assert table.columns == {"id": ["x", "y"], "n": ["1", "2"]}


def test_other_files_are_refused(tmp_path: Path) -> None:
    for name, rule in (("a.xlsx", "file type"), ("none.csv", "file missing")):
        findings = Findings()
        assert read_table(tmp_path / name, findings) is None
        assert list(findings.rules) == [rule]


def test_frame_columns() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": [None, "x"], "c": [pd.NaT, pd.Timestamp("2024-01-02")]})
    assert frame_columns(frame) == {
        "a": ["1", "2"],
        "b": ["", "x"],
        "c": ["", "2024-01-02 00:00:00"],
    }
