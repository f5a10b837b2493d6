"""A graph in the making, from cells and what their columns are."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from pyg_mmea.data.findings import Findings
from pyg_mmea.data.pairspec import ATTRIBUTE_ROLES, ColumnSpec, PairFile, TableSpec
from pyg_mmea.data.tables import GraphTables
from pyg_mmea.data.values import other_order, parse_dates, parse_numbers, unsure_mark, unsure_order
from pyg_mmea.errors import DataError
from pyg_mmea.utils.io import inside

_URL = ("http://", "https://", "ftp://", "data:")


@dataclass
class Cells:
    """What a column, or an attribute of a table of values, says of entities; no cell is empty."""

    spec: ColumnSpec
    entity: np.ndarray
    text: list[str]
    path: Path
    line: list[int] | list[None]


@dataclass
class DateDoubt:
    """A column of dates that may have day and month the other way round.

    Args:
        name (str): Common name of the column.
        problem (DataError): What is to be said, with the place.
        taken (ndarray): The dates as they are read.
        other (ndarray): The dates in the other order.
    """

    name: str
    problem: DataError
    taken: np.ndarray
    other: np.ndarray


@dataclass
class Side:
    """A graph in the making.

    Args:
        graph (GraphTables): The graph, without features.
        numbers (dict[str, ndarray]): Numbers and dates by common name :math:`(N)`, NaN where there
            is none.
        dimension (dict[str, str]): What the numbers measure, where there are any.
        scale (dict[str, str]): How the numbers are to be scaled.
        texts (dict[str, list[str]]): Texts by common name, one an entity.
        image_place (dict[int, tuple[Path, int]]): Where the picture of an entity is named.
        num_rows (int): Entities that are no values of a category.
        doubts (list[DateDoubt]): Dates whose order no cell tells.
    """

    graph: GraphTables
    numbers: dict[str, np.ndarray] = field(default_factory=dict)
    dimension: dict[str, str] = field(default_factory=dict)
    scale: dict[str, str] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    image_place: dict[int, tuple[Path, int | None]] = field(default_factory=dict)
    num_rows: int = 0
    doubts: list[DateDoubt] = field(default_factory=list)

    @property
    def num_images(self) -> int:
        """Entities with a picture."""
        return sum(path is not None for path in self.graph.image_path or [])


class SideBuilder:
    """Collects entities, relations, attributes, numbers and texts of one graph.

    Args:
        pair (PairFile): The file that describes the tables.
        findings (Findings): Takes what is wrong.
    """

    def __init__(self, pair: PairFile, findings: Findings) -> None:
        self.pair = pair
        self.findings = findings
        self.number: dict[str, int] = {}  # URI to local id
        self.names: dict[int, str] = {}
        self.images: dict[int, str] = {}
        self.image_place: dict[int, tuple[Path, int | None]] = {}
        self.relations: dict[str, int] = {}
        self.triples: list[np.ndarray] = []
        self.attributes: dict[str, int] = {}
        self.values: list[tuple[np.ndarray, list[str]]] = []  # rows of entity and attribute; texts
        self.mentions: list[np.ndarray] = []  # attributes without a value
        self.numbers: list[tuple[ColumnSpec, np.ndarray, np.ndarray]] = []
        self.dimension: dict[str, str] = {}
        self.doubts: list[DateDoubt] = []
        self.texts: list[tuple[str, np.ndarray, list[str]]] = []
        self.num_rows = 0
        self.seen: set[str] = set()  # attributes that tables of values, or graphs, have

    def node(self, uri: str, name: str = "") -> int:
        """The entity of a URI, which is made if it is new."""
        entity = self.number.setdefault(uri, len(self.number))
        if name:
            self.names.setdefault(entity, name)
        return entity

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
        if role in ATTRIBUTE_ROLES:
            attribute = self.attributes.setdefault(cells.spec.name, len(self.attributes))
            rows = np.stack([cells.entity, np.full_like(cells.entity, attribute)], axis=1)
            self.values.append((rows, cells.text))

    def _add_numbers(self, cells: Cells) -> None:
        spec = cells.spec
        if spec.role == "date":
            parsed = parse_dates(cells.text, spec.format)
            self._doubt(cells, parsed.value)
        else:
            parsed = parse_numbers(cells.text, spec.unit, spec.decimal or ".")
            unsure = None if spec.decimal else unsure_mark(cells.text)
            if unsure is not None:
                text = f"{spec.name}: {unsure[1]}"
                self.findings.warning("decimal mark", text, cells.path, cells.line[unsure[0]])
        if not np.isnan(parsed.value).all():  # a column without a number measures nothing
            known = self.dimension.setdefault(spec.name, parsed.dimension)
            if known != parsed.dimension:
                here, before = (each or "without a unit" for each in (parsed.dimension, known))
                text = f"'{spec.name}' is {here} here and {before} before"
                self.findings.error("unit", text, cells.path)
        kind = f"no {spec.role}"
        places = ((cells.line[i], f"{spec.name}: {text}") for i, text in parsed.problem.items())
        self.findings.warnings(kind, cells.path, places)
        self.numbers.append((spec, cells.entity, parsed.value))

    def _doubt(self, cells: Cells, taken: np.ndarray) -> None:
        unsure = unsure_order(cells.text, cells.spec.format)
        if unsure is not None:
            name, swapped = cells.spec.name, other_order(cells.spec.format)
            problem = DataError(f"{name}: {unsure[1]}", cells.path, cells.line[unsure[0]])
            other = parse_dates(cells.text, swapped or "").value
            self.doubts.append(DateDoubt(name, problem, taken, other))

    def _add_images(self, cells: Cells) -> None:
        folder = self.pair.find(cells.spec.folder) if cells.spec.folder else cells.path.parent
        for entity, text, line in zip(cells.entity.tolist(), cells.text, cells.line, strict=True):
            if text.lower().startswith(_URL):
                rule = f"'{text}' is not on this machine; pictures are not fetched"
                self.findings.warning("picture is a URL", rule, cells.path, line)
            elif inside(folder, text) is None:
                rule = f"'{text}' is outside of '{folder}'; 'folder' of the column allows another"
                self.findings.warning("picture elsewhere", rule, cells.path, line)
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
        out = Side(
            graph, dimension=self.dimension, image_place=self.image_place, doubts=self.doubts
        )
        out.num_rows = self.num_rows or size
        for spec, entity, value in self.numbers:
            column = out.numbers.setdefault(spec.name, np.full(size, np.nan))
            free = np.isnan(column[entity]) & ~np.isnan(value)  # the first number counts
            column[entity[free][::-1]] = value[free][::-1]
            out.scale[spec.name] = spec.scale
        for name, entity, texts in self.texts:
            cells = out.texts.setdefault(name, [""] * size)
            for i, text in zip(entity.tolist(), texts, strict=True):
                cells[i] = cells[i] or text
        return out
