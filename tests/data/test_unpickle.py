import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyg_mmea.data.unpickle import ArrayState, load_pickle

VECTOR = np.arange(6, dtype=np.float32)


def _unwrap(value: Any) -> Any:
    if isinstance(value, ArrayState):
        return value.array
    if isinstance(value, dict):
        return {key: _unwrap(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_unwrap(item) for item in value)
    return value


def _load(content: bytes) -> Any:
    return _unwrap(load_pickle(io.BytesIO(content)))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "array",
    [
        VECTOR,
        VECTOR.astype(">f8").reshape(2, 3),
        np.asfortranarray(VECTOR.reshape(2, 3)),
        VECTOR[::2],
        np.array(["ä", "bcd"]),
        np.array(7, dtype=np.int16),
    ],
    ids=["float32", "big endian", "fortran", "strided", "text", "scalar array"],
)
def test_arrays(array: np.ndarray, protocol: int) -> None:
    loaded = _load(pickle.dumps(array, protocol=protocol))
    assert loaded.dtype == array.dtype
    np.testing.assert_array_equal(loaded, array)


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values(protocol: int) -> None:
    value = {1: [2, 3.5, None, True], "ä": (b"\xff", "b", -(10**30))}
    assert _load(pickle.dumps(value, protocol=protocol)) == value


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_numpy_numbers(protocol: int) -> None:
    value = {np.int64(3): np.float32(0.5), np.str_("a"): np.float64(2)}
    assert _load(pickle.dumps(value, protocol=protocol)) == {3: 0.5, "a": 2.0}


def test_numpy_1_names() -> None:
    content = pickle.dumps({5: VECTOR}, protocol=2)
    assert b"numpy._core.multiarray" in content or b"numpy.core.multiarray" in content
    for name in (b"numpy.core.multiarray", b"numpy._core.multiarray"):
        renamed = content.replace(b"numpy._core.multiarray", name)
        np.testing.assert_array_equal(_load(renamed)[5], VECTOR)


def test_python_2_texts() -> None:
    # dict(a=array([1.], '<f8')) as Python 2 wrote it, with byte strings for code and content.
    content = (
        b"\x80\x02}U\x01acnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        b"K\x00\x85U\x01b\x87R(K\x01K\x01\x85cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R"
        b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"U\x08\x00\x00\x00\x00\x00\x00\xf0?tbs."
    )
    assert _load(content) == {b"a": np.array([1.0])}


class _Call:
    """A pickle that calls a function when it is read."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.function, self.args


def _hostile(target: Path) -> dict[str, Any]:
    import os
    import subprocess

    return {
        "os.system": _Call(os.system, f"touch {target}"),
        "inside a dict": {0: VECTOR, 1: _Call(os.system, f"touch {target}")},
        "as a key": {_Call(os.system, f"touch {target}"): VECTOR},
        "eval": _Call(eval, f"open({str(target)!r}, 'w')"),
        "popen": _Call(subprocess.Popen, ["touch", str(target)]),
        "getattr": _Call(getattr, VECTOR, "tofile"),
        "numpy.load": _Call(np.load, str(target)),
        "object array": np.array([_Call(os.system, f"touch {target}")], dtype=object),
        "class": Path,
        "instance": {0: Path("a")},
        "structured": np.zeros(2, dtype=[("a", "f4")]),
        "set": {1: np.datetime64("2020-01-01")},
    }


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("case", list(_hostile(Path("x"))))
def test_hostile(case: str, protocol: int, tmp_path: Path) -> None:
    target = tmp_path / "hacked"
    content = pickle.dumps(_hostile(target)[case], protocol=protocol)
    with pytest.raises(pickle.UnpicklingError, match="not allowed"):
        load_pickle(io.BytesIO(content))
    assert not target.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no pickle",
        b"cnumpy\ndtype\n(S'f4'\nS'x'\nS'y'\nS'z'\ntR.",  # too many arguments
        b"cnumpy\ndtype\n}S'f'\nS'g'\nsb.",  # state of a function
        b"cnumpy.core.multiarray\n_reconstruct\n)R.",
        b"c_codecs\nencode\n(S'a'\nS'zlib'\ntR.",
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",  # bytes longer than memory
        b"Pname\n.",  # persistent id
    ],
    ids=range(8),
)
def test_malformed(content: bytes) -> None:
    with pytest.raises(pickle.UnpicklingError) as info:
        load_pickle(io.BytesIO(content))
    assert str(info.value)


def test_every_cut_is_noticed() -> None:
    content = pickle.dumps({0: VECTOR, 1: VECTOR}, protocol=2)
    for length in range(len(content)):
        with pytest.raises(pickle.UnpicklingError):
            load_pickle(io.BytesIO(content[:length]))


@pytest.mark.parametrize("shape", [(7,), (-1,), (2, 4), (10**12,)])
def test_shape_needs_to_fit(shape: tuple[int, ...]) -> None:
    dtype = load_pickle(io.BytesIO(pickle.dumps(VECTOR.dtype)))
    with pytest.raises((pickle.UnpicklingError, ValueError)):
        ArrayState().__setstate__((1, shape, dtype, False, VECTOR.tobytes()))
