import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from pyg_mmea.data import validate
from pyg_mmea.datasets import MMKB
from pyg_mmea.datasets.mmkb import read_tokens
from pyg_mmea.errors import DataError
from pyg_mmea.typing import ANCHOR_EDGE

FILES = {
    "FB15K_EntityTriples.txt": "/m/1 </loc/in> /m/2 .\n/m/2 </loc/in> /m/3 .\n",
    "FB15K_NumericalTriples.txt": "/m/1\t<http://f/area>\t1.5\n/m/9\t<http://f/area>\t2 .\n",
    "FB15K_ImageIndex.txt": "/m/1\tFBIMG1\n/m/3\tFBIMG3\n/m/8\tFBIMG8\n",
    "DB15K_EntityTriples.txt": '<http://d/A,"x"> <http://d/near> <http://d/Ë> .',
    "DB15K_SameAsLink.txt": (
        '/m/1 <SameAs> <http://d/A,"x"> .\n'
        "/m/1 <SameAs> <http://d/Ë> .\n"
        "/m/3 <SameAs> <http://d/lonely> ."
    ),
    "DB15K_ImageIndex.txt": "<http://d/Ë>\tDBIMG1",
}


@pytest.fixture(params=["folders", "flat"])
def root(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    root = tmp_path / "MMKB"
    for name, content in FILES.items():
        folder = root / name.split("_")[0] if request.param == "folders" else root
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    return root


def _find(root: Path, name: str) -> Path:
    return next(root.rglob(name))


def test_release(root: Path) -> None:
    data = MMKB(str(root), features=["relation", "attribute", "attribute_text"])[0]
    validate(data)
    assert data.dataset == "MMKB/FB15K-DB15K"
    assert data["source"].uri == ["/m/1", "/m/2", "/m/3"]
    assert data["target"].uri == ['http://d/A,"x"', "http://d/Ë", "http://d/lonely"]
    assert data["source", "relation", "source"].edge_index.tolist() == [[0, 1], [1, 2]]
    assert data["source", "relation", "source"].relation_uri == ["/loc/in"]
    assert data[ANCHOR_EDGE].edge_label_index.tolist() == [[0, 0, 2], [0, 1, 2]]
    assert data.attribute_vocabulary == ["http://f/area"]
    assert data["source"].attribute_text_mask.tolist() == [True, False, False]
    assert int(data[ANCHOR_EDGE].train_mask.sum()) == 1  # a fifth of the links


def test_release_pictures(root: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="needs the extra h5")
    for graph, keys in {"FB15K": ["FBIMG1", "FBIMG3", "other"], "DB15K": ["DBIMG1"]}.items():
        path = _find(root, f"{graph}_ImageIndex.txt").with_name(f"{graph}_ImageData.h5")
        with h5py.File(path, "w") as file:
            for i, key in enumerate(keys):
                file[key] = np.full((1, 4), i + 1.0, dtype=np.float32)
    data = MMKB(str(root))[0]
    assert data["source"].x_image[:, 0].tolist() == [1, 0, 2]
    assert data["source"].image_mask.tolist() == [True, False, True]
    assert data["target"].image_mask.tolist() == [False, True, False]
    assert "x_image" not in MMKB(str(root), features="relation")[0]["source"]


@pytest.mark.parametrize(
    ("name", "content", "line", "rule"),
    [
        ("DB15K_EntityTriples.txt", None, None, "file is missing"),
        ("DB15K_SameAsLink.txt", None, None, "file is missing"),
        ("FB15K_EntityTriples.txt", "/m/1 </r> /m/2 .\n/m/1 </r> .\n", 2, "needs 3 columns"),
        ("FB15K_EntityTriples.txt", "/m/1 </r> /m/2 /m/3 .", 1, "needs 3 columns .got 4"),
        ("FB15K_EntityTriples.txt", b"/m/1 </r> /m/\xff .", 1, "is not valid UTF-8"),
        (
            "DB15K_SameAsLink.txt",
            "/m/1 <SameAs> <x> .\n/m/2 <SameAs> <y> .\n/m/1 <SameAs> <x> .",
            3,
            "link /m/1 to x is there twice",
        ),
    ],
)
def test_broken_release(
    root: Path, name: str, content: str | bytes | None, line: int | None, rule: str
) -> None:
    path = _find(root, name)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=rule) as info:
        MMKB(str(root))
    assert Path(str(info.value.path)).name == name
    assert info.value.line == line
    assert not (root / "processed").exists()


def test_empty_release(root: Path) -> None:
    for name in ("DB15K_EntityTriples.txt", "DB15K_SameAsLink.txt"):
        _find(root, name).write_text("")
    with pytest.raises(DataError, match="holds no triple"):
        MMKB(str(root))


@pytest.mark.parametrize("place", ["FB15K_DB15K", "FBDB15K/norm", "."])
@pytest.mark.parametrize("with_names", [True, False])
def test_converted(eva_folder: Path, tmp_path: Path, place: str, with_names: bool) -> None:
    root = tmp_path / "root"
    shutil.copytree(eva_folder, root / place)
    (root / place / "sup_ent_ids").unlink()
    if not with_names:
        for side in (1, 2):
            (root / place / f"rel_ids_{side}").unlink()
    with (root / place / "FB15K_DB15K_id_img_feature_dict.pkl").open("wb") as file:
        pickle.dump({5: np.ones(4096, dtype=np.float32)}, file, protocol=2)
    data = MMKB(str(root), "FB15K-DB15K")[0]
    validate(data)
    assert data["source"].x_image.sum() == 4096
    assert data["source"].image_mask.tolist() == [False, False, False, True]
    uris = data["source", "relation", "source"].relation_uri
    assert uris[0] == ("http://a.org/likes" if with_names else "unknown:0")


def test_pairs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'pair' needs to be among FB15K-DB15K"):
        MMKB(str(tmp_path), "FB15K")  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"SameAsLink\.txt: file is missing"):
        MMKB(str(tmp_path))


def test_release_has_no_official_split(root: Path) -> None:
    with pytest.raises(DataError, match=r"no official split .the release of MMKB has none"):
        MMKB(str(root), split="official")


@pytest.mark.dataset
def test_real_files_parse(data_root: Path) -> None:
    root = data_root / "MMKB_partial"
    for name, columns, lines in [
        ("FB15K/FB15K_ImageIndex.txt", 2, 13444),
        ("FB15K/FB15K_NumericalTriples.txt", 3, 29395),
        ("DB15K/DB15K_SameAsLink.txt", 3, 12846),
        ("YAGO15K/YAGO15K_SameAsLink.txt", 3, 11199),
        ("YAGO15K/YAGO15K_ImageIndex.txt", 2, 11194),
    ]:
        table = read_tokens(root / name, columns)
        assert [len(column) for column in table] == [lines] * columns
        assert not any(text.startswith("<") or text.endswith(">") for text in table[-1])
    with pytest.raises(DataError, match=r"FB15K_EntityTriples\.txt: file is missing"):
        MMKB(str(root))
