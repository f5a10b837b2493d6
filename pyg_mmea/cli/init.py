"""``pyg-mmea init``."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from pyg_mmea.cli.console import echo, note, table
from pyg_mmea.data.guess import Guess
from pyg_mmea.data.pairguess import PairDraft, draft_pair
from pyg_mmea.data.pairwrite import pair_text
from pyg_mmea.typing import SIDES
from pyg_mmea.utils.io import atomic_write


def run(arguments: Sequence[str]) -> None:
    """Looks into the files, shows what the columns seem to be and writes that down.

    Raises:
        ValueError: If the file to write exists and is not to be replaced.
    """
    config = _build_parser().parse_args(arguments)
    out = Path(config.out)
    if out.exists() and not config.force:
        raise ValueError(f"'{out}' exists; --force replaces it, or choose another --out")
    draft = _draft(config)
    text = pair_text(draft, out.parent)
    with atomic_write(out) as file:
        file.write(text)
    if config.quiet:
        return
    echo(_show(draft))
    file_name = shlex.quote(str(out))
    note(
        f"\n{out} is written. Read and correct it, then:\n"
        f"  pyg-mmea datasets check {file_name}\n"
        f"  pyg-mmea train --data TablePair --data.config {file_name} --out runs/first"
    )


def _build_parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="pyg-mmea init",
        description="Guesses what the columns of your tables are and writes a pair.yaml that says "
        "so, for you to correct.",
    )
    for side in SIDES:
        parser.add_argument(
            f"--{side}",
            nargs="+",
            metavar="FILE",
            required=True,
            help=f"the {side}: CSV, TSV or Parquet (rows, triples, attribute values), an RDF file, "
            "or a folder in the layout of EVA",
        )
        parser.add_argument(
            f"--{side}-images", metavar="DIR", help="its pictures, if they are named by ids"
        )
    parser.add_argument("--links", metavar="FILE", help="known matches, with an id of either side")
    parser.add_argument("--out", metavar="FILE", default="pair.yaml", help="the file to write")
    parser.add_argument("--force", action="store_true", help="replace FILE if it exists")
    parser.add_argument("--quiet", action="store_true", help="show neither guesses nor progress")
    return parser


def _draft(config: Namespace) -> PairDraft:
    named = (config.source_images, config.target_images)
    folders = [Path(folder) if folder else None for folder in named]
    for folder in folders:
        if folder is not None and not folder.is_dir():
            raise ValueError(f"'{folder}' is no folder")
    source, target = ([Path(path) for path in files] for files in (config.source, config.target))
    links = None if config.links is None else Path(config.links)
    if links is None and source == target and source[0].is_dir():
        links = source[0]  # a folder in the layout of EVA has links of its own
    return draft_pair(source, target, links, (folders[0], folders[1]))


def _show(draft: PairDraft) -> str:
    lines = []
    for name, side in zip(SIDES, draft.sides, strict=True):
        for file in side.files:
            details = ", ".join(f"{key} {value!r}" for key, value in file.options.items())
            lines.append(f"{name}: {file.path} ({file.kind}{details and ': ' + details})")
            if file.columns:
                rows = [["  column", "role", "why", "such as"], *map(_row, file.columns)]
                lines.append(table(rows, num_left=4))
        if side.images is not None:
            found = f"{side.num_images:,} of {sum(map(len, side.ids.values())):,} have one"
            lines.append(f"{name}: pictures in {side.images}, named by ids: {found}")
    if draft.links is not None:
        details = ", ".join(f"{key} {value!r}" for key, value in draft.links.options.items())
        lines.append(f"links: {draft.links.path}{details and ' (' + details + ')'}")
    return "\n".join(lines)


def _row(guess: Guess) -> list[str]:
    spec = guess.spec
    extra = [spec.unit, spec.to and f"to {spec.to}", spec.separator and f"by '{spec.separator}'"]
    role = " ".join([spec.role, *(text for text in extra if text)])
    return [f"  {guess.label}", role, guess.why, guess.sample]
