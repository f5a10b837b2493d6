from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from pyg_mmea.data import AlignmentData, from_tables
from pyg_mmea.errors import DataError
from pyg_mmea.typing import ANCHOR_EDGE, RELATION_EDGE

TABLES = {
    "source": pd.DataFrame(
        {
            "id": ["007", "NA", 'é,"q"'],
            "name": ["Ann", None, "Cid"],
            "colour": ["red", None, "blue"],
            "weight": [1.5, 2.0, None],
        }
    ),
    "target": pd.DataFrame({"id": [1, 2], "colour": ["rot", "grün"]}),
    "links": pd.DataFrame({"source": ["007", 'é,"q"'], "target": [2, 1], "note": ["a", "b"]}),
    "source_triples": pd.DataFrame(
        {"head": ["007", "NA"], "relation": ["fits", "near"], "tail": ["NA", 'é,"q"']}
    ),
}


def _check(data: AlignmentData) -> None:
    assert data["source"].uri == ["007", "NA", 'é,"q"']
    assert data["source"].name == ["Ann", "", "Cid"]
    assert data["target"].uri == ["1", "2"]
    assert data[ANCHOR_EDGE].edge_label_index.tolist() == [[0, 2], [1, 0]]
    edge = data[RELATION_EDGE["source"]]
    assert edge.edge_index.tolist() == [[0, 1], [1, 2]]
    assert edge.relation_uri == ["fits", "near"]
    assert data[RELATION_EDGE["target"]].edge_index.shape == (2, 0)
    assert data.attribute_vocabulary == ["colour", "weight"]
    assert data["source"].x_attribute.to_dense().tolist() == [[1, 1], [0, 1], [1, 0]]
    assert data["source"].attribute_text_mask.all()


def test_data_frames() -> None:
    _check(from_tables(**TABLES, features=["relation", "attribute", "attribute_text"]))


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_files(tmp_path: Path, suffix: str) -> None:
    paths: dict[str, Any] = {}
    for name, table in TABLES.items():
        paths[name] = tmp_path / f"{name}.{suffix}"
        if suffix == "parquet":
            pytest.importorskip("pyarrow", reason="needs the extra parquet")
            table.to_parquet(paths[name])
        else:
            table.to_csv(paths[name], index=False, sep="," if suffix == "csv" else "\t")
    _check(from_tables(**paths, features=["relation", "attribute", "attribute_text"]))


def test_columns_by_name(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    table = pd.DataFrame(
        {"key": ["a", "b"], "title": ["x", "y"], "photo": ["a.png", None], "size": [1, 2]}
    )
    table.to_csv(tmp_path / "source.csv", index=False)
    data = from_tables(
        str(tmp_path / "source.csv"),
        tmp_path / "source.csv",
        pd.DataFrame({"source": ["a"], "target": ["b"]}),
        id_column="key",
        name_column="title",
        image_column="photo",
        attribute_columns=["size"],
        features="attribute",
        dataset="shop",
    )
    assert data.dataset == "shop"
    assert data["source"].name == ["x", "y"]
    assert data["source"].image_path == [str(tmp_path / "a.png"), None]
    assert data.attribute_vocabulary == ["size"]


def test_split_arguments() -> None:
    data = from_tables(**TABLES, seed_ratio=1.0, val_ratio=0.5)
    assert data[ANCHOR_EDGE].train_mask.sum() == 1
    assert data[ANCHOR_EDGE].val_mask.sum() == 1


def _csv(name: str, content: str | bytes) -> Callable[[Path, dict[str, Any]], None]:
    def change(folder: Path, arguments: dict[str, Any]) -> None:
        arguments[name] = folder / f"{name}.csv"
        arguments[name].write_bytes(content if isinstance(content, bytes) else content.encode())

    return change


def _frame(name: str, **columns: list) -> Callable[[Path, dict[str, Any]], None]:
    return lambda folder, arguments: arguments.update({name: pd.DataFrame(columns)})


BROKEN = {
    "missing": (
        lambda folder, arguments: arguments.update(source=folder / "source.csv"),
        r"source\.csv: file is missing",
    ),
    "suffix": (
        lambda folder, arguments: arguments.update(source=folder / "a.xlsx"),
        r"a\.xlsx: a table needs to end in",
    ),
    "no column": (_csv("source", "key\na\n"), r"source\.csv: there is no column 'id' .*key"),
    "empty file": (_csv("source", ""), r"source\.csv: is empty"),
    "no entity": (_csv("source", "id\n"), r"source\.csv: holds no entity"),
    "columns": (_csv("source", "id,a\na,1\nb,2,3\n"), r"source\.csv:3: needs 2 cells"),
    "id twice": (_csv("source", "id\na\nb\na\n"), r"source\.csv:4: id 'a' is there twice"),
    "line break in a cell": (
        _csv("source", 'id,b\na,"1\n2"\n\na,3\n'),
        r"source\.csv:5: id 'a' is there twice",
    ),
    "empty id": (_csv("source", "id,b\na,1\n,2\n"), r"source\.csv:3: column 'id' is empty"),
    "UTF-8": (_csv("source", b"id\na\n\xff\n"), r"source\.csv:3: is not valid UTF-8"),
    "picture": (_csv("source", "id,image\na,a.png\n"), r"source\.csv:2: there is no picture"),
    "link": (_csv("links", "source,target\n007,9\n"), r"links\.csv:2: entity '9' .*'target'"),
    "link twice": (
        _csv("links", "source,target\n007,1\n007,1\n"),
        r"links\.csv:3: this link is there twice",
    ),
    "tail": (
        _csv("source_triples", "head,relation,tail\n007,r,x\n"),
        r"source_triples\.csv:2: entity 'x' in column 'tail' is unknown",
    ),
    "frame row": (_frame("target", id=["a", "b", "a"]), "target, row 2: id 'a' is there twice"),
    "frame column": (_frame("links", a=[1]), "links: there is no column 'source'"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken(case: str, tmp_path: Path) -> None:
    change, message = BROKEN[case]
    arguments: dict[str, Any] = dict(TABLES)
    change(tmp_path, arguments)
    with pytest.raises(DataError, match=message) as info:
        from_tables(**arguments)
    assert "\n" not in str(info.value)


def test_broken_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs the extra parquet")
    path = tmp_path / "source.parquet"
    with pytest.raises(DataError, match="file is missing"):
        from_tables(**{**TABLES, "source": path})
    path.write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match="is no Parquet table"):
        from_tables(**{**TABLES, "source": path})
    pd.DataFrame({"id": ["a", "a"]}).to_parquet(path)
    with pytest.raises(DataError, match=r"source\.parquet:2: id 'a' is there twice"):
        from_tables(**{**TABLES, "source": path})
