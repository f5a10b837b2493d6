"""Tables of data frames, CSV and Parquet files."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TypeAlias

import pandas as pd
import torch
from torch import Tensor

from pyg_mmea.data.alignment import make_pair
from pyg_mmea.data.alignment_data import AlignmentData
from pyg_mmea.data.findings import Findings
from pyg_mmea.data.fits import Fits
from pyg_mmea.data.linktable import resolve_links
from pyg_mmea.data.split import split_anchors
from pyg_mmea.data.tablefile import TableFile, frame_columns, read_table
from pyg_mmea.data.tables import GraphTables
from pyg_mmea.data.textfile import first_repeat
from pyg_mmea.errors import DataError
from pyg_mmea.utils.io import inside

Table: TypeAlias = pd.DataFrame | str | PathLike[str]


class _Frame:
    """A table with the place it comes from, so that errors can name it."""

    def __init__(self, table: Table, what: str) -> None:
        self.what = what
        self.path: Path | None = None
        self.file: TableFile | None = None
        if isinstance(table, pd.DataFrame):
            self.columns = frame_columns(table)
        else:
            self.path = Path(table)
            self.file = read_table(self.path, Findings(strict=True))
            assert self.file is not None  # strict findings raise
            self.columns = self.file.columns

    def error(self, rule: str, row: int | None = None) -> DataError:
        """An error that names file and line, or table and row."""
        if self.path is None:
            place = self.what if row is None else f"{self.what}, row {row}"
            return DataError(f"{place}: {rule}")
        return DataError(rule, self.path, self.place(row))

    def place(self, row: int | None) -> int | None:
        """Line of a row, which is no line in a table that is no file."""
        return None if row is None or self.file is None else self.file.place(row)

    def column(self, name: str, needed: bool = True) -> list[str]:
        """A column as texts, empty where the value is missing."""
        if name not in self.columns:
            known = ", ".join(self.columns)
            raise self.error(f"there is no column '{name}' (columns: {known})")
        texts = self.columns[name]
        if needed and "" in texts:
            raise self.error(f"column '{name}' is empty", texts.index(""))
        return texts

    def ids(self, name: str, number: dict[str, int]) -> Tensor:
        """A column of entity ids as local ids."""
        texts = self.column(name)
        local = [number.get(text, -1) for text in texts]
        if -1 in local:
            row = local.index(-1)
            raise self.error(f"entity '{texts[row]}' in column '{name}' is unknown", row)
        return torch.tensor(local, dtype=torch.long)


def _image_paths(frame: _Frame, texts: list[str]) -> list[str | None]:
    """Paths of pictures, relative to the folder of the table."""
    folder = frame.path.parent if frame.path is not None else Path()
    paths = [str(folder / text) if text else None for text in texts]
    for row, path in enumerate(paths):
        # A file may come from others; a data frame was made by whoever calls.
        if path is not None and frame.path is not None and inside(folder, texts[row]) is None:
            raise frame.error(f"picture '{texts[row]}' is outside of the folder of the table", row)
        if path is not None and not Path(path).is_file():
            raise frame.error(f"there is no picture '{path}'", row)
    return paths


def _read_entities(
    frame: _Frame,
    id_column: str,
    name_column: str | None,
    image_column: str | None,
    attribute_columns: Sequence[str] | None,
) -> GraphTables:
    uri = frame.column(id_column)
    if not uri:
        raise frame.error("holds no entity")
    twice = first_repeat(uri)
    if twice is not None:
        raise frame.error(f"id '{uri[twice]}' is there twice", twice)
    graph = GraphTables(uri=uri)
    # A column that is not named is taken if it is there.
    name = name_column or ("name" if "name" in frame.columns else None)
    image = image_column or ("image" if "image" in frame.columns else None)
    if name is not None:
        graph.name = frame.column(name, needed=False)
    if image is not None:
        graph.image_path = _image_paths(frame, frame.column(image, needed=False))
    if attribute_columns is None:
        attribute_columns = [
            column for column in frame.columns if column not in (id_column, name, image)
        ]
    pairs, graph.attribute_uri = [], list(attribute_columns)
    for attribute, column in enumerate(attribute_columns):
        values = frame.column(column, needed=False)
        for entity, value in enumerate(values):
            if value:
                pairs.append((entity, attribute))
                graph.attribute_value.append(value)
    graph.attributes = torch.tensor(pairs, dtype=torch.long).view(-1, 2)
    graph.attribute_triples = graph.attributes
    return graph


def _add_triples(graph: GraphTables, frame: _Frame) -> None:
    number = {uri: i for i, uri in enumerate(graph.uri)}
    relations = frame.column("relation")
    relation = {uri: i for i, uri in enumerate(dict.fromkeys(relations))}
    ids = torch.tensor([relation[uri] for uri in relations], dtype=torch.long)
    graph.triples = torch.stack([frame.ids("head", number), ids, frame.ids("tail", number)], dim=1)
    graph.relation_uri = list(relation)


def read_links(links: Table, source: GraphTables, target: GraphTables) -> Tensor:
    """Links of a table with the columns :obj:`source` and :obj:`target` as local ids.

    Raises:
        DataError: If a link has an unknown entity or is there twice.
    """
    frame = _Frame(links, "links")
    ends = (frame.column("source"), frame.column("target"))
    what = "" if frame.path else "links"
    findings = Findings(strict=True)
    return resolve_links(ends, (source, target), findings, frame.path, frame.place, what)[0]


def from_tables(
    source: Table,
    target: Table,
    links: Table,
    source_triples: Table | None = None,
    target_triples: Table | None = None,
    id_column: str = "id",
    name_column: str | None = None,
    image_column: str | None = None,
    attribute_columns: Sequence[str] | None = None,
    seed_ratio: float = 0.3,
    val_ratio: float = 0.1,
    split_seed: int = 0,
    features: str | Sequence[str] = "auto",
    image_encoder: str = "handcrafted",
    text_encoder: str = "hashing",
    dataset: str = "tables",
    fitted: Fits | None = None,
) -> AlignmentData:
    """Builds a pair from tables, each a data frame or the path of a CSV, TSV or Parquet file.

    Args:
        source (DataFrame or str): Entities of the source graph, one per row: an id, a name, the
            path of a picture, and attributes. Empty cells are missing values.
        target (DataFrame or str): Entities of the target graph.
        links (DataFrame or str): Known links, in the columns :obj:`source` and :obj:`target`.
        source_triples (DataFrame or str, optional): Relations between the rows of
            :obj:`source`, in the columns :obj:`head`, :obj:`relation` and :obj:`tail`.
            (default: :obj:`None`)
        target_triples (DataFrame or str, optional): The same for :obj:`target`.
            (default: :obj:`None`)
        id_column (str): Column of the ids, which become URIs. (default: :obj:`"id"`)
        name_column (str, optional): Column of the names, by default :obj:`name` where there is
            one. (default: :obj:`None`)
        image_column (str, optional): Column of the paths of pictures, relative to the folder of
            the table, by default :obj:`image` where there is one. (default: :obj:`None`)
        attribute_columns (Sequence[str], optional): Columns of attributes in both tables, by
            default all others of each. (default: :obj:`None`)
        seed_ratio (float): Fraction of the links that are seeds. (default: :obj:`0.3`)
        val_ratio (float): Fraction of the seeds that validate. (default: :obj:`0.1`)
        split_seed (int): Seed of the split. (default: :obj:`0`)
        features (str or Sequence[str]): See :func:`make_pair`. (default: :obj:`"auto"`)
        image_encoder (str): See :func:`make_pair`. (default: :obj:`"handcrafted"`)
        text_encoder (str): See :func:`make_pair`. (default: :obj:`"hashing"`)
        dataset (str): Name that results are reported under. (default: :obj:`"tables"`)
        fitted (dict, optional): See :func:`make_pair`. (default: :obj:`None`)

    Raises:
        DataError: Names the file and line, or the table and row, and the rule.
    """
    graphs = []
    for side, table, triples in (
        ("source", source, source_triples),
        ("target", target, target_triples),
    ):
        graph = _read_entities(
            _Frame(table, side), id_column, name_column, image_column, attribute_columns
        )
        if triples is not None:
            _add_triples(graph, _Frame(triples, f"{side}_triples"))
        graphs.append(graph)
    index = read_links(links, graphs[0], graphs[1])
    return make_pair(
        graphs[0],
        graphs[1],
        index,
        split_anchors(index.size(1), seed_ratio, val_ratio, split_seed),
        features=features,
        image_encoder=image_encoder,
        text_encoder=text_encoder,
        dataset=dataset,
        fitted=fitted,
    )
