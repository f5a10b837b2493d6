"""Looks into the files of two sides and drafts the ``pair.yaml`` that describes them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher, get_close_matches
from pathlib import Path

import numpy as np

from pyg_mmea.data.findings import Findings
from pyg_mmea.data.graphguess import attribute_columns, graph_columns
from pyg_mmea.data.guess import Guess, find_id, guess_column, nearly_id
from pyg_mmea.data.guess_pair import match_columns
from pyg_mmea.data.layout import read_folder
from pyg_mmea.data.layoutfiles import picture_files
from pyg_mmea.data.linktable import NO_HEADER, is_link
from pyg_mmea.data.pairspec import ColumnSpec
from pyg_mmea.data.rdf import RDF_SUFFIXES, read_rdf, shared_language
from pyg_mmea.data.tablefile import SUFFIXES, TEXT_SUFFIXES, TableFile, read_table, sniff
from pyg_mmea.errors import DataError
from pyg_mmea.typing import SIDES
from pyg_mmea.utils.progress import track

_HEAD = ("head", "subject", "from", "source", "entity")
_RELATION = ("relation", "predicate", "property", "rel")
_TAIL = ("tail", "object", "to", "target")
_ENTITY = ("entity", "subject", "head", "id", "uri")
_ATTRIBUTE = ("attribute", "property", "predicate", "key", "attr")
_VALUE = ("value", "literal")
_MAX_COMPARED = 5_000  # ids that a cell is compared with, for a message


@dataclass
class FileDraft:
    """A file of a side.

    Args:
        path (Path): The file, or the folder in the layout of EVA.
        kind (str): :obj:`"table"`, :obj:`"triples"`, :obj:`"attributes"`, :obj:`"rdf"` or
            :obj:`"folder"`.
        options (dict[str, str]): Encoding, delimiter, names of columns.
        columns (list[Guess]): What the columns seem to be.
        id_column (str): Of a table, the column of the ids.
        why (str): Why it is that.
    """

    path: Path
    kind: str
    options: dict[str, str] = field(default_factory=dict)
    columns: list[Guess] = field(default_factory=list)
    id_column: str = ""
    why: str = ""


@dataclass
class SideDraft:
    """A side: its files, its folder of pictures, and of RDF the languages of its labels and the one
    to take."""

    files: list[FileDraft]
    images: Path | None = None
    languages: dict[str, int] = field(default_factory=dict)
    language: str = ""
    ids: dict[str, set[str]] = field(default_factory=dict)

    @property
    def columns(self) -> list[Guess]:
        return [guess for file in self.files for guess in file.columns]

    @property
    def num_images(self) -> int:
        """Ids that a picture of the folder has for its name."""
        known = set().union(*self.ids.values())
        return (
            0 if self.images is None else len({f.stem for f in picture_files(self.images)} & known)
        )


@dataclass
class PairDraft:
    """Everything that is guessed.

    Args:
        sides (tuple[SideDraft, SideDraft]): Both graphs.
        links (FileDraft, optional): The known links.
    """

    sides: tuple[SideDraft, SideDraft]
    links: FileDraft | None


def draft_pair(
    source: Sequence[Path],
    target: Sequence[Path],
    links: Path | None = None,
    images: tuple[Path | None, Path | None] = (None, None),
) -> PairDraft:
    """Looks into files and guesses how they make up a pair.

    A side is one or more tables (CSV, TSV or Parquet: a row an entity, or triples, or values of
    attributes), an RDF file, or a folder in the layout of EVA, which both sides then name.

    Args:
        source (Sequence[Path]): Files of the source graph.
        target (Sequence[Path]): Files of the target graph.
        links (Path, optional): Known links. (default: :obj:`None`)
        images (tuple[Path or None, Path or None]): Folders of pictures that are named by ids.

    Raises:
        DataError: If a file is broken, or has no column that can be the ids.
    """
    sides = [
        _draft_side(files, which, folder)
        for which, (files, folder) in enumerate(zip((source, target), images, strict=True))
    ]
    match_columns(sides[0].columns, sides[1].columns)
    _choose_language(sides[0], sides[1])
    both = (sides[0], sides[1])
    return PairDraft(both, None if links is None else _draft_links(links, both))


def _choose_language(source: SideDraft, target: SideDraft) -> None:
    """Takes the language that most entities of both sides have a label in."""
    if max(len(source.languages), len(target.languages)) > 1:
        chosen = shared_language(source.languages, target.languages)
        source.language = target.language = chosen or ""


def _draft_side(files: Sequence[Path], which: int, images: Path | None) -> SideDraft:
    side = SideDraft([], images)
    tables: list[tuple[FileDraft, TableFile]] = []
    for path in files:
        if path.is_dir() or path.suffix.lower() not in SUFFIXES:
            if len(files) > 1:
                raise DataError("a folder or RDF file needs to be all that a side has", path)
            return _draft_graph(side, path, which)
        draft, table = _open(path)
        side.files.append(draft)
        if draft.kind == "table":
            found = find_id(table.columns)
            if found is None:
                text = "no column can be the ids: each is empty somewhere, or has a value twice"
                raise DataError(f"{text}; {nearly_id(table)}", path)
            draft.id_column, draft.why = found
            side.ids[path.stem] = {text.strip() for text in table.columns[found[0]]} - {""}
        tables.append((draft, table))
    for draft, table in tables:
        if draft.kind == "table":
            draft.columns = list(_table_columns(draft, table, side))
        elif draft.kind == "attributes":
            attributes, values = (table.columns[draft.options[k]] for k in ("attribute", "value"))
            draft.columns = attribute_columns(attributes, values, side.ids)
    _one_of_each(side)
    return side


def _open(path: Path) -> tuple[FileDraft, TableFile]:
    options: dict[str, str] = {}
    if path.suffix.lower() in TEXT_SUFFIXES:
        options["encoding"], options["delimiter"] = sniff(path)
    findings = Findings()  # a guess does without the rows that are broken
    table = read_table(path, findings, options.get("delimiter"), options.get("encoding", "utf-8"))
    if table is None:
        raise next(iter(findings.rules.values())).examples[0]
    for kind, keys in (
        ("triples", {"head": _HEAD, "relation": _RELATION, "tail": _TAIL}),
        ("attributes", {"entity": _ENTITY, "attribute": _ATTRIBUTE, "value": _VALUE}),
    ):
        found = {key: _named(table.columns, names) for key, names in keys.items()}
        if all(found.values()) and len(table.columns) == 3:
            named = {key: name for key, name in found.items() if name}
            return FileDraft(path, kind, {**options, **named}), table
    if not any(table.columns.values()):
        raise DataError("holds no row, only names of columns", path)
    return FileDraft(path, "table", options), table


def _named(columns: Mapping[str, object], names: Sequence[str]) -> str | None:
    return next((column for column in columns if column.strip().lower() in names), None)


def _table_columns(draft: FileDraft, table: TableFile, side: SideDraft) -> Iterator[Guess]:
    columns = track(table.columns.items(), f"Looking at {draft.path.name}", unit="columns")
    for name, texts in columns:
        if name == draft.id_column:
            yield Guess(name, ColumnSpec("id", name), draft.why, texts[0], [])
        else:
            yield guess_column(name, texts, side.ids, side.images is not None)


def _one_of_each(side: SideDraft) -> None:
    """A table has one name and one picture: of several columns the first counts."""
    for file in side.files:
        texts = [guess for guess in file.columns if guess.spec.role == "text"]
        names = [guess for guess in file.columns if guess.spec.role == "name"]
        if file.kind == "table" and not names and texts:
            short = min(texts, key=lambda guess: np.mean([len(text) for text in guess.values]))
            short.spec = ColumnSpec("name", short.label)
            short.why += "; the shortest of its sort, so the name"
        for role, instead in (("name", "text"), ("image", "ignore")):
            for guess in [guess for guess in file.columns if guess.spec.role == role][1:]:
                guess.spec = ColumnSpec(instead, guess.label)  # type: ignore[arg-type]
                guess.why += f"; another one is the {role}"


def _draft_graph(side: SideDraft, path: Path, which: int) -> SideDraft:
    if path.is_dir():
        pair = read_folder(path)
        draft, graph = FileDraft(path, "folder"), (pair.source, pair.target)[which]
    else:
        _check_suffix(path)
        draft, graph = FileDraft(path, "rdf"), read_rdf(path, SIDES[which], None)
    side.files.append(draft)
    side.ids[path.stem] = set(graph.uri)
    side.languages = graph.languages
    draft.columns = graph_columns(graph, draft.kind == "rdf" and side.images is None)
    return side


def _check_suffix(path: Path) -> None:
    if path.is_file() and path.suffix.lower() not in RDF_SUFFIXES:
        tables, graphs = (", ".join(suffixes) for suffixes in (SUFFIXES, RDF_SUFFIXES))
        raise DataError(f"a table needs to end in {tables}, RDF in {graphs}", path)


def _draft_links(path: Path, sides: tuple[SideDraft, SideDraft]) -> FileDraft:
    if path.is_dir():
        return FileDraft(path, "folder")
    if path.suffix.lower() not in SUFFIXES:
        _check_suffix(path)
        return FileDraft(path, "rdf")
    draft, table = _open(path)
    known = (set().union(*sides[0].ids.values()), set().union(*sides[1].ids.values()))
    if is_link(list(table.columns), known):
        raise DataError(NO_HEADER, path, 1)
    draft.kind = "links"
    kept = ("encoding", "delimiter")
    options = {key: value for key, value in draft.options.items() if key in kept}
    rest = dict(table.columns)
    for name, side, ids in zip(SIDES, sides, known, strict=True):
        shares = {
            column: np.mean([text.strip() in ids for text in texts]) if texts else 0.0
            for column, texts in rest.items()
        }
        preferred = max(shares, key=lambda column: (shares[column], column == name), default=None)
        if preferred is None or (shares[preferred] == 0 and side.ids):
            text = f"no column holds ids of the {name}{_alike(rest, ids)}"
            raise DataError(text, path)
        options[name] = preferred
        del rest[preferred]
    split = next((name for name, texts in rest.items() if {*texts} == {"train", "test"}), None)
    draft.options = {**options, **({"split": split} if split else {})}
    return draft


def _alike(columns: Mapping[str, Sequence[str]], ids: Collection[str]) -> str:
    """The first cell of a column beside the id that it resembles most, of all columns."""
    best = (-1.0, "", "")
    for texts in columns.values():
        cell = next((text.strip() for text in texts if text.strip()), "")
        for uri in get_close_matches(cell, sorted(ids)[:_MAX_COMPARED], 1, 0.0) if cell else ():
            best = max(best, (SequenceMatcher(None, uri, cell).ratio(), cell, uri))
    return f"; nearest are the cell '{best[1]}' and the id '{best[2]}'" if best[1] else ""
