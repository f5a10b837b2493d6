"""One graph of the tables that a ``pair.yaml`` names."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pyg_mmea.data.findings import Findings
from pyg_mmea.data.layout import FolderPair
from pyg_mmea.data.layoutfiles import picture_files
from pyg_mmea.data.pairspec import (
    ATTRIBUTE_ROLES,
    ColumnSpec,
    PairFile,
    SideSpec,
    TableSpec,
    ValueSpec,
)
from pyg_mmea.data.rdf import is_language, read_rdf
from pyg_mmea.data.sidebuilder import Cells, Side, SideBuilder
from pyg_mmea.data.tablefile import TableFile, read_table
from pyg_mmea.data.tables import GraphTables
from pyg_mmea.typing import SIDES
from pyg_mmea.utils.progress import track


class _SideReader(SideBuilder):
    """Fills the graph from files."""

    def read(self, table_file: str, encoding: str, delimiter: str) -> TableFile | None:
        path = self.pair.find(table_file)
        table = read_table(path, self.findings, delimiter or None, encoding)
        if table is not None and table.num_rows == 0:
            self.findings.error("empty table", "holds no row", path)
        return table

    def column(self, table: TableFile, name: str) -> list[str] | None:
        if name in table.columns:
            return table.columns[name]
        known = ", ".join(table.columns)
        text = f"there is no column '{name}' (columns: {known})"
        self.findings.error("column missing", text, table.path)
        return None

    # Tables of entities -------------------------------------------------------------------------

    def add_tables(self, specs: list[TableSpec]) -> None:
        opened = []
        for spec in specs:  # ids of all of them first, since references may point anywhere
            table = self.read(spec.file, spec.encoding, spec.delimiter)
            if table is not None:
                opened.append((spec, table, self._ids(spec, table)))
        self.num_rows = len(self.number)
        for spec, table, entity in opened:
            what = f"Reading {table.path.name}"
            for name, column in track(spec.columns.items(), what, unit="columns"):
                if column.role in ("id", "ignore"):
                    continue
                texts = self.column(table, name)
                if texts is None:
                    continue
                rows = [i for i, text in enumerate(texts) if text.strip() and entity[i] >= 0]
                if not rows:
                    self.findings.warning("empty column", f"column '{name}' is empty", table.path)
                places = [table.place(i) for i in rows]
                cells = [texts[i].strip() for i in rows]
                self.add(Cells(column, entity[rows], cells, table.path, places), specs)

    def _ids(self, spec: TableSpec, table: TableFile) -> np.ndarray:
        """Local id of each row, -1 where it has none."""
        name = spec.having("id") or ""
        entity = np.full(table.num_rows, -1, dtype=np.int64)
        for row, text in enumerate(self.column(table, name) or []):
            uri = spec.prefix + text.strip()
            if not text.strip():
                rule = f"column '{name}' is empty"
                self.findings.error("id empty", rule, table.path, table.place(row))
            elif uri in self.number:
                rule = f"id '{uri}' is there twice"
                self.findings.error("id twice", rule, table.path, table.place(row))
            else:
                entity[row] = self.node(uri)
        return entity

    # Tables of triples and values, folders of pictures ------------------------------------------

    def add_triples(self, side: SideSpec) -> None:
        for spec in side.triples:
            table = self.read(spec.file, spec.encoding, spec.delimiter)
            if table is None:
                continue
            columns = [self.column(table, name) for name in (spec.head, spec.relation, spec.tail)]
            by_relation: dict[str, tuple[list[int], list[int]]] = {}
            for row, cells in enumerate(zip(*(column or [] for column in columns), strict=False)):
                head, relation, tail = (cell.strip() for cell in cells)
                if not (head and relation and tail):
                    rule = "a triple needs head, relation and tail"
                    self.findings.error("triple incomplete", rule, table.path, table.place(row))
                    continue
                ends = by_relation.setdefault(relation, ([], []))
                for end, uri in zip(ends, (head, tail), strict=True):
                    end.append(self.node(uri))
            for relation, (heads, tails) in by_relation.items():
                self.relate(relation, heads, tails)

    def add_values(self, side: SideSpec) -> None:
        for spec in side.attributes:
            table = self.read(spec.file, spec.encoding, spec.delimiter)
            if table is None:
                continue
            names = (spec.entity, spec.attribute, spec.value)
            columns = [self.column(table, name) for name in names]
            rows: dict[str, list[int]] = {}
            for row, cells in enumerate(zip(*(column or [] for column in columns), strict=False)):
                if not (cells[0].strip() and cells[1].strip()):
                    rule = "a value needs an entity and an attribute"
                    self.findings.error("value incomplete", rule, table.path, table.place(row))
                elif cells[2].strip():
                    rows.setdefault(cells[1].strip(), []).append(row)
            self.seen |= set(rows)
            for attribute, chosen in rows.items():
                entity = np.array([self.node(columns[0][i].strip()) for i in chosen])  # type: ignore[index]
                texts = [columns[2][i].strip() for i in chosen]  # type: ignore[index]
                column = side.columns.get(attribute, ColumnSpec("attribute", attribute))
                places = [table.place(i) for i in chosen]
                self.add(Cells(column, entity, texts, table.path, places), side.tables)

    def add_image_folder(self, side: SideSpec) -> None:
        folder = self.pair.find(side.images)
        if not folder.is_dir():
            self.findings.error("folder missing", "folder is missing", folder)
            return
        found = False
        for file in picture_files(folder):
            entity = self.number.get(file.stem)
            if entity is None:
                rule = f"there is no id '{file.stem}'"
                self.findings.warning("picture of unknown id", rule, file)
            else:
                self.images.setdefault(entity, str(file))
                found = True
        if not found:
            rule = "no picture in it is named by an id; folders inside of it do not count"
            self.findings.warning("no picture", rule, folder)

    # Graphs that are there already --------------------------------------------------------------

    def add_graph(self, graph: GraphTables, side: SideSpec, path: Path) -> None:
        for i, uri in enumerate(graph.uri):
            self.node(uri, graph.name[i] if graph.name else "")
        for entity, image in enumerate(graph.image_path or []):
            if image is not None:
                self.images[entity] = image
        self.num_rows = len(self.number)
        self.relations = {uri: i for i, uri in enumerate(graph.relation_uri)}
        self.triples.append(graph.triples.numpy())
        specs = [side.columns.get(uri, ColumnSpec("attribute", uri)) for uri in graph.attribute_uri]
        kept = [
            self.attributes.setdefault(spec.name, len(self.attributes))
            if spec.role in ATTRIBUTE_ROLES
            else -1
            for spec in specs
        ]
        self.seen |= set(graph.attribute_uri)
        rows, number = graph.attributes.numpy().copy(), np.array(kept, dtype=np.int64)
        if len(rows):
            rows[:, 1] = number[rows[:, 1]]
        self.mentions.append(rows[rows[:, 1] >= 0])
        entity, attribute = graph.attribute_triples.numpy().T
        for i, spec in enumerate(specs):
            chosen = np.flatnonzero(attribute == i)
            if spec.role == "ignore" or len(chosen) == 0:
                continue
            texts = [graph.attribute_value[row] for row in chosen.tolist()]
            self.add(Cells(spec, entity[chosen], texts, path, [None] * len(texts)), side.tables)


def read_side(
    pair: PairFile, side: SideSpec, findings: Findings, folder_pair: FolderPair | None, which: int
) -> Side:
    """Reads one graph.

    Args:
        pair (PairFile): What the file says.
        side (SideSpec): What it says of this side.
        findings (Findings): Takes what is wrong.
        folder_pair (FolderPair, optional): What the folder holds, if the side is one.
        which (int): 0 for the source graph, 1 for the target graph.

    Raises:
        DataError: If something is wrong and :obj:`findings` are strict, or an RDF file cannot be
            read.
    """
    builder = _SideReader(pair, findings)
    if folder_pair is not None:
        graph = (folder_pair.source, folder_pair.target)[which]
        builder.add_graph(graph, side, pair.find(side.folder))
    elif side.rdf:
        path = pair.find(side.rdf)
        graph = read_rdf(path, SIDES[which], side.image_predicate or None, side.language or None)
        _note_languages(graph, side, path, findings)
        if side.image_predicate and not any(graph.image_path or []):
            text = f"no picture is named by '{side.image_predicate}'"
            findings.warning("no picture", text, path)
        builder.add_graph(graph, side, path)
    else:
        builder.add_tables(side.tables)
        builder.add_triples(side)
        builder.add_values(side)
    if side.images:
        builder.add_image_folder(side)
    for name, column in side.columns.items():
        if name not in builder.seen:
            findings.error("column missing", f"no attribute is '{name}'", pair.path, column.line)
    return builder.finish()


def _note_languages(graph: GraphTables, side: SideSpec, path: Path, findings: Findings) -> None:
    """Says which labels are taken, where they are in several languages."""
    found = ", ".join(f"{name} ({count:,})" for name, count in graph.languages.items())
    if side.language and not any(is_language(name, side.language) for name in graph.languages):
        text = f"no label is in '{side.language}', the 'language' to take (there are: {found})"
        findings.warning("language", text, path)
    elif not side.language and len(graph.languages) > 1:
        text = f"labels are in several languages, of which 'language' takes one: {found}"
        findings.warning("language", text, path)


def table_files(pair: PairFile) -> Iterator[Path]:
    """The tables and RDF files that a pair is read from."""
    for side in (pair.source, pair.target):
        yield from (pair.find(table.file) for table in side.tables)
        yield from (pair.find(table.file) for table in side.triples)
        yield from (pair.find(table.file) for table in side.attributes)
        if side.rdf:
            yield pair.find(side.rdf)
    if pair.links.file:
        yield pair.find(pair.links.file)


def image_files(pair: PairFile) -> Iterator[Path]:
    """The pictures that a pair names, whether they are there or not."""
    for name, side in zip(SIDES, (pair.source, pair.target), strict=True):
        folder = pair.find(side.images)
        if side.images and folder.is_dir():
            yield from folder.iterdir()
        if side.rdf and side.image_predicate and pair.find(side.rdf).is_file():
            graph = read_rdf(pair.find(side.rdf), name, side.image_predicate)
            yield from (Path(path) for path in graph.image_path or [] if path is not None)
        for table in side.tables:
            column = table.having("image")
            if column is None:
                continue
            texts = _cells(pair, table, column)[0]
            yield from _pictures(pair, table, table.columns[column], texts)
        for label, spec in side.columns.items():
            for values in side.attributes if spec.role == "image" else []:
                rows = zip(*_cells(pair, values, values.attribute, values.value), strict=True)
                texts = [text for attribute, text in rows if attribute.strip() == label]
                yield from _pictures(pair, values, spec, texts)


def _cells(pair: PairFile, spec: TableSpec | ValueSpec, *names: str) -> list[list[str]]:
    """Columns of a table, empty if one is missing."""
    table = read_table(pair.find(spec.file), Findings(), spec.delimiter or None, spec.encoding)
    if table is None or not set(names) <= table.columns.keys():
        return [[] for _ in names]
    return [table.columns[name] for name in names]


def _pictures(
    pair: PairFile, table: TableSpec | ValueSpec, spec: ColumnSpec, texts: list[str]
) -> Iterator[Path]:
    base = pair.find(spec.folder) if spec.folder else pair.find(table.file).parent
    yield from (base / text.strip() for text in texts if text.strip())
