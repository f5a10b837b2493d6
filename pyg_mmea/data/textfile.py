"""Strict, vectorised reading of tab-separated files."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pyg_mmea.errors import DataError
from pyg_mmea.utils.io import open_ordinary

_TAB, _NEWLINE = ord("\t"), ord("\n")
# More digits could overflow a 64-bit integer.
MAX_DIGITS = 18


def read_bytes(path: Path) -> bytes:
    """The content of a UTF-8 file with plain line feeds, without byte order mark and without line
    feeds at the end.

    Raises:
        DataError: If the file is missing or is not UTF-8.
    """
    try:
        with open_ordinary(path) as file:
            content = file.read()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError("file is missing", path) from error
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", path) from error
    content = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").rstrip(b"\n")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        raise DataError(f"is not valid UTF-8 (byte 0x{byte:02x})", path, line) from error
    return content


def is_id(text: str) -> bool:
    """Tells whether a text is an entity id: ASCII digits, few enough for a 64-bit integer."""
    return text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS


def _tabs_per_line(content: bytes) -> np.ndarray:
    buffer = np.frombuffer(content, dtype=np.uint8)
    tabs = np.flatnonzero(buffer == _TAB)
    ends = np.append(np.flatnonzero(buffer == _NEWLINE), len(buffer))
    return np.diff(np.searchsorted(tabs, ends), prepend=0)


def _check_columns(path: Path, tabs: np.ndarray, num_columns: int) -> None:
    wrong = np.flatnonzero(tabs != num_columns - 1)
    if wrong.size > 0:
        line = int(wrong[0])
        rule = f"needs {num_columns} tab-separated columns (got {tabs[line] + 1})"
        raise DataError(rule, path, line + 1)


def read_ids(path: Path, num_columns: int) -> np.ndarray:
    """Reads a table of non-negative integers :math:`(rows, columns)`.

    Raises:
        DataError: If the file is missing, not UTF-8, a line has another number of columns, or a
            field is no such integer.
    """
    content = read_bytes(path)
    if not content:
        return np.empty((0, num_columns), dtype=np.int64)
    tabs = _tabs_per_line(content)
    _check_columns(path, tabs, num_columns)

    buffer = np.frombuffer(content, dtype=np.uint8)
    is_separator = (buffer == _TAB) | (buffer == _NEWLINE)
    bad = ~is_separator & ~((buffer >= ord("0")) & (buffer <= ord("9")))
    bounds = np.concatenate([[-1], np.flatnonzero(is_separator), [len(buffer)]])
    length = np.diff(bounds) - 1
    wrong = (length == 0) | (length > MAX_DIGITS)
    first = np.flatnonzero(bad)[:1]
    wrong[np.searchsorted(bounds, first) - 1] = True
    if wrong.any():
        field = int(np.argmax(wrong))
        text = content[bounds[field] + 1 : bounds[field + 1]].decode("utf-8")
        rule = f"'{text}' is no id; ids are integers from 0"
        raise DataError(rule, path, field // num_columns + 1)
    return np.fromstring(content.decode("ascii"), dtype=np.int64, sep=" ").reshape(-1, num_columns)


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        DataError: If the file is missing, not UTF-8 or no JSON.
    """
    content = read_bytes(path)
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        raise DataError(f"is no JSON ({error.msg})", path, error.lineno) from error
    except (ValueError, RecursionError) as error:  # huge numbers, deep nesting
        raise DataError(f"is no JSON ({error})", path) from error


@dataclass
class TextRows:
    """Fields of a tab-separated file, row after row in one flat list.

    Args:
        fields (list[str]): All fields.
        offset (ndarray): Where each row starts in it, and where the last one ends.
    """

    fields: list[str]
    offset: np.ndarray

    @property
    def num_rows(self) -> int:
        return len(self.offset) - 1


def read_rows(path: Path, num_columns: int | None = None) -> TextRows:
    """Reads a table of texts, whose rows may differ in length without :obj:`num_columns`.

    Raises:
        DataError: If the file is missing, not UTF-8, or a line has another number of columns.
    """
    content = read_bytes(path)
    if not content:
        return TextRows([], np.zeros(1, dtype=np.int64))
    tabs = _tabs_per_line(content)
    if num_columns is not None:
        _check_columns(path, tabs, num_columns)
    # Only line feeds end a line: literals may hold the other separators of Unicode.
    fields = content.decode("utf-8").replace("\n", "\t").split("\t")
    return TextRows(fields, np.concatenate([[0], np.cumsum(tabs + 1)]))


def read_numbered(path: Path) -> tuple[np.ndarray, list[str]]:
    """Reads :obj:`id<TAB>text` lines.

    Raises:
        DataError: If the file is missing, not UTF-8, a line has not two columns, or an id is no
            integer or there twice, or a text is empty.
    """
    fields = read_rows(path, 2).fields
    numbers, texts = fields[0::2], fields[1::2]
    fine = all(map(str.isdigit, numbers)) and all(map(str.isascii, numbers)) and all(texts)
    if not fine or max(map(len, numbers), default=0) > MAX_DIGITS:
        _refuse_numbered(path, numbers, texts)
    ids = np.fromiter(map(int, numbers), dtype=np.int64, count=len(numbers))
    twice = first_repeat(ids)
    if twice is not None:
        raise DataError(f"id {ids[twice]} is there twice", path, twice + 1)
    return ids, texts


def _refuse_numbered(path: Path, numbers: list[str], texts: list[str]) -> None:
    """Raises for the first line that is broken; only then is each line looked at by itself."""
    for line, (number, text) in enumerate(zip(numbers, texts, strict=True), start=1):
        if not is_id(number):
            raise DataError(f"'{number}' is no id; ids are integers from 0", path, line)
        if not text:
            raise DataError(f"the URI of id {number} is empty", path, line)


def first_repeat(values: np.ndarray | pd.Index | list[str]) -> int | None:
    """Position of the first value that was there before."""
    repeated = pd.Index(values, dtype=object if isinstance(values, list) else None).duplicated()
    return int(np.argmax(repeated)) if repeated.any() else None
