"""``pyg-mmea align``."""

from collections.abc import Sequence

from jsonargparse import ArgumentParser
from jsonargparse.typing import restricted_number_type

from pyg_mmea.cli.console import note
from pyg_mmea.cli.runs import load_run
from pyg_mmea.utils import write_alignment

Precision = restricted_number_type("Precision", float, [(">", 0), ("<=", 1)])


def run(arguments: Sequence[str]) -> None:
    """Writes the alignment and counts what is in it and what is left out."""
    parser = ArgumentParser(
        prog="pyg-mmea align",
        description="Writes the alignment of all entities, best first, to a file. Entities that "
        "the model is not sure of are left out and counted.",
    )
    parser.add_argument("folder", metavar="RUN", help="folder of the run")
    parser.add_argument(
        "--out", metavar="FILE", required=True, help="ends in .csv, .parquet, .nt or .sssom.tsv"
    )
    parser.add_argument(
        "--target-precision",
        type=Precision | None,
        default=0.95,
        help="expected share of right pairs among those with a counterpart; 'null' writes every "
        "candidate",
    )
    parser.add_argument("--base", metavar="IRI", help="put before identifiers without a scheme")
    config = parser.parse_args(arguments)
    data, aligner = load_run(config.folder)
    pairs = aligner.predict(data, config.target_precision)
    write_alignment(config.out, pairs, config.base)
    note(f"{len(pairs)} pairs are in {config.out}; {pairs.attrs['abstained']} entities left out")
