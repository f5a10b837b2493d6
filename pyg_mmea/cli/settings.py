"""The settings of a run."""

import re
from collections.abc import Callable
from importlib.metadata import entry_points
from textwrap import indent, wrap
from typing import Any, Literal

import torch
from jsonargparse import ArgumentParser, Namespace

from pyg_mmea.calibration import Calibrator
from pyg_mmea.datasets import AlignmentDataset, FakeMMKG
from pyg_mmea.nn import AlignmentModel, PairSpec
from pyg_mmea.resolver import PLUGIN_GROUP
from pyg_mmea.training import TrainingConfig

#: What a dataset is one of, or a subclass of.
DATASETS: tuple[type[Any], ...] = (AlignmentDataset, FakeMMKG)
_CLASSES = {
    "model": {"class_path": "pyg_mmea.nn.PCMEA"},
    "objective": {"class_path": "pyg_mmea.loss.objective.PCMEAObjective"},
}


def _without_torch(classes: re.Match[str]) -> str:
    """Leaves out the classes of PyTorch and PyG."""
    names = "".join(classes[1].split()).split(",")  # long ones are wrapped in their middle
    ours = [name for name in names if not name.startswith(("torch", "lightning."))]
    lines = wrap("known subclasses: " + ", ".join(ours), 54)
    return ",\n" + indent("\n".join(lines), 24 * " ")


class _Parser(ArgumentParser):
    """Gives a class that is chosen its own defaults: by itself, jsonargparse keeps those of the
    default class where an argument has the same name. What a class raises is raised as it is."""

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

    def format_help(self, *args: Any, **kwargs: Any) -> str:
        """Without the hundreds of layers and transforms of PyTorch and PyG that would fit, too, and
        without the markup of docstrings."""
        text = super().format_help(*args, **kwargs)
        text = re.sub(r",\s+known\s+subclasses:\s+([^)]*)", _without_torch, text)
        return re.sub(r":(?:obj|class|meth|func|attr):`(?:~[\w.]*\.)?([^`]*)`", r"\1", text)

    def instantiate(self, *args: Any, **kwargs: Any) -> Namespace:
        if not self.classes:  # the outermost parser hands 'make' down
            return super().instantiate(*args, **kwargs)
        failures: list[Exception] = []

        def make(cls: type, *args: Any, **kwargs: Any) -> Any:
            try:
                return cls(*args, **kwargs)
            except Exception as error:
                failures.append(error)
                raise

        try:
            return super().instantiate(*args, instantiators=[(make, object, True)], **kwargs)
        except Exception:
            if failures:  # jsonargparse buries it in what every other type of a union says
                raise failures[0] from failures[0].__cause__
            raise


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
    parser.add_argument(
        "--decisions", metavar="RUN", help="take over what people accepted and rejected in RUN"
    )
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
        DATASETS, "data", required=True, help="name or class path of a dataset"
    )


def aligner_arguments(built: Namespace) -> dict[str, Any]:
    """The arguments of an :class:`~pyg_mmea.training.Aligner` that parsed settings stand for."""
    calibrate = built.calibration != "none"
    return {
        "model": built.model,
        "objective": built.objective,
        "calibrator": built.calibration if calibrate else None,
        "calibrate": calibrate,
        "training": built.training,
        "seed": built.seed,
    }
