"""``pyg-mmea export``."""

import logging
from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser

from pyg_mmea.cli.console import note
from pyg_mmea.cli.runs import CONFIG
from pyg_mmea.distill import Student, export_student
from pyg_mmea.training import Aligner


def run(arguments: Sequence[str]) -> None:
    """Writes the encoder of a student as a graph.

    Raises:
        ValueError: If the folder holds a run instead.
    """
    parser = ArgumentParser(
        prog="pyg-mmea export",
        description="Writes the entity encoder of a student as a graph of PyTorch or ONNX, for "
        "batches of any size, and compares it with the encoder.",
    )
    parser.add_argument("folder", metavar="STUDENT", help="folder of the student")
    parser.add_argument("--out", metavar="FILE", required=True, help="ends in .pt2 or .onnx")
    config = parser.parse_args(arguments)
    if Path(config.folder, CONFIG).is_file():
        raise ValueError(_why_not(config.folder))
    # PyTorch tells that it can do without torchvision.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    difference = export_student(Student.load(config.folder), config.out)
    note(f"{config.out} differs from the student by {difference:.1g} at most, on random entities")


def _why_not(folder: str) -> str:
    weights = Aligner.load(folder).weights.items()
    own = sum(x.size(0) for name, x in weights if name.startswith("entity."))
    reason = (
        f"{own} entities have a learned vector each"
        if own
        else "it embeds entities by both whole graphs and the known links"
    )
    return (
        f"'{folder}' is a run, whose model is transductive ({reason}), so that it embeds no entity "
        f"by itself; 'pyg-mmea distill {folder} --out STUDENT' makes what can be exported"
    )
