"""One graph of the tables that a ``pair.yaml`` names."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from pyg_mmea.data.findings import Findings
from pyg_mmea.data.layout import IMAGE_SUFFIXES, FolderPair
from pyg_mmea.data.pairfile import ColumnSpec, PairFile, SideSpec, TableSpec
from pyg_mmea.data.rdf import read_rdf
from pyg_mmea.data.tablefile import TableFile, read_table
from pyg_mmea.data.tables import GraphTables
from pyg_mmea.data.values import parse_dates, parse_numbers

_URL = ("http://", "https://", "ftp://", "data:")


@dataclass
class Cells:
    """What a column, or an attribute of a table of values, says of entities; no cell is empty."""

    spec: ColumnSpec
    entity: np.ndarray
    text: list[str]
    path: Path
    line: list[int]


@dataclass
class Side:
    """A graph in the making.

    Args:
        graph (GraphTables): The graph, without features.
        numbers (dict[str, ndarray]): Numbers and dates by common name :math:`(N)`, NaN where there
            is none.
        dimension (dict[str, str]): What the numbers measure.
        scale (dict[str, str]): How the numbers are to be scaled.
        texts (dict[str, list[str]]): Texts by common name, one an entity.
        image_place (dict[int, tuple[Path, int]]): Where the picture of an entity is named.
        num_rows (int): Entities that are no values of a category.
    """

    graph: GraphTables
    numbers: dict[str, np.ndarray] = field(default_factory=dict)
    dimension: dict[str, str] = field(default_factory=dict)
    scale: dict[str, str] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    image_place: dict[int, tuple[Path, int]] = field(default_factory=dict)
    num_rows: int = 0


class _Builder:
    def __init__(self, pair: PairFile, findings: Findings) -> None:
        self.pair = pair
        self.findings = findings
        self.number: dict[str, int] = {}  # URI to local id
        self.names: dict[int, str] = {}
        self.images: dict[int, str] = {}
        self.image_place: dict[int, tuple[Path, int]] = {}
        self.relations: dict[str, int] = {}
        self.triples: list[np.ndarray] = []
        self.attributes: dict[str, int] = {}
        self.values: list[tuple[np.ndarray, list[str]]] = []  # rows of entity and attribute; texts
        self.mentions: list[np.ndarray] = []  # attributes without a value
        self.numbers: list[tuple[ColumnSpec, np.ndarray, np.ndarray]] = []
        self.dimension: dict[str, str] = {}
        self.texts: list[tuple[str, np.ndarray, list[str]]] = []
        self.num_rows = 0

    def node(self, uri: str, name: str = "") -> int:
        """The entity of a URI, which is made if it is new."""
        entity = self.number.setdefault(uri, len(self.number))
        if name:
            self.names.setdefault(entity, name)
        return entity

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
            for name, column in spec.columns.items():
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

    # Cells of any table -------------------------------------------------------------------------

    def add(self, cells: Cells, tables: list[TableSpec]) -> None:
        """Takes in what a column says, by its role."""
        role = cells.spec.role
        if role in ("number", "date"):
            self._add_numbers(cells)
        elif role == "text":
            self.texts.append((cells.spec.name, cells.entity, cells.text))
        elif role == "name":
            for entity, text in zip(cells.entity.tolist(), cells.text, strict=True):
                self.names.setdefault(entity, text)
        elif role == "image":
            self._add_images(cells)
        elif role in ("category", "reference"):
            self._add_relation(cells, tables)
        if role in ("number", "date", "text", "attribute"):
            attribute = self.attributes.setdefault(cells.spec.name, len(self.attributes))
            rows = np.stack([cells.entity, np.full_like(cells.entity, attribute)], axis=1)
            self.values.append((rows, cells.text))

    def _add_numbers(self, cells: Cells) -> None:
        spec = cells.spec
        if spec.role == "date":
            parsed = parse_dates(cells.text, spec.format)
        else:
            parsed = parse_numbers(cells.text, spec.unit, spec.decimal)
        known = self.dimension.setdefault(spec.name, parsed.dimension)
        if known != parsed.dimension and cells.text:
            text = (
                f"'{spec.name}' is {parsed.dimension or 'without a unit'} here and {known} before"
            )
            self.findings.error("unit", text, cells.path)
        kind = f"no {spec.role}"
        places = ((cells.line[i], f"{spec.name}: {text}") for i, text in parsed.problem.items())
        self.findings.warnings(kind, cells.path, places)
        self.numbers.append((spec, cells.entity, parsed.value))

    def _add_images(self, cells: Cells) -> None:
        folder = self.pair.find(cells.spec.folder) if cells.spec.folder else cells.path.parent
        for entity, text, line in zip(cells.entity.tolist(), cells.text, cells.line, strict=True):
            if text.lower().startswith(_URL):
                rule = f"'{text}' is not on this machine; pictures are not fetched"
                self.findings.warning("picture is a URL", rule, cells.path, line)
            elif entity not in self.images:
                self.images[entity] = str(folder / text)
                self.image_place[entity] = (cells.path, line)

    def _add_relation(self, cells: Cells, tables: list[TableSpec]) -> None:
        spec = cells.spec
        prefix = next((table.prefix for table in tables if spec.to in ("", table.title)), "")
        heads, tails = [], []
        for entity, text, line in zip(cells.entity.tolist(), cells.text, cells.line, strict=True):
            for item in text.split(spec.separator) if spec.separator else [text]:
                value = item.strip()
                if not value:
                    continue
                if spec.role == "category":
                    tail = self.node(f"{spec.to or spec.name}={value}", value)
                else:
                    tail = self.number.get(prefix + value, -1)
                if tail < 0:
                    rule = f"{spec.name}: there is no id '{prefix + value}'"
                    self.findings.warning("dangling reference", rule, cells.path, line)
                elif tail != entity or spec.role == "category":
                    heads.append(entity)
                    tails.append(tail)
        self.relate(spec.name, heads, tails)

    def relate(self, relation: str, heads: list[int], tails: list[int]) -> None:
        number = self.relations.setdefault(relation, len(self.relations))
        rows = np.array([heads, [number] * len(heads), tails], dtype=np.int64).T
        self.triples.append(rows)

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
        for file in sorted(folder.iterdir()):
            if file.suffix.lower() not in IMAGE_SUFFIXES or file.name.startswith("."):
                continue
            entity = self.number.get(file.stem)
            if entity is None:
                rule = f"there is no id '{file.stem}'"
                self.findings.warning("picture of unknown id", rule, file)
            else:
                self.images.setdefault(entity, str(file))

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
        kept = [self.attributes.setdefault(spec.name, len(self.attributes)) for spec in specs]
        kept = [-1 if spec.role == "ignore" else i for spec, i in zip(specs, kept, strict=True)]
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
            self.add(Cells(spec, entity[chosen], texts, path, [0] * len(texts)), side.tables)

    # The result ---------------------------------------------------------------------------------

    def finish(self) -> Side:
        size = len(self.number)
        rows = [rows for rows, _ in self.values]
        values = torch.from_numpy(np.concatenate([np.zeros((0, 2), dtype=np.int64), *rows]))
        mentions = torch.from_numpy(
            np.concatenate([np.zeros((0, 2), dtype=np.int64), *self.mentions])
        )
        triples = np.concatenate([np.zeros((0, 3), dtype=np.int64), *self.triples])
        graph = GraphTables(
            uri=list(self.number),
            triples=torch.from_numpy(triples),
            relation_uri=list(self.relations),
            attributes=mentions if self.mentions else values,
            attribute_uri=list(self.attributes),
            attribute_triples=values,
            attribute_value=[text for _, texts in self.values for text in texts],
        )
        if self.names:
            graph.name = [self.names.get(i, "") for i in range(size)]
        if self.images:
            graph.image_path = [self.images.get(i) for i in range(size)]
        out = Side(graph, dimension=self.dimension, image_place=self.image_place)
        out.num_rows = self.num_rows or size
        for spec, entity, value in self.numbers:
            column = out.numbers.setdefault(spec.name, np.full(size, np.nan))
            free = np.isnan(column[entity])  # the first value of an entity counts
            column[entity[free][::-1]] = value[free][::-1]
            out.scale[spec.name] = spec.scale
        for name, entity, texts in self.texts:
            cells = out.texts.setdefault(name, [""] * size)
            for i, text in zip(entity.tolist(), texts, strict=True):
                cells[i] = cells[i] or text
        return out


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
    builder = _Builder(pair, findings)
    if folder_pair is not None:
        graph = (folder_pair.source, folder_pair.target)[which]
        builder.add_graph(graph, side, pair.find(side.folder))
    elif side.rdf:
        path = pair.find(side.rdf)
        graph = read_rdf(path, ("source", "target")[which], side.image_predicate or None)
        builder.add_graph(graph, side, path)
    else:
        builder.add_tables(side.tables)
        builder.add_triples(side)
        builder.add_values(side)
    if side.images:
        builder.add_image_folder(side)
    return builder.finish()


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
    for side in (pair.source, pair.target):
        folder = pair.find(side.images)
        if side.images and folder.is_dir():
            yield from folder.iterdir()
        for table in side.tables:
            column = table.having("image")
            if column is None:
                continue
            path = pair.find(table.file)
            found = read_table(path, Findings(), table.delimiter or None, table.encoding)
            start = table.columns[column].folder
            base = pair.find(start) if start else path.parent
            for text in found.columns.get(column, []) if found is not None else []:
                if text.strip():
                    yield base / text.strip()
