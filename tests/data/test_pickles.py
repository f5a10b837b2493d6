import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyg_mmea.data import FeatureTable, load_features
from pyg_mmea.errors import DataError

VECTORS = {3: np.array([1.0, 2.0], dtype=np.float32), 10: np.array([0.5, -1.0], dtype=np.float32)}


def _pickle(path: Path, value: Any, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


def _as_dict(path: Path) -> dict[Any, list[float]]:
    table = load_features(path)
    assert isinstance(table, FeatureTable)
    assert table.x.dtype == np.float32
    assert isinstance(table.x, np.memmap)
    return dict(zip(table.keys.tolist(), table.x.tolist(), strict=True))


EXPECTED = {3: [1.0, 2.0], 10: [0.5, -1.0]}


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_pickle(tmp_path: Path, protocol: int) -> None:
    assert _as_dict(_pickle(tmp_path / "a.pkl", VECTORS, protocol)) == EXPECTED


def test_other_forms(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="needs the extra h5")
    np.savez(tmp_path / "a.npz", ids=np.array([3, 10]), x=np.stack(list(VECTORS.values())))
    np.savez(tmp_path / "b.npz", **{str(key): value for key, value in VECTORS.items()})
    with h5py.File(tmp_path / "c.h5", "w") as file:
        for key, value in VECTORS.items():
            file[str(key)] = value.reshape(1, -1)
    for name in ("a.npz", "b.npz", "c.h5"):
        assert _as_dict(tmp_path / name) == EXPECTED
    matrix = np.arange(6.0).reshape(3, 2)
    np.save(tmp_path / "d.npy", matrix)
    _pickle(tmp_path / "e.pkl", matrix)
    for name in ("d.npy", "e.pkl"):
        assert _as_dict(tmp_path / name) == dict(enumerate(matrix.tolist()))


def test_keys_of_text(tmp_path: Path) -> None:
    path = _pickle(tmp_path / "a.pkl", {"http://a.org/ä": [1, 2], b"b": (3, 4)})
    assert _as_dict(path) == {"http://a.org/ä": [1.0, 2.0], "b": [3.0, 4.0]}


def test_converts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _pickle(tmp_path / "a.pkl", VECTORS)
    load_features(path)
    with monkeypatch.context() as patch:
        patch.setattr("pyg_mmea.data.pickles.load_pickle", None)
        assert _as_dict(path) == EXPECTED
    # A changed file is another file.
    _pickle(path, {3: [7, 8]})
    os.utime(path, ns=(0, 0))
    assert _as_dict(path) == {3: [7.0, 8.0]}


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ({}, "holds no features"),
        ({0: [1, 2], 1: [1]}, "has 1 numbers, others have 2"),
        ({0: [1, float("nan")]}, "is not finite"),
        ({0: [1], "a": [1]}, "ids and texts"),
        ({0: [1], "0": [2]}, "a key twice"),
        ({0.5: [1]}, "a key needs to be"),
        ({10**30: [1]}, "a key needs to be"),
        ({0: ["x"]}, "could not convert"),
        ({0: {1: 2}}, "dict"),
        ([1, 2], "needs to be a dict"),
        (np.zeros(3), "needs to be a dict"),
    ],
)
def test_wrong_content(tmp_path: Path, cache_folder: Path, value: Any, rule: str) -> None:
    path = _pickle(tmp_path / "a.pkl", value)
    with pytest.raises(DataError, match=rule) as info:
        load_features(path)
    assert info.value.path == str(path)
    assert not cache_folder.exists()


class _Hostile:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (self.command,)


def test_hostile_pickle(tmp_path: Path, cache_folder: Path) -> None:
    target = tmp_path / "hacked"
    path = _pickle(tmp_path / "a.pkl", {0: VECTORS[3], 1: _Hostile(f"touch {target}")})
    with pytest.raises(DataError, match=r"a\.pkl: cannot be read \('\w+\.system' is not allowed"):
        load_features(path)
    assert not target.exists()
    assert not cache_folder.exists()


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_hostile_arrays(tmp_path: Path, suffix: str) -> None:
    target = tmp_path / "hacked"
    array = np.array([[_Hostile(f"touch {target}")]], dtype=object)
    path = tmp_path / f"a{suffix}"
    save = np.save if suffix == ".npy" else np.savez
    save(path, array, allow_pickle=True)
    with pytest.raises(DataError):
        load_features(path)
    assert not target.exists()


def test_h5_links_are_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="needs the extra h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["a"] = [1.0]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a"] = h5py.ExternalLink("other.h5", "a")
    with pytest.raises(DataError, match="'a' is no array in this file"):
        load_features(tmp_path / "a.h5")


@pytest.mark.parametrize("suffix", [".pkl", ".npz", ".npy", ".h5"])
def test_truncated(tmp_path: Path, cache_folder: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    matrix = np.ones((50, 8), dtype=np.float32)
    if suffix == ".pkl":
        _pickle(path, dict(enumerate(matrix)))
    elif suffix == ".npz":
        np.savez(path, ids=np.arange(50), x=matrix)
    elif suffix == ".npy":
        np.save(path, matrix)
    else:
        h5py = pytest.importorskip("h5py", reason="needs the extra h5")
        with h5py.File(path, "w") as file:
            file["a"] = matrix
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError) as info:
        load_features(path)
    assert info.value.path == str(path)
    assert not cache_folder.exists()


def test_missing_and_unknown_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="file is missing"):
        load_features(tmp_path / "a.pkl")
    (tmp_path / "a.pt").touch()
    with pytest.raises(DataError, match="needs to end in"):
        load_features(tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("ids", "x", "rule"),
    [
        ([3, 3], [[1.0], [2.0]], "holds a key twice"),
        ([3, 4], [[1.0], [np.inf]], "the vector of '4' is not finite"),
        ([3, 10**18], [[1.0], [2.0]], "a key needs to be an entity id or a text"),
        ([], np.zeros((0, 2)), "holds no features"),
    ],
)
def test_archives_keep_all_rules(tmp_path: Path, ids: list, x: object, rule: str) -> None:
    np.savez(tmp_path / "x.npz", ids=np.array(ids, dtype=np.int64), x=np.array(x, np.float32))
    with pytest.raises(DataError, match=rule):
        load_features(tmp_path / "x.npz")


def test_archive_taken_whole_is_what_single_vectors_give(tmp_path: Path) -> None:
    ids, x = np.array([4, 0, 9], dtype=np.int32), np.random.default_rng(0).random((3, 5))
    np.savez(tmp_path / "x.npz", ids=ids, x=x)
    np.savez(tmp_path / "y.npz", **{str(i): row for i, row in zip(ids, x, strict=True)})
    whole, single = (load_features(tmp_path / name) for name in ("x.npz", "y.npz"))
    assert whole.keys.tolist() == single.keys.tolist() == [4, 0, 9]
    assert whole.keys.dtype == single.keys.dtype
    assert (whole.x == single.x).all()
    assert whole.x.dtype == np.float32
