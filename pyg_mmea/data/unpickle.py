"""Pickles of others, read as data: nothing in them is executed."""

import codecs
import math
import pickle
from collections.abc import Callable
from typing import IO, Any, Literal

import numpy as np

from pyg_mmea.data.pickle_scan import scan_pickle

# What a malformed pickle can raise; nothing in it is executed.
_PICKLE_ERRORS = (
    pickle.UnpicklingError,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    RecursionError,
)


class _Dtype:
    """Stands for :class:`numpy.dtype`: plain numbers and texts only."""

    __slots__ = ("dtype",)

    def __init__(self, code: str | bytes, align: bool = False, copy: bool = True) -> None:
        del align, copy  # no meaning for plain types
        dtype = np.dtype(code.decode("ascii") if isinstance(code, bytes) else str(code))
        if dtype.kind not in "biufSU" or dtype.itemsize == 0:
            raise pickle.UnpicklingError(f"arrays of type '{dtype}' are not allowed")
        self.dtype = dtype

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in (">", b">"):
            self.dtype = self.dtype.newbyteorder(">")


class ArrayState:
    """Stands for :class:`numpy.ndarray`."""

    __slots__ = ("array",)

    def __init__(self) -> None:
        self.array = np.empty(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, is_fortran, content = state
        if isinstance(content, str):  # written by Python 2
            content = content.encode("latin-1")
        self.fill(content, dtype, shape, "F" if is_fortran else "C")

    def fill(
        self, content: bytes, dtype: _Dtype, shape: tuple[int, ...], order: Literal["C", "F"]
    ) -> None:
        if len(content) != math.prod(shape) * dtype.dtype.itemsize:
            raise pickle.UnpicklingError("an array has another size than its shape says")
        flat = np.frombuffer(content, dtype=dtype.dtype)
        self.array = flat.reshape(shape, order=order)


def _reconstruct(kind: Any, shape: Any, code: Any) -> ArrayState:
    del kind, shape, code  # the state that follows says it all
    return ArrayState()


def _from_buffer(content: Any, dtype: _Dtype, shape: Any, order: str) -> ArrayState:
    array = ArrayState()
    array.fill(bytes(content), dtype, tuple(shape), "F" if order in ("F", b"F") else "C")
    return array


def _scalar(dtype: _Dtype, content: bytes | str = b"") -> Any:
    content = content.encode("latin-1") if isinstance(content, str) else content
    if len(content) != dtype.dtype.itemsize:
        raise pickle.UnpicklingError("a number has another size than its type says")
    return np.frombuffer(content, dtype=dtype.dtype)[0].item()


def _encode(text: str, encoding: str = "latin-1") -> bytes:
    if codecs.lookup(encoding).name != "iso8859-1":
        raise pickle.UnpicklingError(f"encoding '{encoding}' is not allowed")
    return text.encode("latin-1")


def _no_bytes() -> bytes:
    """What old protocols write for :obj:`b""`."""
    return b""


class _Callable:
    """A function that a pickle can call and not change."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("a function cannot have a state")


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _Dtype,
    # Only ever an argument of _reconstruct, which does not look at it.
    ("numpy", "ndarray"): _reconstruct,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
}
for _core in ("numpy.core", "numpy._core"):
    _ALLOWED[f"{_core}.multiarray", "_reconstruct"] = _reconstruct
    _ALLOWED[f"{_core}.multiarray", "scalar"] = _scalar
    _ALLOWED[f"{_core}.numeric", "_frombuffer"] = _from_buffer


class _Unpickler(pickle.Unpickler):
    """Knows no class and no function but stand-ins for those that make up numpy arrays."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(
                f"'{module}.{name}' is not allowed; "
                "only numpy arrays, dicts, lists, tuples, numbers and texts are"
            )
        return _Callable(_ALLOWED[module, name])

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("persistent ids are not allowed")


def load_pickle(file: IO[bytes]) -> Any:
    """Reads a pickle that holds numpy arrays, dicts, lists, tuples, numbers and texts only.

    Texts of Python 2 come as bytes, arrays as stand-ins with the attribute :obj:`array`.

    Raises:
        pickle.UnpicklingError: If the file holds anything else, is damaged, or would take time or
            memory out of all proportion to its size.
    """
    try:
        start = file.tell()
        scan_pickle(file)
        file.seek(start)
        return _Unpickler(file, encoding="bytes").load()
    except _PICKLE_ERRORS as error:
        text = str(error) or type(error).__name__
        raise pickle.UnpicklingError(text) from error
