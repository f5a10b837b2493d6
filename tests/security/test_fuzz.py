"""Readers on made-up input: they read it or raise a :class:`DataError`, and do nothing else.

``pytest tests/security --hypothesis-profile=long`` tries many times as much.
"""

import csv
import io
import json
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pyg_mmea.data import load_features, read_folder
from pyg_mmea.data.findings import Findings
from pyg_mmea.data.pairfile import read_pair_file
from pyg_mmea.data.pickle_scan import scan_pickle
from pyg_mmea.data.tablefile import read_table, sniff
from pyg_mmea.data.textfile import read_ids, read_json, read_numbered, read_rows
from pyg_mmea.data.unpickle import load_pickle
from pyg_mmea.data.values import parse_dates, parse_numbers
from pyg_mmea.errors import DataError
from pyg_mmea.printable import printable
from pyg_mmea.utils import write_alignment

# Texts that look like what the readers want, and what breaks careless ones.
PIECES = [b"0", b"7", b"12", b"-1", b"\t", b"\n", b"\r\n", b"\r", b",", b";", b'"', b"\x00"]
PIECES += [
    b"http://a/b",
    "é".encode(),
    b"\xff",
    b"\xef\xbb\xbf",
    "\u2028".encode(),
    b" ",
    b"{",
    b"[",
]
bytes_like_tables = st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=3))).map(
    b"".join
)


def _one_line(error: Exception) -> None:
    assert str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize("read", [read_ids, read_numbered, read_rows, read_json])
@given(content=bytes_like_tables)
@example(content=b"\xef\xbb\xbf\n\n")
def test_text_files(read: Any, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    try:
        read(path, 2) if read is read_ids else read(path)
    except DataError as error:
        _one_line(error)


FILES = ("ent_ids_1", "ent_ids_2", "rel_ids_1", "triples_1", "ill_ent_ids", "attr_triples_1")


@given(name=st.sampled_from((*FILES, "names_1.json")), content=bytes_like_tables)
def test_folders(name: str, content: bytes, eva_folder: Path) -> None:
    path = eva_folder / name
    before = path.read_bytes() if path.exists() else None
    path.write_bytes(content)
    try:
        pair = read_folder(eva_folder)
        assert pair.links.max() < max(pair.source.num_entities, pair.target.num_entities)
    except DataError as error:
        _one_line(error)
    finally:
        path.unlink() if before is None else path.write_bytes(before)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt"])
@given(content=bytes_like_tables)
def test_tables(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    findings = Findings()
    table = read_table(path, findings)
    if table is not None:
        assert {len(column) for column in table.columns.values()} <= {table.num_rows}
        assert all(table.place(row) >= 1 for row in range(table.num_rows))
    else:
        assert findings.num_errors
    if content:
        encoding, delimiter = sniff(path)
        assert content.decode(encoding, errors="replace") is not None
        assert len(delimiter) == 1


@given(
    rows=st.lists(st.tuples(st.text(), st.text()), max_size=5),
    line_end=st.sampled_from(["\n", "\r\n"]),
)
def test_tables_come_back(rows: list[tuple[str, str]], line_end: str, tmp_path: Path) -> None:
    """What a writer of CSV wrote is read as it was, whatever the cells hold."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerows([("a", "b"), *rows])
    path = tmp_path / "a.csv"
    path.write_bytes(text.getvalue().encode("utf-8", "replace"))
    table = read_table(path, Findings(strict=True))
    assert table is not None
    wanted = [tuple(cell.encode("utf-8", "replace").decode() for cell in row) for row in rows]
    assert list(zip(table.columns["a"], table.columns["b"], strict=True)) == wanted


YAML = ["source", "target", "tables", "columns", "file", "id", "role", "links", "a.csv", "{", "}"]
YAML += [
    "[",
    "]",
    ":",
    ": ",
    "- ",
    "\n",
    "  ",
    "&a",
    "*a",
    "!!int",
    "!!python/name:os.system",
    "'",
    "|",
]


@given(text=st.lists(st.one_of(st.sampled_from(YAML), st.text(max_size=2))).map("".join))
@example(text="source: {}\ntarget: {}\n")
@example(text="source: &a [*a]\ntarget: *a\n")
def test_pair_files(text: str, tmp_path: Path) -> None:
    path = tmp_path / "pair.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    findings = Findings()
    pair = read_pair_file(path, findings)
    assert (pair is None) == (findings.num_errors > 0)


@given(cells=st.lists(st.one_of(st.text(), st.from_regex(r"[-+]?\d{1,40}[.,]?\d*(e\d+)? ?k?g?"))))
def test_numbers_and_dates(cells: list[str]) -> None:
    for parsed in (parse_numbers(cells), parse_numbers(cells, decimal=","), parse_dates(cells)):
        assert len(parsed.value) == len(cells)
        assert not np.isinf(parsed.value).any()


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(value=plain, protocol=st.integers(0, 5))
def test_pickles_come_back(value: Any, protocol: int) -> None:
    assert load_pickle(io.BytesIO(pickle.dumps(value, protocol))) == value


SEED = {0: np.arange(3, dtype=np.float32), "a": [1.0, 2], b"b": (3, "x"), 2**70: np.float64(1)}
OPCODES = [opcode.code.encode("latin-1") for opcode in pickletools.opcodes]


@given(
    protocol=st.integers(0, 5),
    changes=st.lists(st.tuples(st.integers(0, 400), st.sampled_from(OPCODES) | st.binary())),
)
def test_changed_pickles(
    protocol: int, changes: list[tuple[int, bytes]], misdeeds: list[str]
) -> None:
    content = pickle.dumps(SEED, protocol)
    for place, piece in changes:
        content = content[:place] + piece + content[place + len(piece) // 2 :]
    try:
        load_pickle(io.BytesIO(content))
    except pickle.UnpicklingError as error:
        _one_line(error)
    assert misdeeds == []


@given(codes=st.lists(st.sampled_from(OPCODES) | st.sampled_from([b"\x00", b"0\n", b"q\x00"])))
def test_made_up_pickles(codes: list[bytes], misdeeds: list[str]) -> None:
    try:
        load_pickle(io.BytesIO(b"\x80\x04" + b"".join(codes) + b"."))
    except pickle.UnpicklingError as error:
        _one_line(error)
    assert misdeeds == []


@given(value=st.recursive(st.just(()), lambda inner: st.tuples(inner, inner), max_leaves=60))
def test_scan_knows_the_size_of_a_tuple(value: tuple) -> None:
    """Ordinary tuples pass; the bound counts what is shared as often as it is reached."""
    scan_pickle(io.BytesIO(pickle.dumps(value, 2)))
    for _ in range(25):
        value = (value, value)
    with pytest.raises(pickle.UnpicklingError, match="too often"):
        scan_pickle(io.BytesIO(pickle.dumps(value, 2)))


@pytest.mark.parametrize("suffix", [".pkl", ".npz", ".npy", ".h5"])
@given(changes=st.lists(st.tuples(st.integers(0, 4000), st.binary(max_size=3)), min_size=1))
def test_changed_features(
    suffix: str, changes: list[tuple[int, bytes]], misdeeds: list[str], tmp_path: Path
) -> None:
    path = tmp_path / f"x{suffix}"
    x = np.arange(8, dtype=np.float32).reshape(4, 2)
    if suffix == ".pkl":
        path.write_bytes(pickle.dumps(dict(enumerate(x)), 2))
    elif suffix == ".npz":
        np.savez_compressed(path, ids=np.arange(4), x=x)
    elif suffix == ".npy":
        np.save(path, x)
    else:
        h5py = pytest.importorskip("h5py", reason="needs the extra h5")
        with h5py.File(path, "w") as file:
            file.update({str(i): row for i, row in enumerate(x)})
    content = bytearray(path.read_bytes())
    for place, piece in changes:
        place %= len(content)
        content[place : place + len(piece)] = piece
    path.write_bytes(content)
    try:
        assert np.isfinite(load_features(path).x).all()
    except DataError as error:
        _one_line(error)
    assert misdeeds == []


@given(text=st.text(st.characters(codec=None)))
def test_printable_has_shape(text: str) -> None:
    assert all(
        letter.isprintable() or letter.isspace() or ord(letter) > 127 for letter in printable(text)
    )
    printable(text).encode("utf-8")


@given(uris=st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=1, max_size=4))
def test_no_cell_of_a_csv_file_is_a_formula(uris: list[str], tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"source": uris, "target": uris[::-1], "confidence": 0.5, "rank_margin": 0.1}
    )
    write_alignment(tmp_path / "a.csv", table)
    with open(tmp_path / "a.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    assert [row[0].removeprefix("'") if row[0][:1] == "'" else row[0] for row in rows] == uris
    assert not any(cell[:1] in "=+-@\t\r" for row in rows for cell in row[:2])
    json.dumps(rows)
