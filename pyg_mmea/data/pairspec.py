"""What a ``pair.yaml`` says: tables, columns, links."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Role = Literal[
    "id", "name", "image", "text", "number", "date", "category", "reference", "attribute", "ignore"
]
# Roles whose cells are attributes of the entity.
ATTRIBUTE_ROLES = ("text", "number", "date", "attribute")


@dataclass(frozen=True)
class ColumnSpec:
    """What a column is.

    Args:
        role (str): :obj:`"id"`, :obj:`"name"`, :obj:`"image"`, :obj:`"text"`, :obj:`"number"`,
            :obj:`"date"`, :obj:`"category"`, :obj:`"reference"`, :obj:`"attribute"` or
            :obj:`"ignore"`.
        name (str): The common name: columns of both sides with the same one say the same. In the
            file it is :obj:`as`, by default the name of the column.
        unit (str): Unit of numbers that bear none.
        decimal (str): Decimal mark of numbers, empty where the file does not say: a full stop.
        format (str): Format of dates.
        scale (str): :obj:`"joint"` or :obj:`"each"`, see
            :func:`~pyg_mmea.data.values.encode_numbers`.
        to (str): Of a reference the table it points to, of a category the kind of its nodes.
        separator (str): What parts the items of a cell with several.
        folder (str): Folder that paths of pictures start from, by default that of the table.
        line (int): Line of the file.
    """

    role: Role
    name: str
    unit: str = ""
    decimal: str = ""
    format: str = "ISO8601"
    scale: str = "joint"
    to: str = ""
    separator: str = ""
    folder: str = ""
    line: int = 0


@dataclass(frozen=True)
class TableSpec:
    """A wide table: a row an entity."""

    file: str
    columns: dict[str, ColumnSpec]
    name: str = ""
    prefix: str = ""
    delimiter: str = ""
    encoding: str = "utf-8"

    @property
    def title(self) -> str:
        """What references call it."""
        return self.name or Path(self.file).stem

    def having(self, role: Role) -> str | None:
        """The first column of a role."""
        return next((name for name, spec in self.columns.items() if spec.role == role), None)


@dataclass(frozen=True)
class TripleSpec:
    """A table of relations between entities."""

    file: str
    head: str = "head"
    relation: str = "relation"
    tail: str = "tail"
    delimiter: str = ""
    encoding: str = "utf-8"


@dataclass(frozen=True)
class ValueSpec:
    """A table of attribute values, a row a value."""

    file: str
    entity: str = "entity"
    attribute: str = "attribute"
    value: str = "value"
    delimiter: str = ""
    encoding: str = "utf-8"


@dataclass(frozen=True)
class SideSpec:
    """One graph: tables, or an RDF file, or one side of a folder in the layout of EVA."""

    tables: list[TableSpec] = field(default_factory=list)
    triples: list[TripleSpec] = field(default_factory=list)
    attributes: list[ValueSpec] = field(default_factory=list)
    rdf: str = ""
    image_predicate: str = ""
    language: str = ""
    folder: str = ""
    images: str = ""
    columns: dict[str, ColumnSpec] = field(default_factory=dict)


@dataclass(frozen=True)
class LinkSpec:
    """The known links: a table, an RDF file with owl:sameAs, or a folder in the layout of EVA."""

    file: str = ""
    source: str = "source"
    target: str = "target"
    split: str = ""
    delimiter: str = ""
    encoding: str = "utf-8"
    folder: str = ""


@dataclass(frozen=True)
class PairFile:
    """What a ``pair.yaml`` says. Paths in it start from its folder.

    Args:
        source (SideSpec): Source graph.
        target (SideSpec): Target graph.
        links (LinkSpec): Known links, none by default.
        path (Path): The file.
    """

    source: SideSpec
    target: SideSpec
    links: LinkSpec = field(default_factory=LinkSpec)
    path: Path = Path("pair.yaml")

    def find(self, path: str) -> Path:
        """A path of the file, from where the program runs."""
        return self.path.parent / path
