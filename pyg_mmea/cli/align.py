"""``pyg-mmea align``."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from jsonargparse import ArgumentParser
from jsonargparse.typing import restricted_number_type
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_mmea.cli.console import note
from pyg_mmea.cli.runs import load_extended, load_run
from pyg_mmea.data.pivot import pivot_note
from pyg_mmea.typing import SIDES
from pyg_mmea.utils import write_alignment
from pyg_mmea.utils.export import is_alignment

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
    if Path(config.out).is_file() and not is_alignment(config.out):
        raise ValueError(f"'{config.out}' exists and is no alignment; choose another file")
    if config.extend:
        data, aligner = load_extended(config.folder, options)
    else:
        data, aligner = load_run(config.folder)
    pairs = aligner.predict(data, config.target_precision, config.only_new)
    num_written = write_alignment(config.out, pairs, config.base)
    if pairs.attrs["rejected"]:
        num = pairs.attrs["rejected"]
        note(f"{num} pairs that were rejected by hand since the training are left out")
    note(f"{num_written} pairs are in {config.out}; {pairs.attrs['abstained']} entities left out")
    if num_written < len(pairs):
        num = len(pairs) - num_written
        note(f"{num} more are of blank nodes or pivots, which this format does not hold")
    if not config.only_new:
        _count_test_links(data, aligner.links(data, "test"), pairs)
    num_pivots = int((pairs["origin"] == "pivot").sum())
    if num_pivots:
        note(f"{num_pivots} pairs are of origin 'pivot': {pivot_note(data)}")


def _count_test_links(data: HeteroData, links: Tensor, pairs: pd.DataFrame) -> None:
    ends = zip(SIDES, links.tolist(), strict=True)
    uris = [[data[side].uri[i] for i in ids] for side, ids in ends]
    test = set(zip(*uris, strict=True))
    if test:
        found = len(test & set(zip(pairs["source"], pairs["target"], strict=True)))
        note(f"{found} of {len(test)} test links, which were hidden, are among them")


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
