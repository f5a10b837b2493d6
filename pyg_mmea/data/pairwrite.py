"""Writes a commented ``pair.yaml``."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from pyg_mmea.data.guess import Guess
from pyg_mmea.data.pairguess import FileDraft, PairDraft, SideDraft
from pyg_mmea.typing import SIDES

_HEADER = """\
# How two sets of tables become a pair of graphs. A guess, written by 'pyg-mmea init': read it,
# correct it, then run 'pyg-mmea datasets check' on it. Paths start from the folder of this file.
#
# Roles of columns:
#   id         key of the entity, needed; without it a row is nothing
#   name       what people call it                    image      path of a picture (folder: DIR)
#   number     with units or not (unit: cm, decimal: ",", scale: joint or each)
#   date       (format: ISO8601 or like %d.%m.%Y)     text       words, in any language
#   category   values that are shared: each becomes an entity that rows are related to
#              (separator: ";", to: KIND that several columns share)
#   reference  ids of other rows (separator: ";", to: TABLE)
#   attribute  only that it is there counts           ignore     is left out
# Columns of both sides with the same name say the same; 'as' gives a column another name.
"""
_NO_LINKS = """\
# No link is known. With some, name their table, and its columns:
# links:
#   file: links.csv
#   source: source
#   target: target
"""


def _quoted(text: str) -> str:
    """A text as YAML, plain where that is safe."""
    if re.fullmatch(r"[^\W\d][\w./ -]*\w|[^\W\d]", text) and text.lower() not in ("null", "none"):
        return text
    return json.dumps(text, ensure_ascii=False)


def _column(guess: Guess) -> str:
    spec = guess.spec
    options = {
        "as": "" if spec.name == guess.label else spec.name,
        "unit": spec.unit,
        "decimal": spec.decimal,
        "format": "" if spec.format == "ISO8601" else spec.format,
        "scale": "" if spec.scale == "joint" else spec.scale,
        "to": spec.to,
        "separator": spec.separator,
    }
    given = [f"{key}: {_quoted(value)}" for key, value in options.items() if value]
    value = f"{{{', '.join([f'role: {spec.role}', *given])}}}" if given else spec.role
    sample = f", such as {guess.sample}" if guess.sample else ""
    comment = " ".join(f"{guess.why}{sample}".split())
    return f"{_quoted(guess.label)}: {value}  # {comment}"


def _columns(guesses: list[Guess], indent: str) -> Iterator[str]:
    if guesses:
        yield f"{indent}columns:"
        yield from (f"{indent}  {_column(guess)}" for guess in guesses)


def _file(file: FileDraft, folder: Path) -> Iterator[str]:
    yield f"    - file: {_quoted(_relative(file.path, folder))}"
    for key, value in file.options.items():
        yield f"      {key}: {_quoted(value)}"
    if file.kind == "table":
        yield from _columns(file.columns, "      ")


def _side(name: str, side: SideDraft, folder: Path) -> Iterator[str]:
    yield f"{name}:"
    for kind, key in (("table", "tables"), ("triples", "triples"), ("attributes", "attributes")):
        files = [file for file in side.files if file.kind == kind]
        if files:
            yield f"  {key}:"
            for file in files:
                yield from _file(file, folder)
    for file in side.files:
        if file.kind in ("rdf", "folder"):
            yield f"  {file.kind}: {_quoted(_relative(file.path, folder))}"
    if side.language:
        found = ", ".join(f"{count:,} in {name}" for name, count in side.languages.items())
        yield f"  language: {_quoted(side.language)}  # of labels: {found}"
    loose = [guess for file in side.files if file.kind != "table" for guess in file.columns]
    if any(file.kind == "rdf" for file in side.files):
        for guess in [guess for guess in loose if guess.spec.role == "image"]:
            why = f"{guess.why}, such as {guess.sample}"
            yield f"  image_predicate: {_quoted(guess.label)}  # {why}"
            loose.remove(guess)
    if side.images is not None:
        yield f"  images: {_quoted(_relative(side.images, folder))}  # files are named by ids"
    yield from _columns(loose, "  ")


def _relative(path: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive
        return path.resolve().as_posix()


def pair_text(draft: PairDraft, folder: Path) -> str:
    """The text of a ``pair.yaml`` that lies in a folder."""
    lines = [_HEADER]
    for name, side in zip(SIDES, draft.sides, strict=True):
        lines += [*_side(name, side, folder), ""]
    if draft.links is None:
        return "\n".join(lines) + _NO_LINKS
    lines.append("links:")
    key = "folder" if draft.links.kind == "folder" else "file"
    lines.append(f"  {key}: {_quoted(_relative(draft.links.path, folder))}")
    lines += [f"  {name}: {_quoted(value)}" for name, value in draft.links.options.items()]
    return "\n".join(lines) + "\n"
