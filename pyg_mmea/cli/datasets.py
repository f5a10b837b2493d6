"""``pyg-mmea datasets``."""

import re
from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser
from torch_geometric.data import HeteroData

from pyg_mmea import datasets
from pyg_mmea.cli.console import echo, note, table
from pyg_mmea.data import check_folder, check_pair, read_folder
from pyg_mmea.errors import DataError
from pyg_mmea.typing import ANCHOR_EDGE, RELATION_EDGE, SIDES, Modality

DATASETS = {
    name: getattr(datasets, name) for name in datasets.__all__ if name != "AlignmentDataset"
}


def run(arguments: Sequence[str]) -> None:
    """Lists, describes, prepares or checks.

    Raises:
        ValueError: If what is checked is broken, after all faults were written to stderr.
    """
    config = _build_parser(arguments).parse_args(arguments)
    verb = config.verb
    if verb == "list":
        width = max(map(len, DATASETS))
        for name, cls in DATASETS.items():
            echo(f"{name.ljust(width)}  {_first_sentence(cls)}")
    elif verb == "check":
        path = Path(config.check.path)
        if path.suffix.lower() in (".yaml", ".yml"):
            _check_pair(path, config.check.images)
        elif path.is_file():
            text = "needs to be a folder, or a pair.yaml, which 'pyg-mmea init' writes for tables"
            raise DataError(text, path)
        else:
            _check(path)
    else:
        chosen = config[verb]
        settings = chosen[chosen.name]
        settings.pop("quiet")  # the program has seen to it
        dataset = DATASETS[chosen.name](**settings)
        if verb == "info":
            echo(_describe(dataset[0]))
        else:
            note(f"{dataset[0].dataset} is ready{_place(dataset)}")


def _build_parser(arguments: Sequence[str]) -> ArgumentParser:
    parser = ArgumentParser(prog="pyg-mmea datasets", description="Looks after datasets.")
    verbs = parser.add_subcommands(dest="verb", metavar="VERB")
    verbs.add_subcommand("list", ArgumentParser(description="Lists the datasets."), help="names")
    for verb, text in (
        ("info", "builds a dataset and shows its statistics"),
        ("prepare", "generates or converts a dataset, so that later calls are quick"),
    ):
        subparser = ArgumentParser(description=f"{text.capitalize()}.")
        verbs.add_subcommand(verb, subparser, help=text)
        names = subparser.add_subcommands(dest="name", metavar="NAME")
        for name, cls in DATASETS.items():
            options = ArgumentParser(description=_first_sentence(cls))
            if name in arguments:  # reading a signature takes time
                options.add_class_arguments(cls)
            _add_quiet(options)
            names.add_subcommand(name, options, help=_first_sentence(cls))
    text = "says what is wrong with a pair.yaml and its tables, or with a folder, line by line"
    check = ArgumentParser(description=f"{text.capitalize()}.")
    check.add_argument(
        "path", metavar="PATH", help="a pair.yaml, or a folder with ent_ids_1/2, triples_1/2, ..."
    )
    check.add_argument(
        "--images", type=bool, default=True, help="open each picture that a pair.yaml leads to"
    )
    verbs.add_subcommand("check", check, help=text)
    _add_quiet(check)
    return parser


def _add_quiet(parser: ArgumentParser) -> None:
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def _first_sentence(cls: type) -> str:
    text = " ".join((cls.__doc__ or "").split("\n\n")[0].split())
    text = text.replace("``", "'")
    return re.sub(r"`\"?(.*?)\"? <.*?>`_", r"\1", text)  # links as plain titles


def _place(dataset: object) -> str:
    paths = getattr(dataset, "processed_paths", [])
    return f" in {paths[0]}" if paths else ""


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _check(folder: Path) -> None:
    faults = check_folder(folder)
    for fault in faults:
        note(str(fault))
    if faults:
        raise ValueError(f"{folder} has {_count(len(faults), 'fault')}, named above")
    pair = read_folder(folder)
    for side, graph in zip(SIDES, (pair.source, pair.target), strict=True):
        echo(f"{side}: {graph.num_entities} entities, {len(graph.triples)} triples")
    echo(f"{pair.links.size(1)} links; no rule is broken")


def _check_pair(path: Path, images: bool) -> None:
    findings, content = check_pair(path, images)
    rules = sorted(findings.rules.values(), key=lambda rule: (rule.severity, -rule.count))
    for rule in rules:
        for example in rule.examples:
            note(f"{rule.severity}: {example}")
        if rule.count > len(rule.examples):
            note(f"{rule.severity}: {rule.count - len(rule.examples):,} more of '{rule.name}'")
    if content is not None:
        for side, read in zip(SIDES, content.sides, strict=True):
            more = read.graph.num_entities - read.num_rows
            echo(
                f"{side}: {read.num_rows:,} rows and {more:,} further entities, "
                f"{len(read.graph.triples):,} triples, "
                f"{len(read.graph.attribute_triples):,} attribute values, "
                f"{read.num_images:,} with a picture"
            )
        echo(f"{content.links.size(1):,} links")
    if rules:
        rows = [["rule", "", "places"]]
        rows += [[rule.name, rule.severity, f"{rule.count:,}"] for rule in rules]
        echo(f"\n{table(rows)}")
    if findings.num_errors:
        raise ValueError(f"{path} has {_count(findings.num_errors, 'error')}, see above by rule")
    echo(f"no error, {_count(findings.num_warnings, 'warning')}")


def _describe(data: HeteroData) -> str:
    rows = [["", *SIDES]]
    rows.append(["entities", *(str(data[side].num_nodes) for side in SIDES)])
    relation_stores = [data[RELATION_EDGE[side]] for side in SIDES]
    rows.append(["relations", *(str(len(store.relation_uri)) for store in relation_stores)])
    rows.append(["triples", *(str(store.edge_index.size(1)) for store in relation_stores)])
    own = (key.removeprefix("x_") for key in data["source"] if key.startswith("x_"))
    for modality in dict.fromkeys([*map(str, Modality), *own]):
        if f"x_{modality}" in data["source"]:
            size = data["source"][f"x_{modality}"].size(1)
            masks = [data[side][f"{modality}_mask"] for side in SIDES]
            cells = [f"{int(mask.sum())} ({100 * mask.float().mean():.0f}%)" for mask in masks]
            rows.append([f"with {modality} features [{size}]", *cells])
    anchors = data[ANCHOR_EDGE]
    counts = [f"{int(anchors[f'{n}_mask'].sum())} {n}" for n in ("train", "val", "test")]
    total = anchors.edge_label_index.size(1)
    return f"{data.dataset}\n{table(rows)}\nlinks: {total} ({', '.join(counts)})"
