"""Hostile files through the command line: each gives one line and exit code 2, or is left out and
counted. The tests make them, so that there is none in the repository. ``SECURITY.md`` lists them.
"""

import gzip
import io
import json
import os
import pickle
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from pyg_mmea.cli import main
from pyg_mmea.data import encode_images, from_tables
from pyg_mmea.data.images import read_image
from pyg_mmea.data.rdf import read_rdf
from pyg_mmea.errors import DataError

Build = Callable[[Path], Any]

# Files of image features ------------------------------------------------------------------------


class _Call:
    """A pickle that calls a function when it is loaded."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.function, self.args


def _touch(folder: Path) -> _Call:
    return _Call(os.system, f"touch {folder / 'hacked'}")


def _bytes(name: str, content: bytes) -> Build:
    def build(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return build


def _pickled(make: Callable[[Path], Any], protocol: int = 2) -> Build:
    def build(folder: Path) -> Path:
        (folder / "x.pkl").write_bytes(pickle.dumps(make(folder), protocol))
        return folder / "x.pkl"

    return build


def _object_array(folder: Path) -> Path:
    np.save(folder / "x.npy", np.array([[_touch(folder)]], dtype=object), allow_pickle=True)
    return folder / "x.npy"


def _npy(shape: tuple[int, ...], content: bytes = b"") -> bytes:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


def _npz_bomb(folder: Path) -> Path:
    path, size = folder / "x.npz", 2**29
    # The content of one block again and again, so that the test writes half a gigabyte in no time.
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", _npy((1, 1), bytes(4)))
    info = zipfile.ZipInfo("7.npy")
    info.compress_type, info.file_size = zipfile.ZIP_DEFLATED, size
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(info, packer.compress(bytes(2**16)) + packer.flush())
        archive.infolist()[0].file_size = size  # as the directory of a real bomb says
    return path


def _npz_traversal(folder: Path) -> Path:
    """Its members are vectors of entities that no graph has; nothing is unpacked to disk."""
    with zipfile.ZipFile(folder / "x.npz", "w") as archive:
        archive.writestr("../../hacked.npy", _npy((2,), bytes(8)))
    return folder / "x.npz"


def _h5(change: Callable[[Any, Path], None]) -> Build:
    def build(folder: Path) -> Path:
        h5py = pytest.importorskip("h5py", reason="needs the extra h5")
        (folder / "private").write_bytes(bytes(range(1, 9)))
        with h5py.File(folder / "x.h5", "w") as file:
            change(file, folder)
        return folder / "x.h5"

    return build


def _h5_virtual(file: Any, folder: Path) -> None:
    import h5py

    layout = h5py.VirtualLayout((2,), "f4")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "a", (2,))
    file.create_virtual_dataset("0", layout)


def _h5_link(file: Any, folder: Path) -> None:
    import h5py

    file["0"] = h5py.ExternalLink(str(folder / "other.h5"), "a")


_NESTED = b"\x80\x02}N\x85q\x00" + 60 * b"h\x00h\x00\x86q\x00" + b"Ns."


def _lists(folder: Path) -> dict[int, list[Any]]:
    found: list[Any] = [1.0]
    for _ in range(60):
        found = [found, found]
    return {0: found}


FEATURES: dict[str, tuple[Build, str]] = {
    "pickle that calls a program": (_pickled(lambda d: {0: _touch(d)}), r"system' is not allowed"),
    "pickle that evaluates": (_pickled(lambda d: {0: _Call(eval, "1")}), "eval' is not allowed"),
    "pickle of an object": (_pickled(lambda d: {0: d}, 4), "Path' is not allowed"),
    "pickle with a tuple of 2^60": (_bytes("x.pkl", _NESTED), "nested too deeply or too often"),
    "pickle with a deep tuple": (
        _bytes("x.pkl", b"\x80\x02}N" + 1_000_000 * b"\x85" + b"Ns."),
        "nested too deeply or too often",
    ),
    "pickle with a list of 2^60": (_pickled(_lists), "flat list"),
    "pickle with a huge memo": (_bytes("x.pkl", b"\x80\x02}r\xff\xff\xff\x7f."), "has gaps"),
    "pickle with a huge count": (
        _bytes("x.pkl", b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f."),
        "cannot be read",
    ),
    "pickle cut short": (
        _bytes("x.pkl", pickle.dumps({0: np.zeros(9, np.float32)})[:-20]),
        "cannot be read",
    ),
    "numbers beyond 64 bit": (_pickled(lambda d: {10**30: [1.0]}), "a key needs to be"),
    "features that are infinite": (_pickled(lambda d: {0: [float("inf")]}), "is not finite"),
    "npy of objects": (_object_array, "Python objects"),
    "npy of a huge shape": (_bytes("x.npy", _npy((2**40, 2**10))), "x.npy: "),
    "npz bomb": (_npz_bomb, "would unpack to 536,870,912 bytes"),
    "npz with a huge shape": (
        lambda d: _archive(d / "x.npz", {"0.npy": _npy((2**45,))}),
        "x.npz: ",
    ),
    "npz with paths as names": (_npz_traversal, "no key is an entity of these graphs"),
    "h5 that links to a file": (_h5(_h5_link), "'0' is no array in this file"),
    "h5 with content elsewhere": (
        _h5(
            lambda file, d: file.create_dataset(
                "0", (2,), "f4", external=[(str(d / "private"), 0, 8)]
            )
        ),
        "'0' is no array in this file",
    ),
    "h5 of other files": (_h5(_h5_virtual), "'0' is no array in this file"),
    "h5 bomb": (
        _h5(lambda file, d: file.create_dataset("0", (2**38,), "f4", chunks=(2**16,))),
        "would unpack to",
    ),
    "gzip by another name": (_bytes("x.pkl", gzip.compress(b"x" * 99)), "cannot be read"),
    "empty file": (_bytes("x.pkl", b""), "cannot be read"),
}


def _archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def _refused(code: int, err: str, rule: str) -> None:
    assert code == 2, err
    assert rule in err
    assert err.startswith("pyg-mmea: error: ")
    assert err.count("\n") == 1
    assert len(err) < 1100
    assert err.strip().isprintable()


def _unharmed(folder: Path, misdeeds: list[str]) -> None:
    assert misdeeds == []
    assert not (folder / "hacked").exists()
    assert list(folder.rglob("*.tmp")) == []


@pytest.mark.parametrize("case", FEATURES)
def test_features(case: str, call, misdeeds: list[str], eva_folder: Path, tmp_path: Path) -> None:
    build, rule = FEATURES[case]
    path = build(tmp_path)
    before = set(eva_folder.rglob("*"))
    code, err = call(
        "datasets", "prepare", "AlignmentFolder", "--root", eva_folder, "--image_features", path
    )
    _refused(code, err, rule)
    _unharmed(tmp_path, misdeeds)
    assert set(eva_folder.rglob("*")) == before


# Folders in the layout of EVA -------------------------------------------------------------------

_DEEP = 200_000 * "["


def _replace(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def _instead(name: str, make: Callable[[Path], Any]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        make(folder / name)

    return change


FOLDERS: dict[str, tuple[Callable[[Path], None], str]] = {
    "pipe as a file": (_instead("triples_1", os.mkfifo), "not an ordinary file"),
    "device as a file": (
        _instead("triples_1", lambda path: path.symlink_to("/dev/zero")),
        "not an ordinary file",
    ),
    "folder as a file": (_instead("ent_ids_1", Path.mkdir), "Is a directory"),
    "link to nowhere": (_instead("ent_ids_1", lambda p: p.symlink_to("none")), "file is missing"),
    "id beyond 64 bit": (_replace("triples_1", b"99999999999999999999\t7\t2\n"), "is no id"),
    "negative id": (_replace("triples_1", b"-1\t7\t2\n"), "'-1' is no id"),
    "id in other digits": (_replace("ent_ids_1", "٣\tx\n".encode()), "is no id"),
    "a line of a megabyte": (_replace("triples_1", b"7" * 2**20), "columns"),
    "a field of a megabyte": (_replace("triples_1", b"0\t7\t" + b"x" * 2**20), "is no id"),
    "NUL bytes": (_replace("triples_1", b"0\t7\t\x002\n"), "is no id"),
    "UTF-16": (_replace("ent_ids_1", "0\ta\n".encode("utf-16")), "is not valid UTF-8"),
    "half a character": (_replace("ent_ids_1", b"0\thttp://a/\xed\xa0\x80\n"), "not valid UTF-8"),
    "lone carriage returns": (_replace("triples_1", b"0\t7\t2\r4\t0\t4\r"), "columns"),
    "escape sequences": (_replace("triples_1", b"\x1b]0;owned\x07\x9b\t7\t2\n"), "UTF-8"),
    "escape sequences in UTF-8": (
        _replace("triples_1", "\x1b[2J\x9b\u202e\t7\t2\n".encode()),
        "is no id",
    ),
    "deeply nested JSON": (_replace("names_1.json", _DEEP.encode()), "is no JSON"),
    "JSON with a number of 10,000 digits": (
        _replace("names_1.json", b'{"0": ' + b"1" * 10_000 + b"}"),
        "is no JSON",
    ),
    "JSON key of 5,000 digits": (
        _replace("names_1.json", b'{"' + b"1" * 5000 + b'": "x"}'),
        "names_1.json: ",
    ),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_folder(case: str, call, misdeeds: list[str], eva_folder: Path, tmp_path: Path) -> None:
    change, rule = FOLDERS[case]
    change(eva_folder)
    code, err = call("datasets", "prepare", "AlignmentFolder", "--root", eva_folder)
    _refused(code, err, rule)
    _unharmed(tmp_path, misdeeds)
    assert not (eva_folder / "processed").exists()


# Tables and RDF of one's own --------------------------------------------------------------------

_PAIR = """
source:
  tables: [{file: a.csv, columns: {id: id, name: name, photo: image, weight: number}}]
target:
  tables: [{file: b.csv, columns: {id: id, name: name, weight: number}}]
links: {file: links.csv}
"""
_RDF_PAIR = """
source: {rdf: FILE}
target:
  tables: [{file: b.csv, columns: {id: id, name: name}}]
"""
_XML = """<?xml version="1.0"?><!DOCTYPE x [ENTITIES]>
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:a="http://a.org/">
<rdf:Description rdf:about="http://a.org/1"><a:n>&e;</a:n></rdf:Description></rdf:RDF>"""
_LAUGHS = '<!ENTITY e0 "ha">' + "".join(
    f'<!ENTITY e{i} "{10 * f"&e{i - 1};"}">' for i in range(1, 12)
)


def _table(name: str, content: str | bytes) -> Callable[[Path], None]:
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data) and None


def _rdf(name: str, content: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        pytest.importorskip("rdflib", reason="needs the extra rdf")
        (folder / "pair.yaml").write_text(_RDF_PAIR.replace("FILE", name))
        (folder / name).write_text(content.replace("FOLDER", str(folder)))

    return change


def _parquet_bomb(folder: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="needs the extra parquet")
    import pyarrow.parquet

    column = pa.DictionaryArray.from_arrays(np.zeros(20_000_000, np.int8), ["x"])
    pyarrow.parquet.write_table(pa.table({"id": column}), folder / "a.parquet")
    (folder / "pair.yaml").write_text(_PAIR.replace("a.csv", "a.parquet"))


TABLES: dict[str, tuple[Callable[[Path], None], str]] = {
    "YAML with Python tags": (
        _table("pair.yaml", "source: !!python/object/apply:os.system ['touch FOLDER/hacked']"),
        "'source' needs keys with values",
    ),
    "YAML with a million laughs": (
        _table(
            "pair.yaml",
            "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{9 * f'*a{i - 1},'}]\n" for i in range(1, 30)),
        ),
        "'a0' is no known key",
    ),
    "deeply nested YAML": (_table("pair.yaml", 50_000 * "["), "nested too deeply"),
    "pipe as a pair.yaml": (_instead("pair.yaml", os.mkfifo), "not an ordinary file"),
    "pipe as a table": (_instead("a.csv", os.mkfifo), "not an ordinary file"),
    "table with an open quote": (_table("a.csv", 'id,name\n1,"x\n'), "is no CSV from here on"),
    "table in UTF-16": (_table("a.csv", "id\n1\n".encode("utf-16")), "is not valid UTF-8"),
    "Parquet bomb": (_parquet_bomb, "cells in so small a file"),
    "XML that reads a file": (
        _rdf("a.rdf", _XML.replace("ENTITIES", '<!ENTITY e SYSTEM "file://FOLDER/private">')),
        "entity 'e' stands for another file",
    ),
    "XML with a billion laughs": (
        _rdf("a.rdf", _XML.replace("ENTITIES", _LAUGHS).replace("&e;", "&e11;")),
        "entity 'e1' stands for",
    ),
    "XML with parameters": (
        _rdf("a.trix", _XML.replace("ENTITIES", '<!ENTITY % e "x">')),
        "entity 'e' stands for",
    ),
    "JSON-LD that asks another machine": (
        _rdf("a.jsonld", '{"@context": "http://127.0.0.1:9/c", "@id": "http://a.org/1"}'),
        "its context is elsewhere",
    ),
    "JSON-LD that reads a file": (
        _rdf("a.jsonld", '{"@context": [{"@import": "file://FOLDER/private"}]}'),
        "its context is elsewhere",
    ),
    "deeply nested Turtle": (_rdf("a.ttl", "<a:x> <a:y> " + 50_000 * "["), "is no RDF"),
}


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """Two tables and what they need."""
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "pair.yaml").write_text(_PAIR)
    (folder / "a.csv").write_text("id,name,photo,weight\n1,one,,1\n2,two,,2\n3,three,,3\n")
    (folder / "b.csv").write_text("id,name,weight\nA,one,1\nB,two,2\nC,three,3\n")
    (folder / "links.csv").write_text("source,target\n1,A\n2,B\n3,C\n")
    (folder / "private").write_text("secret")
    return folder


@pytest.mark.parametrize("case", TABLES)
def test_tables(case: str, call, misdeeds: list[str], pair: Path) -> None:
    change, rule = TABLES[case]
    change(pair)
    code, err = call("datasets", "prepare", "TablePair", "--config", pair / "pair.yaml")
    _refused(code, err, rule)
    assert "secret" not in err
    _unharmed(pair, misdeeds)


CELLS = {
    "picture by ..": ("../private", "is outside of"),
    "picture by an absolute path": ("/etc/passwd", "is outside of"),
    "picture that is fetched": ("http://127.0.0.1:9/x.png", "pictures are not fetched"),
    "picture that is a text": ("private", "is no picture that can be read"),
    "picture that is a pipe": ("pipe", "not an ordinary file"),
    "picture that is a device": ("device", "not an ordinary file"),
    "picture that is a program": ("script.eps", "is no picture that can be read"),
    "picture that is a bomb": ("bomb.png", "too many"),
    "picture with a bomb inside": ("bomb.ico", "too many"),
    "picture with NUL in its name": ("a\0b", "cannot be read"),
}


def _chunk(kind: bytes, content: bytes) -> bytes:
    sum_ = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + sum_


def _png(width: int, height: int, content: bytes) -> bytes:
    """A picture of one bit a pixel."""
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    body = _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(content, 1))
    return b"\x89PNG\r\n\x1a\n" + body + _chunk(b"IEND", b"")


def _make_pictures(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "device").symlink_to("/dev/zero")
    command = f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n({folder}/hacked) (w) file\n"
    (folder / "script.eps").write_text(command)
    (folder / "bomb.png").write_bytes(_png(60_000, 60_000, bytes(99)))
    size = 10_000  # whole, so that nothing else is wrong with it
    inner = _png(size, size, size * bytes(1 + size // 8))
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(inner), 22)
    (folder / "bomb.ico").write_bytes(struct.pack("<HHH", 0, 1, 1) + entry + inner)
    Image.new("RGB", (8, 8), "red").save(folder / "good.png")


@pytest.mark.parametrize("case", CELLS)
def test_pictures(case: str, call, misdeeds: list[str], pair: Path) -> None:
    cell, rule = CELLS[case]
    _make_pictures(pair)
    text = f"id,name,photo,weight\n1,one,{cell},1\n2,two,good.png,2\n3,three,good.png,3\n"
    (pair / "a.csv").write_text(text)
    code, err = call("datasets", "check", pair / "pair.yaml")
    assert code == 0, err
    assert rule in err
    assert "secret" not in err
    assert err.replace("\n", "").isprintable()
    _unharmed(pair, misdeeds)


def test_pictures_are_masked_and_counted(pair: Path, caplog: pytest.LogCaptureFixture) -> None:
    _make_pictures(pair)
    names = ["pipe", "device", "script.eps", "bomb.png", "bomb.ico", "private", "good.png"]
    x, mask = encode_images([pair / name for name in names])
    assert mask.tolist() == [False] * 6 + [True]
    assert not x[:6].any()
    assert "6 of 7 pictures could not be used" in caplog.text
    with pytest.raises(Image.DecompressionBombWarning):  # before the icon is unpacked
        read_image((pair / "bomb.ico").read_bytes())


def test_pictures_of_others_are_inside(pair: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A table and an RDF file name pictures beside them; a data frame was made by the caller."""
    _make_pictures(pair)
    outside = str(pair.parent / "outside.png")
    Image.new("RGB", (8, 8)).save(outside)
    (pair / "a.csv").write_text(f"id,image\n1,{outside}\n2,good.png\n")
    frames = {"target": pair / "b.csv", "links": pair / "links.csv", "features": "auto"}
    with pytest.raises(DataError, match=r"a\.csv:2: picture '.*' is outside of the folder"):
        from_tables(pair / "a.csv", **frames)
    frame = pd.DataFrame({"id": ["1", "2", "3"], "image": [outside, "", ""]})
    assert from_tables(frame, **frames)["source"].image_mask.tolist() == [True, False, False]

    pytest.importorskip("rdflib", reason="needs the extra rdf")
    lines = [
        f'<a:{i}> <a:photo> "{path}" .' for i, path in enumerate([outside, "../x", "good.png"])
    ]
    (pair / "a.nt").write_text("\n".join(lines))
    graph = read_rdf(pair / "a.nt", "source", "a:photo")
    assert graph.image_path == [None, None, str(pair / "good.png")]
    assert "left out 2 pictures outside of its folder" in caplog.text


def test_literals_are_not_spelled_out(tmp_path: Path) -> None:
    rdflib = pytest.importorskip("rdflib", reason="needs the extra rdf")
    number = '"1e99999999"^^<http://www.w3.org/2001/XMLSchema#decimal>'
    (tmp_path / "a.nt").write_text(f"<a:x> <a:y> {number} .")
    assert read_rdf(tmp_path / "a.nt", "source", None).attribute_value == ["1e99999999"]
    assert rdflib.NORMALIZE_LITERALS  # for all others, as it was


NUMBERS = ["nan", "inf", "-inf", "1e999", "9" * 5000, "=1+1", "1;2", "\u202e1"]


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_are_masked_and_counted(number: str, call, pair: Path) -> None:
    (pair / "a.csv").write_text(f"id,name,photo,weight\n1,one,,{number}\n2,two,,2\n3,three,,3\n")
    code, err = call("datasets", "check", pair / "pair.yaml")
    assert code == 0, err
    assert ("is no number" in err) or ("unknown unit" in err)
    assert err.replace("\n", "").isprintable()
    assert max(map(len, err.splitlines())) < 1100


@pytest.mark.parametrize(
    "content",
    [
        "id,name\n1,a\x00b\n2,c\n",
        f"id,name\n1,{'x' * 2**20}\n2,c\n",
        "\ufeffid,name\r\n1,a\n2,b\r3,c\r\n",
        "id,name\n1,\x1b[31mred\x1b[0m\n2,\u202egnp.exe\n",
        "id,name\n=cmd|' /C calc'!A0,x\n@SUM(A1),y\n",
        "id,name\n" + "1" * 400 + ",x\n2,y\n",
    ],
    ids=["NUL", "long field", "mixed line ends", "escapes", "formulas", "long id"],
)
def test_odd_tables_are_texts(
    content: str, misdeeds: list[str], pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They hold nothing that is wrong, and nothing of them reaches the terminal as it is."""
    (pair / "a.csv").write_bytes(content.encode())
    names = ("--source", "a.csv", "--target", "b.csv", "--out", "new.yaml")
    assert main(["init", *(str(pair / name) if "." in name else name for name in names)]) == 0
    shown = "".join(capsys.readouterr())
    assert "a.csv (" in shown
    assert shown.replace("\n", "").isprintable()
    _unharmed(pair, misdeeds)


# Files of a run ---------------------------------------------------------------------------------


def _bad_tensors(path: Path) -> None:
    torch.save({"state": _touch(path.parent)}, path)


RUNS: dict[str, tuple[str, str, Callable[[Path], Any], str]] = {
    "tensors that call a program": ("evaluate", "aligner.pt", _bad_tensors, "more than tensors"),
    "tensors that are none": (
        "evaluate",
        "aligner.pt",
        lambda path: path.write_bytes(b"PK\x03\x04" + bytes(99)),
        "is broken or holds more than tensors",
    ),
    "tensors of another kind": (
        "evaluate",
        "aligner.pt",
        lambda path: torch.save({"a": torch.zeros(1)}, path),
        "is no aligner",
    ),
    "folder as tensors": ("evaluate", "aligner.pt", Path.mkdir, "aligner.pt is missing"),
    "result that is nested": (
        "align",
        "result.json",
        lambda path: path.write_text(_DEEP),
        "result.json: is no JSON",
    ),
    "ledger that is none": (
        "audit",
        "pseudo_labels.jsonl",
        lambda path: path.write_text("{}\n"),
        "holds what is no entry of a ledger",
    ),
    "ledger that is nested": (
        "audit",
        "pseudo_labels.jsonl",
        lambda path: path.write_text(_DEEP + "\n"),
        "holds what is no JSON",
    ),
    "metrics that are none": (
        "report",
        "metrics.csv",
        lambda path: path.write_text("a,b\n1,2\n"),
        "is no table of metrics",
    ),
    "pipe as settings": ("evaluate", "config.yaml", os.mkfifo, "config.yaml is missing"),
}


@pytest.mark.parametrize("case", RUNS)
def test_run(case: str, call, misdeeds: list[str], finished_run: Path, tmp_path: Path) -> None:
    verb, name, make, rule = RUNS[case]
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    (run / name).unlink(missing_ok=True)
    make(run / name)
    before = {path: path.stat().st_size for path in run.rglob("*") if path.name != name}
    more = ["--out", tmp_path / "links.csv"] if verb == "align" else []
    code, err = call(verb, run, *more)
    _refused(code, err, rule)
    _unharmed(run, misdeeds)
    after = {path: path.stat().st_size for path in run.rglob("*") if path.name != name}
    assert after == before
    assert not (tmp_path / "links.csv").exists()


def test_settings_with_python_tags(call, finished_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    text = f"seed: !!python/object/apply:os.system ['touch {run / 'hacked'}']\n"
    (run / "config.yaml").write_text(text)
    with pytest.raises(SystemExit) as info:
        call("evaluate", run)
    assert info.value.code == 2
    assert not (run / "hacked").exists()


def test_messages_are_for_people(call, finished_run: Path, tmp_path: Path) -> None:
    """What a file says reaches the terminal without its control characters."""
    run = tmp_path / "a\x1b]0;owned\x07\u202e"
    code, err = call("evaluate", run)
    assert code == 2
    assert err.strip().isprintable()
    assert "owned" in err
    shutil.copytree(finished_run, run)
    entry = {"schema": 1, "run": "x", "decision": "round", "epoch": 0, "reason": "\x9b2J"}
    entry |= {"num_candidates": 1, "threshold": None}
    drop = {**entry, "decision": "drop", "pair": [0, 0]}
    lines = "".join(json.dumps(each) + "\n" for each in (entry, drop))
    (run / "pseudo_labels.jsonl").write_text(lines)
    buffer = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", buffer)
        assert call("audit", run)[0] == 0
    assert "�2J" in buffer.getvalue()
    assert buffer.getvalue().replace("\n", "").isprintable()
