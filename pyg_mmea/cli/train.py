"""``pyg-mmea train``."""

import argparse
import difflib
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser, Namespace
from torch_geometric.data import HeteroData

from pyg_mmea.calibration import Ledger
from pyg_mmea.calibration.vote import check_excluded
from pyg_mmea.cli.console import HarmlessFormatter, echo, metrics_table, note
from pyg_mmea.cli.provenance import describe_source
from pyg_mmea.cli.runs import CONFIG, LOCK, alone_in, resume_command
from pyg_mmea.cli.settings import DATASETS, aligner_arguments, build_parser
from pyg_mmea.data.pivot import pivot_note
from pyg_mmea.data.textfile import read_json
from pyg_mmea.nn import PairSpec
from pyg_mmea.training import Aligner, Decisions
from pyg_mmea.training.resources import is_first_process
from pyg_mmea.training.views import voter_names
from pyg_mmea.utils.io import RESULT, atomic_write

_SHORT = {"--epochs": "--training.epochs", "--lr": "--training.lr"}
# Options of one call; all others are settings that go into the file of the run.
_CALL = ("config", "out", "resume", "decisions", "quiet")
_LOG = "log.txt"


def run(arguments: Sequence[str]) -> None:
    """Trains, evaluates and prints the metrics.

    Raises:
        ValueError: If RUN exists and is not to be resumed, or was started with other settings.
        FileNotFoundError: If there is no run to take decisions from.
        KeyboardInterrupt: Saying how to go on.
    """
    parser = build_parser()
    config = parser.parse_args(_prepare(arguments))
    folder = Path(config.out)
    settings = _dump(parser, config)
    first = is_first_process()  # the first of several processes writes and prints
    if first:
        _check_folder(parser, folder, config.resume, settings)
    earlier = _earlier_decisions(config)
    built = parser.instantiate(config)
    data = built.data[0]
    aligner = Aligner(**aligner_arguments(built))
    _check_fit(aligner, data)
    if not first:
        aligner.fit(data, folder, config.resume, quiet=True)
        return
    folder.mkdir(parents=True, exist_ok=True)
    with alone_in(folder):
        _check_folder(parser, folder, config.resume, settings)  # another one may have come before
        with atomic_write(folder / CONFIG) as file:
            file.write(settings)
        before = _origin(folder)
        if config.decisions is not None:
            _take_over(earlier, data, folder)
        with _log_to(folder / _LOG, config.quiet):
            _fit(aligner, data, config)
        summary = {
            **aligner.result,
            **(describe_source() if aligner.trained else before),
            "split_seed": config.data.init_args.get("split_seed"),
        }
        with atomic_write(folder / RESULT) as file:
            json.dump(summary, file, indent=2)
    _print_summary(summary, data, folder)


def _earlier_decisions(config: Namespace) -> list[dict[str, Any]]:
    if config.decisions is None:
        return []
    if config.resume:
        raise ValueError("'--decisions' goes with a new run; one that is resumed has its own")
    path = Path(config.decisions, CONFIG)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing, there is no run to take decisions over from")
    return Ledger.of(config.decisions).read()


def _take_over(entries: list[dict[str, Any]], data: HeteroData, folder: Path) -> None:
    num_added, num_left = Decisions(data, Ledger.of(folder)).take_over(entries)
    left = f"; {num_left} are on entities that are gone or have another counterpart now"
    note(f"{num_added} decisions by hand are taken over{left if num_left else ''}")


def _prepare(arguments: Sequence[str]) -> list[str]:
    """Spells out short options; a run that is resumed has its own settings for defaults."""
    prepared = []
    for argument in arguments:
        name, separator, value = argument.partition("=")
        prepared.append(f"{_SHORT.get(name, name)}{separator}{value}")
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--out")
    parser.add_argument("--data")
    parser.add_argument("--config")
    parser.add_argument("--resume", action="store_true")
    try:
        known, rest = parser.parse_known_args(prepared)
    except argparse.ArgumentError:
        return prepared  # the full parser says what is wrong
    _check_name(known.data)
    settings = [
        option
        for option in rest
        if option.startswith("--data.") and not option.startswith("--data.help")
    ]
    if settings and not (known.data or known.config or known.resume):
        raise ValueError(f"'{settings[0]}' needs '--data NAME' before it, as in '--data TablePair'")
    if known.resume and known.out and Path(known.out, CONFIG).is_file():
        prepared = ["--config", str(Path(known.out, CONFIG)), *prepared]
    return prepared


def _check_name(dataset: str | None) -> None:
    """The full parser would answer an unknown name with what it expects of any type."""
    names = [cls.__name__ for base in DATASETS for cls in (base, *_subclasses(base))]
    if dataset is None or not dataset.isidentifier() or dataset in names:
        return  # no name but a class path or YAML, or a known one
    close = difflib.get_close_matches(dataset, names, 1)
    hint = f", did you mean '{close[0]}'?" if close else ""
    raise ValueError(f"there is no dataset '{dataset}'{hint}; 'pyg-mmea datasets list' has all")


def _subclasses(cls: type[Any]) -> Iterator[type[Any]]:
    for subclass in type.__subclasses__(cls):
        yield subclass
        yield from _subclasses(subclass)


def _dump(parser: ArgumentParser, config: Namespace) -> str:
    """The resolved settings as YAML, with paths that hold from any folder."""
    settings = config.clone()
    for key in _CALL:
        settings.pop(key, None)
    arguments = settings.data.init_args
    for key in ("root", "config", "image_features", "fitted"):
        if arguments.get(key) is not None:
            arguments[key] = str(Path(arguments[key]).resolve())
    return parser.dump(settings, skip_unset=False, skip_validation=True)


def _check_folder(parser: ArgumentParser, folder: Path, resume: bool, settings: str) -> None:
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"'{folder}' is no folder")
    if not resume:
        if folder.exists() and not all(map(_is_of_a_start, folder.iterdir())):
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


def _check_fit(aligner: Aligner, data: HeteroData) -> None:
    """Finds settings that do not fit the data before anything is written."""
    model = aligner.model_factory(PairSpec.from_data(data))
    voters = voter_names(model, data, aligner.training)
    check_excluded(aligner.calibrator.excluded_voters, voters)


def _is_of_a_start(path: Path) -> bool:
    """What a run leaves that failed before its first epoch had ended, which is no run yet."""
    return path.name in (CONFIG, LOCK, _LOG, "hparams.yaml") or path.match("events.out.tfevents.*")


def _origin(folder: Path) -> dict[str, Any]:
    """What the result of a run says of the training itself, to be kept where none is left to do."""
    path = folder / RESULT
    result = read_json(path) if path.is_file() else {}
    keys = ("version", "git", "device", "peak_rss_mb", "peak_gpu_mb")
    # A run that was killed before its result was whole has no commit in it.
    return describe_source() | {key: result[key] for key in keys if result.get(key) is not None}


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


def _print_summary(summary: dict[str, Any], data: HeteroData, folder: Path) -> None:
    refit = f" + {summary['refit_epochs']}" if summary["refit_epochs"] else ""
    echo(
        f"{summary['model']} on {summary['dataset']}: {summary['epochs']}{refit} epochs in "
        f"{summary['train_seconds']:.0f} s, {summary['num_pseudo_labels']} pseudo-labels"
    )
    for split in ("val", "test"):
        if summary.get(split):
            echo(f"\n{split}: {metrics_table(summary[split])}")
    pivots = pivot_note(data)
    if pivots is not None:
        note(f"\nNote that {pivots}")
    note(f"\nThe run is in {folder}")
