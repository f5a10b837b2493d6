"""``pyg-mmea report``."""

from collections.abc import Sequence

from jsonargparse import ArgumentParser
from jsonargparse.typing import NonNegativeInt

from pyg_mmea.cli.align import Precision
from pyg_mmea.cli.console import note
from pyg_mmea.cli.runs import load_inspector
from pyg_mmea.report import write_report


def run(arguments: Sequence[str]) -> None:
    """Writes one HTML page on a finished run."""
    parser = ArgumentParser(
        prog="pyg-mmea report",
        description="Writes one HTML page on a finished run: metrics, curves, calibration, pairs "
        "with their pictures. It needs nothing but itself.",
    )
    parser.add_argument("folder", metavar="RUN", help="folder of the run")
    parser.add_argument("--out", metavar="FILE", type=str, help="by default RUN/report.html")
    parser.add_argument(
        "--target-precision",
        type=Precision,
        default=0.95,
        help="precision that decides which candidates count as kept",
    )
    parser.add_argument(
        "--examples", type=NonNegativeInt, default=6, help="pairs of each kind to show"
    )
    parser.add_argument("--errors", type=NonNegativeInt, default=20, help="wrong pairs to show")
    config = parser.parse_args(arguments)
    inspector = load_inspector(config.folder, max_relations=8)
    path = write_report(
        inspector,
        config.folder,
        config.out,
        config.target_precision,
        config.examples,
        config.errors,
    )
    note(f"The report is {path}")
