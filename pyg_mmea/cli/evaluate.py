"""``pyg-mmea evaluate``."""

from collections.abc import Sequence
from typing import Literal

from jsonargparse import ArgumentParser
from jsonargparse.typing import NonNegativeInt

from pyg_mmea.cli.console import echo, metrics_table
from pyg_mmea.cli.runs import load_run


def run(arguments: Sequence[str]) -> None:
    """Prints Hits@k, MRR and mean rank in both directions."""
    parser = ArgumentParser(
        prog="pyg-mmea evaluate", description="Measures a finished run on its links."
    )
    parser.add_argument("folder", metavar="RUN", help="folder of the run")
    parser.add_argument(
        "--split", type=Literal["test", "val", "train"], default="test", help="which links to rank"
    )
    parser.add_argument(
        "--candidates",
        type=Literal["test", "all"],
        default="test",
        help="rank the counterparts of these links, or all entities of the other graph",
    )
    parser.add_argument(
        "--csls_k", type=NonNegativeInt, default=10, help="neighbours of CSLS; 0 is plain cosine"
    )
    parser.add_argument(
        "--matching",
        type=Literal["none", "mutual", "sinkhorn", "hungarian"],
        default="none",
        help="what comes between similarities and ranks",
    )
    config = parser.parse_args(arguments)
    data, aligner = load_run(config.folder)
    metrics = aligner.evaluate(
        data, config.split, config.candidates, config.csls_k, config.matching
    )
    echo(metrics_table(metrics))
