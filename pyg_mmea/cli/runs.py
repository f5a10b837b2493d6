"""The folder of a run: what is in it, and who is at work there."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import Timeout
from jsonargparse import ArgumentParser, Namespace
from torch_geometric.data import HeteroData

from pyg_mmea.calibration import Ledger
from pyg_mmea.cli.settings import aligner_arguments, build_parser
from pyg_mmea.inspect import Inspector
from pyg_mmea.training import Aligner
from pyg_mmea.training.aligner import ALIGNER
from pyg_mmea.utils.io import RESULT, file_lock

CONFIG = "config.yaml"
_TRAINING = "train"  # what is locked, no file of that name
LOCK = Path(file_lock(_TRAINING).lock_file).name


def load_run(folder: str | Path) -> tuple[HeteroData, Aligner]:
    """Builds the pair of graphs and loads the aligner of a finished run.

    Raises:
        FileNotFoundError: If the folder holds no run, or one that is not finished.
    """
    parser, config = _settings(folder)
    built = parser.instantiate(config)
    return built.data[0], Aligner.load(folder, **aligner_arguments(built))


def load_extended(folder: str | Path, options: Sequence[str]) -> tuple[HeteroData, Aligner]:
    """Builds the pair of graphs as it is now, and an aligner that a finished run makes for it.

    Args:
        folder (str or Path): Folder of the run.
        options (list[str]): Options of ``train`` that change where the data are.

    Raises:
        FileNotFoundError: If the folder holds no run, or one that is not finished.
        ValueError: If the pair does not fit the run, see
            :meth:`~pyg_mmea.training.Aligner.extend`.
    """
    parser, config = _settings(folder, options)
    arguments = config.data.init_args
    if "fitted" in arguments and arguments.fitted is None:
        arguments.fitted = str(Path(folder, ALIGNER))
    built = parser.instantiate(config)
    data = built.data[0]
    return data, Aligner.load(folder, **aligner_arguments(built)).extend(data)


def load_inspector(folder: str | Path, **kwargs: Any) -> Inspector:
    """Loads what a finished run says of its entities and pairs, with arguments of
    :class:`~pyg_mmea.inspect.Inspector`.

    Raises:
        FileNotFoundError: If the folder holds no run, or one that is not finished.
    """
    data, aligner = load_run(folder)
    return Inspector(data, aligner, Ledger.of(folder).read(), **kwargs)


def load_data(folder: str | Path) -> HeteroData:
    """Builds the pair of graphs of a run, finished or not.

    Raises:
        FileNotFoundError: If the folder holds no run.
    """
    parser, config = _settings(folder)
    return parser.instantiate(Namespace(data=config.data)).data[0]


def _settings(folder: str | Path, options: Sequence[str] = ()) -> tuple[ArgumentParser, Namespace]:
    path = Path(folder, CONFIG)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing{_instead(path.parent)}")
    parser = build_parser()
    return parser, parser.parse_args(["--config", str(path), "--out", str(folder), *options])


def _instead(folder: Path) -> str:
    """What a folder without settings is, if it is no run of the command line."""
    if (folder / ALIGNER).is_file():
        return ": a run that was started from Python; 'Aligner.load' reads it"
    if (folder / RESULT).is_file():
        return ": there is a result, as of a baseline or a student, and no run of 'pyg-mmea train'"
    return "; 'pyg-mmea train' writes it"


def resume_command(folder: str | Path) -> str:
    """The command that goes on with a run."""
    return f"pyg-mmea train --out {shlex.quote(str(folder))} --resume"


def is_training(folder: str | Path) -> bool:
    """Tells whether a process is training the run in a folder."""
    try:
        with file_lock(Path(folder, _TRAINING)).acquire(timeout=0):
            return False
    except Timeout:
        return True


def when_used(folder: str | Path) -> str:
    """Says when decisions by hand that are taken now come into use."""
    command = f"'{resume_command(folder)}'"
    if is_training(folder):
        return f"a training of this run is under way and does not see it; {command} after it does"
    return f"{command} uses it"


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keeps other processes from training the run in a folder.

    Raises:
        RuntimeError: If one is at it.
    """
    lock = file_lock(folder / _TRAINING)
    try:
        lock.acquire(timeout=1)  # 'is_training' holds it for a moment
    except Timeout as error:
        raise RuntimeError(f"another process is training the run in '{folder}'") from error
    try:
        yield
    finally:
        lock.release()
