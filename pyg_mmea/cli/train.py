"""``pyg-mmea train``."""

import argparse
import json
import logging
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from filelock import Timeout
from jsonargparse import ArgumentParser, Namespace
from torch_geometric.data import HeteroData

from pyg_mmea.calibration import Calibrator, Ledger
from pyg_mmea.calibration.ledger import LEDGER_NAME
from pyg_mmea.cli.console import HarmlessFormatter, echo, metrics_table, note
from pyg_mmea.cli.provenance import describe_source
from pyg_mmea.datasets import AlignmentDataset, FakeMMKG
from pyg_mmea.inspect import Inspector
from pyg_mmea.nn import AlignmentModel, PairSpec
from pyg_mmea.resolver import PLUGIN_GROUP
from pyg_mmea.training import Aligner, TrainingConfig
from pyg_mmea.training.resources import is_first_process
from pyg_mmea.utils.io import atomic_write, file_lock

CONFIG = "config.yaml"
_TRAINING = "train"  # what is locked, no file of that name
_SHORT = {"--epochs": "--training.epochs", "--lr": "--training.lr"}
# Options of one call; all others are settings that go into the file of the run.
_CALL = ("config", "out", "resume", "quiet")


_CLASSES = {
    "model": {"class_path": "pyg_mmea.nn.PCMEA"},
    "objective": {"class_path": "pyg_mmea.loss.objective.PCMEAObjective"},
}


class _Parser(ArgumentParser):
    """Gives a class that is chosen its own defaults: by itself, jsonargparse keeps those of the
    default class where an argument has the same name."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.classes: dict[str, Any] = {}  # none in the parsers of nested arguments

    def parse_args(self, *args: Any, **kwargs: Any) -> Namespace:  # type: ignore[override]
        self.set_defaults(self.classes)
        config = super().parse_args(*args, **kwargs)
        if not self.classes:
            return config
        self.set_defaults({key: {"class_path": config[key].class_path} for key in self.classes})
        return super().parse_args(*args, **kwargs)


def build_parser() -> ArgumentParser:
    """The parser of the settings of a run, which also reads its :obj:`config.yaml`."""
    for point in entry_points(group=PLUGIN_GROUP):
        point.load()  # a class needs to be imported to be found by its name
    parser = _Parser(
        prog="pyg-mmea train",
        description="Trains a model on a pair of graphs and evaluates it once.",
        epilog="--epochs N and --lr X are short for --training.epochs and --training.lr.",
    )
    parser.classes = _CLASSES
    parser.add_argument("--config", action="config", help="YAML file of settings; options win")
    parser.add_argument("--out", metavar="RUN", required=True, help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="continue the run in RUN")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    add_data_argument(parser)
    parser.add_argument(
        "--model",
        type=Callable[[PairSpec], AlignmentModel],
        default=_CLASSES["model"],
        help="name or class path of a model",
    )
    parser.add_argument(
        "--objective",
        type=Callable[[dict[str, int]], torch.nn.Module],
        default=_CLASSES["objective"],
        help="name or class path of an objective",
    )
    parser.add_argument(
        "--calibration",
        type=Calibrator | Literal["none"],
        default={"class_path": "pyg_mmea.calibration.Calibrator"},
        help="how pseudo-labels are chosen; 'none' trains on the seeds alone",
    )
    parser.add_argument("--training", type=TrainingConfig, default=TrainingConfig())
    parser.add_argument("--seed", type=int, default=0, help="seed of the model")
    return parser


def add_data_argument(parser: ArgumentParser) -> None:
    """Adds the option that names a dataset and its arguments."""
    parser.add_subclass_arguments(
        (AlignmentDataset, FakeMMKG), "data", required=True, help="name or class path of a dataset"
    )


def run(arguments: Sequence[str]) -> None:
    """Trains, evaluates and prints the metrics.

    Raises:
        ValueError: If RUN exists and is not to be resumed, or was started with other settings.
        KeyboardInterrupt: Saying how to go on.
    """
    parser = build_parser()
    config = parser.parse_args(_prepare(arguments))
    folder = Path(config.out)
    settings = _dump(parser, config)
    first = is_first_process()  # the first of several processes writes and prints
    if first:
        _check_folder(parser, folder, config.resume, settings)
    built = parser.instantiate(config)
    data = built.data[0]
    aligner = build_aligner(built)
    # Settings that do not fit the data are found here, before anything is written.
    aligner.model_factory(PairSpec.from_data(data))
    if not first:
        aligner.fit(data, folder, config.resume, quiet=True)
        return
    folder.mkdir(parents=True, exist_ok=True)
    with _alone_in(folder):
        with atomic_write(folder / CONFIG) as file:
            file.write(settings)
        with _log_to(folder / "log.txt", config.quiet):
            _fit(aligner, data, config)
        summary = {
            **aligner.result,
            **describe_source(),
            "split_seed": config.data.init_args.get("split_seed"),
        }
        with atomic_write(folder / "result.json") as file:
            json.dump(summary, file, indent=2)
    _print_summary(summary, folder)


def load_run(folder: str | Path) -> tuple[HeteroData, Aligner]:
    """Builds the pair of graphs and loads the aligner of a finished run.

    Raises:
        FileNotFoundError: If the folder holds no run, or one that is not finished.
    """
    return load_data(folder), Aligner.load(folder)


def load_inspector(folder: str | Path, **kwargs: Any) -> Inspector:
    """Loads what a finished run says of its entities and pairs, with arguments of
    :class:`~pyg_mmea.inspect.Inspector`.

    Raises:
        FileNotFoundError: If the folder holds no run, or one that is not finished.
    """
    data, aligner = load_run(folder)
    return Inspector(data, aligner, Ledger(Path(folder, LEDGER_NAME)).read(), **kwargs)


def load_data(folder: str | Path) -> HeteroData:
    """Builds the pair of graphs of a run, finished or not.

    Raises:
        FileNotFoundError: If the folder holds no run.
    """
    path = Path(folder, CONFIG)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; 'pyg-mmea train' writes it")
    parser = build_parser()
    config = parser.parse_args(["--config", str(path), "--out", str(folder)])
    return parser.instantiate(Namespace(data=config.data)).data[0]


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
def _alone_in(folder: Path) -> Iterator[None]:
    lock = file_lock(folder / _TRAINING)
    try:
        lock.acquire(timeout=1)  # 'is_training' holds it for a moment
    except Timeout as error:
        raise RuntimeError(f"another process is training the run in '{folder}'") from error
    try:
        yield
    finally:
        lock.release()


def build_aligner(built: Namespace) -> Aligner:
    """Makes an aligner of the parsed settings."""
    calibrate = built.calibration != "none"
    return Aligner(
        built.model,
        built.objective,
        built.calibration if calibrate else None,
        calibrate,
        built.training,
        built.seed,
    )


def _prepare(arguments: Sequence[str]) -> list[str]:
    """Spells out short options; a run that is resumed has its own settings for defaults."""
    prepared = []
    for argument in arguments:
        name, separator, value = argument.partition("=")
        prepared.append(f"{_SHORT.get(name, name)}{separator}{value}")
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--out")
    parser.add_argument("--resume", action="store_true")
    try:
        known, _ = parser.parse_known_args(prepared)
    except argparse.ArgumentError:
        return prepared  # the full parser says what is wrong
    if known.resume and known.out and Path(known.out, CONFIG).is_file():
        prepared = ["--config", str(Path(known.out, CONFIG)), *prepared]
    return prepared


def _dump(parser: ArgumentParser, config: Namespace) -> str:
    """The resolved settings as YAML, with paths that hold from any folder."""
    settings = config.clone()
    for key in _CALL:
        settings.pop(key, None)
    arguments = settings.data.init_args
    for key in ("root", "config", "image_features"):
        if arguments.get(key) is not None:
            arguments[key] = str(Path(arguments[key]).resolve())
    return parser.dump(settings, skip_unset=False, skip_validation=True)


def _check_folder(parser: ArgumentParser, folder: Path, resume: bool, settings: str) -> None:
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"'{folder}' is no folder")
    if not resume:
        if folder.exists() and any(folder.iterdir()):
            raise ValueError(f"'{folder}' exists; --resume continues it, or choose another --out")
        return
    path = folder / CONFIG
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing, there is no run to resume")
    # Parsed anew, so that settings that came up since have their defaults.
    before = parser.parse_args(["--config", str(path), "--out", str(folder)])
    old, new = (yaml.safe_load(text) for text in (_dump(parser, before), settings))
    if new["training"]["epochs"] > old["training"]["epochs"]:
        old["training"]["epochs"] = new["training"]["epochs"]  # may go on for longer
    if old != new:
        raise ValueError(f"'{folder}' was started with other settings; they are in {path}")


@contextmanager
def _log_to(path: Path, quiet: bool) -> Iterator[None]:
    """Sends what the library logs to a file, and unless told to be quiet to the screen."""
    logger = logging.getLogger("pyg_mmea")
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(HarmlessFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = propagate and not quiet
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.propagate = propagate
        logger.removeHandler(handler)
        handler.close()


def _fit(aligner: Aligner, data: HeteroData, config: Namespace) -> None:
    try:
        aligner.fit(data, config.out, config.resume, config.quiet)
    except (KeyboardInterrupt, SystemExit) as error:
        # Lightning turns an interrupt into an exit.
        if isinstance(error, SystemExit) and not isinstance(error.__context__, KeyboardInterrupt):
            raise
        raise KeyboardInterrupt(f"'{resume_command(config.out)}' goes on") from error


def _print_summary(summary: dict[str, Any], folder: Path) -> None:
    echo(
        f"{summary['model']} on {summary['dataset']}: {summary['epochs']} epochs in "
        f"{summary['train_seconds']:.0f} s, {summary['num_pseudo_labels']} pseudo-labels"
    )
    for split in ("val", "test"):
        if summary.get(split):
            echo(f"\n{split}: {metrics_table(summary[split])}")
    note(f"\nThe run is in {folder}")
