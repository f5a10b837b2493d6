"""Published features: pickle, npz, npy and h5 files of others, converted once."""

import logging
import reprlib
import zipfile
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pyg_mmea.data.textfile import MAX_DIGITS, first_repeat, is_id
from pyg_mmea.data.unpickle import ArrayState, load_pickle
from pyg_mmea.errors import DataError
from pyg_mmea.utils.io import atomic_folder, cache_folder, fingerprint

logger = logging.getLogger(__name__)

# An archive may unpack to so many times its size, beside a quarter of a gigabyte: features that are
# mostly zeros stay below.
_MAX_RATIO, _FREE = 100, 2**28


class FeatureTable(NamedTuple):
    """Features of others, a row per key.

    Args:
        keys (ndarray): Entity ids, or texts such as URIs or image keys :math:`(K)`.
        x (ndarray): Features :math:`(K, D)`, float32, mapped from disk.
    """

    keys: np.ndarray
    x: np.ndarray


Item = tuple[Any, np.ndarray]


def _to_vector(value: Any) -> np.ndarray:
    value = value.array if isinstance(value, ArrayState) else value
    if isinstance(value, (list, tuple)) and any(isinstance(x, (list, tuple)) for x in value):
        raise ValueError("a vector needs to be a flat list")  # one inside itself has no end
    return np.asarray(value, dtype=np.float32).ravel()


def _items_of(content: Any) -> Iterator[Item]:
    if isinstance(content, ArrayState):
        content = content.array
    if isinstance(content, dict):
        for key, value in content.items():
            yield key, _to_vector(value)
    elif isinstance(content, np.ndarray) and content.ndim == 2:
        yield from enumerate(content)
    else:
        raise ValueError("needs to be a dict of vectors or a matrix with one row per entity id")


def _check_unpacked(path: Path, size: int) -> None:
    if size > _MAX_RATIO * path.stat().st_size + _FREE:
        raise ValueError(f"would unpack to {size:,} bytes, which no features do")


def _check_npz(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:  # no member gives more than it declares
        _check_unpacked(path, sum(member.file_size for member in archive.infolist()))


def _items_of_npz(path: Path) -> Iterator[Item]:
    with np.load(path, allow_pickle=False) as archive:
        if {"ids", "x"} <= set(archive.files):
            yield from zip(archive["ids"].tolist(), archive["x"], strict=True)
        else:
            for key in archive.files:
                yield key, archive[key]


def _items_of_h5(path: Path) -> Iterator[Item]:
    try:
        import h5py
    except ImportError as error:
        raise ImportError("Reading h5 files needs pip install '.[h5]' from a clone") from error
    size = 0
    with h5py.File(path, "r") as file:
        for key in file:
            # Links could lead to other files, and so could content that lies elsewhere.
            link = file.get(key, getlink=True)
            found = file[key] if isinstance(link, h5py.HardLink) else None
            if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual:
                raise ValueError(f"'{key}' is no array in this file")
            size += found.nbytes
            _check_unpacked(path, size)
            yield key, found[()]


def _items(path: Path) -> Iterator[Item]:
    suffix = path.suffix.lower()
    if suffix in (".h5", ".hdf5"):
        yield from _items_of_h5(path)
    elif suffix == ".npz":
        yield from _items_of_npz(path)
    elif suffix == ".npy":
        yield from enumerate(np.load(path, allow_pickle=False, mmap_mode="r"))
    elif suffix in (".pkl", ".pickle"):
        with path.open("rb") as file:
            yield from _items_of(load_pickle(file))
    else:
        raise ValueError("needs to end in .pkl, .pickle, .npz, .npy, .h5 or .hdf5")


def _key(key: Any) -> int | str:
    if isinstance(key, bytes):
        key = key.decode("utf-8")
    if isinstance(key, str) and is_id(key):
        return int(key)
    if isinstance(key, str) or (type(key) is int and abs(key) < 10**MAX_DIGITS):
        return key
    raise ValueError(f"a key needs to be an entity id or a text (got {reprlib.repr(key)})")


def _collect(path: Path) -> tuple[list[int | str], list[np.ndarray]]:
    keys: list[int | str] = []
    vectors: list[np.ndarray] = []
    for raw, value in _items(path):
        key, vector = _key(raw), _to_vector(value)
        if vectors and vector.size != vectors[0].size:
            raise ValueError(
                f"the vector of '{key}' has {vector.size} numbers, others have {vectors[0].size}"
            )
        if not np.isfinite(vector).all():
            raise ValueError(f"the vector of '{key}' is not finite")
        keys.append(key)
        vectors.append(vector)
    if not vectors or vectors[0].size == 0:
        raise ValueError("holds no features")
    if len({type(key) for key in keys}) > 1:
        raise ValueError("holds entity ids and texts as keys; one kind is needed")
    if len(set(keys)) != len(keys):
        raise ValueError("holds a key twice")
    return keys, vectors


def _whole(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Keys and rows of an archive of entity ids with all their vectors, taken as they are, if they
    follow all rules that :func:`_collect` checks one by one."""
    if path.suffix.lower() != ".npz":
        return None
    with np.load(path, allow_pickle=False) as archive:
        if not {"ids", "x"} <= set(archive.files):
            return None
        ids, x = archive["ids"], archive["x"]
    if ids.dtype.kind != "i" or x.dtype.kind != "f" or ids.shape != x.shape[:1] or x.ndim != 2:
        return None
    ids, x = ids.astype(np.int64), x.astype(np.float32, copy=False)
    limit = 10**MAX_DIGITS
    fine = x.size > 0 and -limit < ids.min() and ids.max() < limit and np.isfinite(x).all()
    return (ids, x) if fine and first_repeat(ids) is None else None


def _convert(path: Path, folder: Path) -> None:
    try:
        if path.suffix.lower() == ".npz":
            _check_npz(path)
        keys, vectors = _whole(path) or _collect(path)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(str(error), path) from error
    except ImportError:
        raise
    except Exception as error:  # the readers of others raise nearly anything on broken files
        text = str(error) or type(error).__name__
        raise DataError(f"cannot be read ({text})", path) from error
    folder.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(folder) as temporary:
        np.save(temporary / "keys.npy", np.array(keys))
        x = np.lib.format.open_memmap(
            temporary / "x.npy", "w+", dtype=np.float32, shape=(len(keys), vectors[0].size)
        )
        if isinstance(vectors, np.ndarray):
            x[:] = vectors
        else:
            np.stack(vectors, out=x)
        x.flush()


def load_features(path: str | PathLike[str]) -> FeatureTable:
    """Reads published features, such as :obj:`zh_en_GA_id_img_feature_dict.pkl`.

    A pickle or h5 file of hundreds of megabytes is read once and converted into arrays that are
    mapped from disk afterwards. The copy lies in :obj:`$PYG_MMEA_CACHE` and belongs to path, size
    and time of change of the file.

    Args:
        path (str or PathLike): A :obj:`.pkl` of a dict from entity id or text to vector (or of a
            matrix whose rows are entity ids), an :obj:`.npz` with :obj:`ids` and :obj:`x` or with
            one array per entity, an :obj:`.npy` matrix, or an :obj:`.h5` with one dataset per key.

    Returns:
        FeatureTable: Keys and features.

    Raises:
        DataError: If the file is missing, damaged, or holds anything but arrays, numbers and
            texts.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError("file is missing", path)
    path = path.resolve()
    stat = path.stat()
    name = fingerprint(1, str(path), stat.st_size, stat.st_mtime_ns)
    folder = cache_folder() / "features" / name
    if not folder.exists():
        logger.info("Converting %s", path)
        try:
            _convert(path, folder)
        except OSError:
            if not folder.exists():
                raise
            logger.info("%s was converted by another process meanwhile", path)
    keys = np.load(folder / "keys.npy", allow_pickle=False)
    return FeatureTable(keys, np.load(folder / "x.npy", mmap_mode="r", allow_pickle=False))
