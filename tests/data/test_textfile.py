from pathlib import Path

import numpy as np
import pytest

from pyg_mmea.data.textfile import (
    first_repeat,
    read_ids,
    read_json,
    read_numbered,
    read_rows,
)
from pyg_mmea.errors import DataError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "table"


@pytest.mark.parametrize(
    "content",
    ["1\t20\n3\t4", "1\t20\n3\t4\n", "1\t20\r\n3\t4\r\n", "\ufeff1\t20\n3\t4\n\n"],
)
def test_read_ids(path: Path, content: str) -> None:
    path.write_bytes(content.encode())
    assert read_ids(path, 2).tolist() == [[1, 20], [3, 4]]


def test_read_ids_of_nothing(path: Path) -> None:
    path.touch()
    assert read_ids(path, 3).shape == (0, 3)


@pytest.mark.parametrize(
    ("content", "line", "rule"),
    [
        (b"1\t2\n3\t4x\n5\tz", 2, "'4x' is no id"),
        (b"1\t2\n3\t-4\n", 2, "'-4' is no id"),
        (b"1\t2\n3\t4.0\n", 2, "'4.0' is no id"),
        (b"1\t2\n\t4\n", 2, "'' is no id"),
        (b"1\t2\n3\t\n", 2, "'' is no id"),
        (b"1\t2\n3\t4 \n", 2, "'4 ' is no id"),
        ("1\t2\n3\t٣\n".encode(), 2, "'٣' is no id"),
        (b"1\t2\n3\t" + b"9" * 19, 2, "is no id"),
        (b"1\t2\n3\n", 2, "needs 2 tab-separated columns (got 1)"),
        (b"1\t2\n3\t4\t5\n", 2, "needs 2 tab-separated columns (got 3)"),
        (b"1\t2\n\n3\t4\n", 2, "needs 2 tab-separated columns (got 1)"),
        (b"1 2\n", 1, "needs 2 tab-separated columns (got 1)"),
        (b"1\t2\n3\t\xff\n", 2, "is not valid UTF-8 (byte 0xff)"),
    ],
)
def test_read_ids_names_the_line(path: Path, content: bytes, line: int, rule: str) -> None:
    path.write_bytes(content)
    with pytest.raises(DataError) as info:
        read_ids(path, 2)
    assert info.value.line == line
    assert rule in info.value.rule


def test_read_ids_agrees_with_a_plain_loop(path: Path) -> None:
    table = np.random.default_rng(0).integers(0, 10**6, size=(500, 3))
    path.write_text("\n".join("\t".join(map(str, row)) for row in table.tolist()))
    assert (read_ids(path, 3) == table).all()


def test_read_rows_splits_at_tabs_and_line_feeds_only(path: Path) -> None:
    path.write_bytes('a\u2028b\tc\x0bd\n"e\tf\tg,\n'.encode())
    rows = read_rows(path)
    assert rows.fields == ["a\u2028b", "c\x0bd", '"e', "f", "g,"]
    assert rows.offset.tolist() == [0, 2, 5]
    assert rows.num_rows == 2


def test_read_numbered_refuses_empty_texts(path: Path) -> None:
    path.write_text("0\ta\n1\t\n")
    with pytest.raises(DataError, match=r":2: the URI of id 1 is empty"):
        read_numbered(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="file is missing"):
        read_ids(tmp_path / "none", 2)
    with pytest.raises(DataError, match="cannot be read"):
        read_ids(tmp_path, 2)


@pytest.mark.parametrize("kind", [list, np.array])
def test_first_repeat(kind: type) -> None:
    assert first_repeat(kind(["b", "a", "c", "a", "b"])) == 3
    assert first_repeat(kind(["b", "a", "c"])) is None


@pytest.mark.parametrize(
    ("content", "line"),
    [("{\n1", 2), ("[" * 100_000, None), ("9" * 10_000, None), ("", 1)],
    ids=["syntax", "deep", "huge", "empty"],
)
def test_read_json_of_no_json(path: Path, content: str, line: int | None) -> None:
    path.write_text(content)
    with pytest.raises(DataError, match="is no JSON") as info:
        read_json(path)
    assert info.value.line == line


def test_read_numbered_agrees_with_a_plain_loop(path: Path) -> None:
    numbers = np.random.default_rng(0).permutation(500)
    path.write_text("".join(f"{number:04d}\té {number}\n" for number in numbers.tolist()))
    ids, texts = read_numbered(path)
    assert ids.dtype == np.int64
    assert ids.tolist() == numbers.tolist()
    assert texts == [f"é {number}" for number in numbers.tolist()]


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("x\ta", "'x' is no id"),
        ("\ta", "'' is no id"),
        ("٣\ta", "'٣' is no id"),
        ("²\ta", "'²' is no id"),
        ("9" * 19 + "\ta", "is no id"),
        ("3\t", "the URI of id 3 is empty"),
    ],
)
def test_read_numbered_names_the_first_broken_line(path: Path, line: str, rule: str) -> None:
    path.write_text(f"0\ta\n{line}\ny\t\n")
    with pytest.raises(DataError) as info:
        read_numbered(path)
    assert info.value.line == 2
    assert rule in info.value.rule
