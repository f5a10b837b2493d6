"""The form in which a pair is kept on disk."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pyg_mmea.utils.io import atomic_write, load_tensors

#: Goes up when the form changes.
FORMAT = 6
# Keys of a list of texts.
_LETTERS, _LENGTH = "utf-8", "length"


def write_stores(path: Path, stores: dict[Any, Any]) -> None:
    """Writes the stores of a pair, in full or not at all.

    Args:
        path (Path): The file.
        stores (dict): What :meth:`~torch_geometric.data.HeteroData.to_dict` returns.
    """
    with atomic_write(path, "wb") as file:
        torch.save(_mapped(stores, pack), file)


def read_stores(path: Path) -> dict[Any, Any]:
    """Reads what :func:`write_stores` wrote; only tensors and plain containers are admitted.
    Tensors stay in the file until they are read, and changes of them in memory.

    Raises:
        DataError: If the file is broken.
    """
    return _mapped(load_tensors(path, mmap=True), unpack)


def pack(value: Any) -> Any:
    """Turns a list of texts into tensors: millions of texts take the safe unpickler long."""
    if not isinstance(value, list) or not {*map(type, value)} <= {str, type(None)}:
        return value
    texts = [item or "" for item in value]
    length = [-1 if item is None else len(item) for item in value]
    # Lone surrogates, as in odd file names, are kept.
    encoded = bytearray("".join(texts).encode("utf-8", "surrogatepass"))
    letters = torch.frombuffer(encoded, dtype=torch.uint8) if encoded else torch.empty(0)
    return {_LETTERS: letters, _LENGTH: torch.tensor(length, dtype=torch.int32)}


def unpack(value: Any) -> Any:
    """Turns what :func:`pack` made back into a list of texts."""
    if not isinstance(value, dict) or set(value) != {_LETTERS, _LENGTH}:
        return value
    text = value[_LETTERS].numpy().tobytes().decode("utf-8", "surrogatepass")
    length = value[_LENGTH]
    ends = length.clamp(min=0).cumsum(0)
    starts = (ends - length.clamp(min=0)).tolist()
    return [
        None if size < 0 else text[start:end]
        for size, start, end in zip(length.tolist(), starts, ends.tolist(), strict=True)
    ]


def _mapped(stores: dict[Any, Any], change: Callable[[Any], Any]) -> dict[Any, Any]:
    """Changes all values of the stores of a pair."""
    return {
        store: {key: change(value) for key, value in values.items()}
        for store, values in stores.items()
    }
