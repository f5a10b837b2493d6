"""Files and folders that are either there in full or not there at all."""

import errno
import hashlib
import io
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import torch
from filelock import FileLock

from pyg_mmea.errors import DataError

RESULT = "result.json"  # what came out, in the folder of a run or of a student


class NotOrdinaryError(OSError):
    """A pipe, a device or a socket stands where a file is expected."""


def open_ordinary(path: str | os.PathLike[str]) -> io.BufferedReader:
    """Opens a file to read bytes. Devices have no end, and pipes wait for somebody to write, so
    that anything but an ordinary file is refused.

    Raises:
        OSError: If there is no file, or no ordinary one.
    """
    # Without blocking, since opening a pipe would wait as well.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return open(handle, "rb")
    os.close(handle)
    name = os.fspath(path)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
    raise NotOrdinaryError(errno.EINVAL, "not an ordinary file", name)


def inside(folder: Path, path: str) -> Path | None:
    """A path that starts from a folder, or :obj:`None` if it leads out of it by ``..`` or as an
    absolute one. Symbolic links are not looked at."""
    joined, base = (os.path.abspath(each) for each in (folder / path, folder))
    return folder / path if Path(joined).is_relative_to(base) else None


def load_tensors(path: Path, mmap: bool = False) -> Any:
    """Loads what :func:`torch.save` wrote; nothing in it is executed.

    Raises:
        DataError: If the file is broken or holds more than tensors, numbers, texts and plain
            containers of those.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except (OSError, MemoryError):
        raise
    except Exception as error:
        # PyTorch's own message advises to load without the restriction.
        rule = f"is broken or holds more than tensors, numbers and texts ({type(error).__name__})"
        raise DataError(rule, path) from error


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid4().hex}.tmp")


def _sync_folder(path: Path) -> None:
    """Makes the rename itself durable, where the system can open a folder."""
    if os.name == "posix":
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO[Any]]:
    """Opens a temporary file beside :obj:`path` and renames it to :obj:`path` at the end.

    If the block raises, the temporary file is removed and :obj:`path` stays as it was.

    Args:
        path (str or PathLike): The file to write. Its folder needs to exist.
        mode (str): :obj:`"w"` for UTF-8 text with plain line feeds, or :obj:`"wb"`.
            (default: :obj:`"w"`)

    Raises:
        ValueError: If :obj:`mode` is neither, or :obj:`path` is a folder.
        FileNotFoundError: If there is no folder for it.
    """
    if mode not in ("w", "wb"):
        raise ValueError(f"'mode' needs to be 'w' or 'wb' (got '{mode}')")
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"'{path}' is a folder, and no file can take its place")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"'{path.parent}' is no folder, and '{path}' would be in it")
    temporary = _temporary(path)
    text = {} if mode == "wb" else {"encoding": "utf-8", "newline": "\n"}
    try:
        with open(temporary, mode.replace("w", "x"), **text) as file:  # type: ignore[call-overload]
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary folder beside :obj:`path` and renames it to :obj:`path` at the end.

    If the block raises, the temporary folder is removed and :obj:`path` does not appear.

    Args:
        path (str or PathLike): The folder to make. Its parent needs to exist.

    Raises:
        FileExistsError: If :obj:`path` exists.
    """
    path = Path(path)
    if path.exists():
        raise FileExistsError(f"'{path}' exists")
    temporary = _temporary(path)
    temporary.mkdir()
    try:
        yield temporary
        temporary.rename(path)
        _sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def file_lock(path: str | os.PathLike[str]) -> FileLock:
    """A lock for those that change :obj:`path`, between processes and between threads. It is a
    hidden file beside it that stays there; the system takes the lock from a process that ends."""
    path = Path(path)
    return FileLock(path.with_name(f".{path.name}.lock"))


def cache_folder() -> Path:
    """Where things made from read-only data are kept: :obj:`$PYG_MMEA_CACHE`, by default
    :obj:`~/.cache/pyg_mmea`.
    """
    return Path(os.environ.get("PYG_MMEA_CACHE") or Path.home() / ".cache" / "pyg_mmea")


def fingerprint(*parts: object) -> str:
    """A short hash of the :func:`repr` of :obj:`parts`, for names in a cache."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:20]
