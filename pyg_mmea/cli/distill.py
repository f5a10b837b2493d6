"""``pyg-mmea distill``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from jsonargparse import ArgumentParser
from jsonargparse.typing import NonNegativeInt, PositiveInt
from torch import Tensor

from pyg_mmea.cli.console import echo, note, table
from pyg_mmea.cli.provenance import describe_source
from pyg_mmea.cli.runs import load_run
from pyg_mmea.distill import DistillConfig, compare, comparison_rows, distill
from pyg_mmea.utils import atomic_folder

_TABLE = "distill.md"
_DEFAULTS = DistillConfig()


def run(arguments: Sequence[str]) -> None:
    """Trains a student, measures it beside its teacher, and prints the table.

    Raises:
        ValueError: If STUDENT exists.
    """
    config = _parser().parse_args(arguments)
    folder = Path(config.out)
    if folder.exists():
        if not folder.is_dir() or any(folder.iterdir()):
            raise ValueError(f"'{folder}' exists; choose another --out")
        folder.rmdir()  # before the training, as what cannot be replaced is found here
    source = describe_source()  # before the training, during which files may change
    data, aligner = load_run(config.folder)
    names = ("modalities", "channels", "hops", "epochs", "seed")
    settings = DistillConfig(**{name: config[name] for name in names})
    student = distill(data, aligner, settings).stored(config.storage)
    dtype = getattr(torch, config.storage)
    stored: dict[str, Tensor] = {side: z.to(dtype) for side, z in student.embed(data).items()}
    csls_k = aligner.result["test"]["csls_k"] if aligner.result.get("test") else 10
    comparison = compare(data, aligner, student, stored, csls_k)
    student.result |= {
        "teacher_run": str(Path(config.folder).resolve()),
        "storage": config.storage,
        **source,
        **comparison,
    }
    rows = comparison_rows(comparison)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(folder) as temporary:
        student.save(temporary, stored, config.storage)
        (temporary / _TABLE).write_text(_markdown(rows, student.result), encoding="utf-8")
    echo(table(rows))
    note(f"The student is in {folder}")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="pyg-mmea distill",
        description="Trains a small student of a finished run, which embeds an entity by its "
        "features and those of its neighbours alone, and measures it beside the run.",
    )
    parser.add_argument("folder", metavar="RUN", help="folder of the run")
    parser.add_argument("--out", metavar="STUDENT", required=True, help="folder of the student")
    parser.add_argument(
        "--modalities", nargs="+", metavar="NAME", help="what it looks at; by default all there is"
    )
    parser.add_argument(
        "--channels", type=PositiveInt, default=_DEFAULTS.channels, help="size of its embedding"
    )
    parser.add_argument(
        "--hops",
        type=NonNegativeInt,
        default=_DEFAULTS.hops,
        help="how far it sees: 0 is the entity alone, 2 its neighbours and theirs",
    )
    parser.add_argument("--epochs", type=PositiveInt, default=_DEFAULTS.epochs)
    parser.add_argument("--seed", type=int, default=_DEFAULTS.seed)
    parser.add_argument(
        "--storage",
        type=Literal["float32", "float16"],
        default="float32",
        help="type of the weights and embeddings in the files, which are what is measured",
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    return parser


def _markdown(rows: list[list[str]], result: dict[str, Any]) -> str:
    head, *body = ([cell.replace("|", r"\|") for cell in row] for row in rows)
    lines = [head, ["---", "---:", "---:"], *body]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"# A student of {result['teacher_model']} on {result['dataset']}\n\n{text}\n"
