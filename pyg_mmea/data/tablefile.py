"""CSV, TSV and Parquet files as columns of texts, with the line each row starts in."""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from charset_normalizer import from_bytes

from pyg_mmea.data.findings import Findings
from pyg_mmea.errors import DataError
from pyg_mmea.utils.io import open_ordinary

TEXT_SUFFIXES = (".csv", ".tsv", ".tab", ".txt")
SUFFIXES = (*TEXT_SUFFIXES, ".parquet")
# What joins the items of a list in a Parquet file.
LIST_SEPARATOR = "|"
_DELIMITERS = (",", ";", "\t", "|")
_SAMPLE = 1 << 18
# What tables that are no Unicode are in, as spreadsheets write them; others can be named.
_ENCODINGS = ["cp1252", "cp1250", "cp1251", "gb18030", "big5", "cp932", "euc_jp", "cp949"]
_EVIDENCE = 8  # different bytes outside of ASCII; a few signs could be anything
# Cells of a Parquet file; a column that says the same in each row takes next to nothing.
_CELLS_PER_BYTE, _FREE_CELLS = 100, 10_000_000
_MAX_LETTERS = 2**31 - 1  # in a cell; some hold whole pages


@dataclass
class TableFile:
    """A table of texts; an empty text is a missing value.

    Args:
        path (Path): Where it comes from.
        columns (dict[str, list[str]]): Columns by name, in the order of the file.
        line (ndarray, optional): Line in which each row starts, from 1. :obj:`None` for Parquet,
            which has none.
    """

    path: Path
    columns: dict[str, list[str]]
    line: np.ndarray | None

    @property
    def num_rows(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def place(self, row: int) -> int:
        """Line of a row; rows of Parquet files are counted from 1."""
        return row + 1 if self.line is None else int(self.line[row])


def read_table(
    path: Path,
    findings: Findings,
    delimiter: str | None = None,
    encoding: str = "utf-8",
) -> TableFile | None:
    """Reads a table.

    Texts stay as they stand in the file ("NA" and "007" may be ids), except for white space around
    the names of columns. A column without a name is :obj:`column_<position>`.

    Args:
        path (Path): Ends in .csv, .tsv, .tab, .txt or .parquet.
        findings (Findings): Takes what is wrong. Rows that cannot be read are left out.
        delimiter (str, optional): Character between cells. By default a tab in .tsv and .tab files
            and a comma in others. (default: :obj:`None`)
        encoding (str): How letters are written. (default: :obj:`"utf-8"`)

    Returns:
        TableFile: The table, or :obj:`None` where nothing can be read.

    Raises:
        DataError: If something is wrong and :obj:`findings` are strict.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _read_parquet(path, findings)
    if suffix not in TEXT_SUFFIXES:
        findings.error("file type", f"a table needs to end in {', '.join(SUFFIXES)}", path)
        return None
    text = _decode(path, encoding, findings)
    if text is None:
        return None
    tab = suffix in (".tsv", ".tab")
    return _parse(path, text, delimiter or ("\t" if tab else ","), findings)


def read_content(path: Path, findings: Findings) -> bytes | None:
    """The bytes of a file, or :obj:`None` where there are none to be had."""
    try:
        with open_ordinary(path) as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        findings.error("file missing", "file is missing", path)
    except OSError as error:
        findings.error("file unreadable", f"cannot be read ({error.strerror})", path)
    return None


def _decode(path: Path, encoding: str, findings: Findings) -> str | None:
    content = read_content(path, findings)
    if content is None:
        return None
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except LookupError:
        findings.error("encoding", f"there is no encoding '{encoding}'", path)
        return None
    except UnicodeError as error:
        start = error.start if isinstance(error, UnicodeDecodeError) else 0
        first = content.count(b"\n", 0, start) + 1
        for line in [first] if findings.strict else _broken_lines(content, encoding) or [first]:
            text = f"is not valid {encoding.upper()}; 'encoding' says what it is, such as cp1252"
            findings.error("encoding", text, path, line)
        return content.decode(encoding, errors="replace").removeprefix("\ufeff")


def _broken_lines(content: bytes, encoding: str) -> list[int]:
    """Lines that are not in the encoding; it only works if a line feed is one byte of its own."""
    broken: list[int] = []
    if "\n".encode(encoding) != b"\n":
        return broken
    for number, line in enumerate(content.split(b"\n"), start=1):
        try:
            line.decode(encoding)
        except UnicodeError:
            broken.append(number)
    return broken


@contextmanager
def _large_cells() -> Iterator[None]:
    """Lets cells be of any size; the limit is that of the whole process."""
    limit = csv.field_size_limit(_MAX_LETTERS)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _parse(path: Path, text: str, delimiter: str, findings: Findings) -> TableFile | None:
    if not text.strip():
        findings.error("empty file", "is empty", path)
        return None
    rows: list[list[str]] = []
    lines: list[int] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] = []
    start = 1
    try:
        with _large_cells():
            for row in reader:
                if not header:
                    header = _header(path, row, start, findings)
                elif len(row) == len(header):
                    rows.append(row)
                    lines.append(start)
                elif row:  # an empty line is no row
                    rule = f"needs {len(header)} cells like the header (got {len(row)})"
                    findings.error("number of cells", rule, path, start)
                start = reader.line_num + 1
    except csv.Error as error:
        findings.error("quotes", f"is no CSV from here on ({error})", path, start)
    cells = zip(*rows, strict=True) if rows else ([] for _ in header)
    columns = {name: list(column) for name, column in zip(header, cells, strict=True)}
    return TableFile(path, columns, np.array(lines, dtype=np.int64))


def _header(path: Path, row: list[str], line: int, findings: Findings) -> list[str]:
    names = [cell.strip() or f"column_{i}" for i, cell in enumerate(row, start=1)]
    for i, name in enumerate(names):
        if name in names[:i]:
            findings.error("column twice", f"column '{name}' is there twice", path, line)
            names[i] = f"{name}_{i + 1}"
    return names


def _read_parquet(path: Path, findings: Findings) -> TableFile | None:
    if not path.is_file():
        findings.error("file missing", "file is missing", path)
        return None
    try:
        _check_parquet(path)
        frame = pd.read_parquet(path)
    except ImportError as error:
        raise ImportError(
            "Reading Parquet files needs pip install '.[parquet]' from a clone"
        ) from error
    except (OSError, ValueError, LookupError, RuntimeError, MemoryError) as error:
        text = str(error) or type(error).__name__
        findings.error("no Parquet", f"is no Parquet table ({text})", path)
        return None
    if any(name is not None for name in frame.index.names):  # pandas keeps an index of ids apart
        frame = frame.reset_index()
    return TableFile(path, frame_columns(frame), None)


def _check_parquet(path: Path) -> None:
    """Refuses tables that are small as files and endless in memory, by repetition."""
    import pyarrow.parquet

    file = pyarrow.parquet.read_metadata(path)
    cells = file.num_rows * file.num_columns
    if cells > _CELLS_PER_BYTE * path.stat().st_size + _FREE_CELLS:
        raise ValueError(f"{cells:,} cells in so small a file")


def frame_columns(frame: pd.DataFrame) -> dict[str, list[str]]:
    """The columns of a data frame as texts.

    Whole numbers have no decimal point, not even in columns with missing values, where pandas
    makes floats of them.
    """
    return {str(name): [_text(value) for value in frame[name].tolist()] for name in frame.columns}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple, np.ndarray)):
        return LIST_SEPARATOR.join(map(_text, value))
    if value is None or pd.isna(value):
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def sniff(path: Path) -> tuple[str, str]:
    """Guesses the encoding of a text table, and its delimiter from the first 256 KiB.

    Raises:
        DataError: If the file is missing or empty.
    """
    try:
        with open_ordinary(path) as file:
            content = file.read()
    except FileNotFoundError as error:
        raise DataError("file is missing", path) from error
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", path) from error
    if not content:
        raise DataError("is empty", path)
    encoding = _sniff_encoding(content)
    sample = content[:_SAMPLE].decode(encoding, errors="ignore").removeprefix("\ufeff")
    if path.suffix.lower() in (".tsv", ".tab"):
        return encoding, "\t"
    return encoding, max(_DELIMITERS, key=lambda delimiter: _regularity(sample, delimiter))


def _sniff_encoding(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if _decodes(content, "utf-8"):
        return "utf-8"
    foreign = b"\n".join(line for line in content.splitlines() if not line.isascii())
    likely: list[str] = []
    if sum(byte > 127 for byte in set(foreign[:_SAMPLE])) >= _EVIDENCE:
        matches = from_bytes(foreign[:_SAMPLE], cp_isolation=_ENCODINGS)
        likely = [match.encoding for match in matches]
    # Texts of western Europe pass for those of central Europe, not the other way round.
    likely.sort(key=lambda encoding: encoding != "cp1252")
    return next(name for name in (*likely, "cp1252", "latin-1") if _decodes(content, name))


def _decodes(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _regularity(sample: str, delimiter: str) -> tuple[float, int]:
    """Share of the first rows that have as many cells as the header, and how many these are."""
    reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
    sizes: list[int] = []
    try:
        with _large_cells():
            sizes += [len(row) for row in islice(reader, 100) if row]
    except csv.Error:
        return 0.0, 0
    if not sizes or sizes[0] < 2:
        return 0.0, 0
    return sum(size == sizes[0] for size in sizes) / len(sizes), sizes[0]
