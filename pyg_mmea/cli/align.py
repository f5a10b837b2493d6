"""``pyg-mmea align``."""

from collections.abc import Sequence

from jsonargparse import ArgumentParser
from jsonargparse.typing import restricted_number_type

from pyg_mmea.cli.console import note
from pyg_mmea.cli.runs import load_extended, load_run
from pyg_mmea.utils import write_alignment

Precision = restricted_number_type("Precision", float, [(">", 0), ("<=", 1)])


def run(arguments: Sequence[str]) -> None:
    """Writes the alignment and counts what is in it and what is left out."""
    parser = ArgumentParser(
        prog="pyg-mmea align",
        description="Writes the alignment of all entities, best first, to a file. Entities that "
        "the model is not sure of are left out and counted.",
        epilog="With --extend, --data and --data.* say where the data are now, as in 'train'; by "
        "default they are where they were.",
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
    parser.add_argument(
        "--extend",
        action="store_true",
        help="align entities, too, that came after the training, without training",
    )
    parser.add_argument(
        "--only-new",
        action="store_true",
        help="with --extend: leave out pairs of two entities that were there in training",
    )
    rest, options = _data_options(arguments)
    config = parser.parse_args(rest)
    if not config.extend and (options or config.only_new):
        raise ValueError(f"'{options[0] if options else '--only-new'}' needs '--extend'")
    if config.extend:
        data, aligner = load_extended(config.folder, options)
    else:
        data, aligner = load_run(config.folder)
    pairs = aligner.predict(data, config.target_precision, config.only_new)
    write_alignment(config.out, pairs, config.base)
    note(f"{len(pairs)} pairs are in {config.out}; {pairs.attrs['abstained']} entities left out")


def _data_options(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Parts the options of the data, with their values, from all others."""
    rest: list[str] = []
    options: list[str] = []
    awaits_value = False
    for argument in arguments:
        is_data = argument.partition("=")[0] == "--data" or argument.startswith("--data.")
        (options if is_data or awaits_value else rest).append(argument)
        awaits_value = is_data and "=" not in argument
    return rest, options
