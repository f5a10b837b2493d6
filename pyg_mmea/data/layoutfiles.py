"""Strict readers of the files in the folder layout of EVA, MCLEA and MEAformer. A broken rule is a
:class:`~pyg_mmea.errors.DataError` with file and line."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pyg_mmea.data.tables import GraphTables
from pyg_mmea.data.textfile import (
    first_repeat,
    is_id,
    read_ids,
    read_json,
    read_numbered,
    read_rows,
)
from pyg_mmea.errors import DataError

logger = logging.getLogger(__name__)

# Up to this many times the number of entities, ids are looked up in a table.
_TABLE_FACTOR = 8

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")


class EntityIndex:
    """Says which graph a global entity id belongs to, and as which local id.

    Args:
        source_ids (ndarray): Global ids of the source graph, in the order of the local ids.
        target_ids (ndarray): Global ids of the target graph.
    """

    def __init__(self, source_ids: np.ndarray, target_ids: np.ndarray) -> None:
        self.ids = (source_ids, target_ids)
        ids = np.concatenate([source_ids, target_ids])
        code = np.concatenate([2 * np.arange(len(source_ids)), 2 * np.arange(len(target_ids)) + 1])
        # Ids that are nearly consecutive, as they usually are, are found without a search.
        self._is_table = bool(ids.max() < _TABLE_FACTOR * len(ids))
        if self._is_table:
            self._code = np.full(ids.max() + 2, -1)  # the last one stands for all others
            self._code[ids] = code
        else:
            order = np.argsort(ids, kind="stable")
            self._sorted, self._code = ids[order], code[order]

    def locate(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Side (0 source, 1 target, -1 unknown) and local id of each global id."""
        if self._is_table:
            last = len(self._code) - 1
            code = self._code[np.where((ids >= 0) & (ids < last), ids, last)]
        else:
            position = np.minimum(np.searchsorted(self._sorted, ids), len(self._sorted) - 1)
            code = np.where(self._sorted[position] == ids, self._code[position], -1)
        return np.where(code < 0, -1, code % 2), code // 2


def read_entities(folder: Path) -> tuple[EntityIndex, list[list[str]]]:
    """Reads :obj:`ent_ids_1/2`: the numbering, and the URIs of each graph."""
    ids, uris = [], []
    for side in (1, 2):
        path = folder / f"ent_ids_{side}"
        numbers, texts = read_numbered(path)
        if len(texts) == 0:
            raise DataError("holds no entity", path)
        twice = first_repeat(texts)
        if twice is not None:
            raise DataError(f"URI '{texts[twice]}' is there twice", path, twice + 1)
        ids.append(numbers)
        uris.append(texts)
    both = np.isin(ids[1], ids[0])
    if both.any():
        row = int(np.argmax(both))
        rule = f"id {ids[1][row]} is also in ent_ids_1"
        raise DataError(rule, folder / "ent_ids_2", row + 1)
    return EntityIndex(*ids), uris


def _check_sides(path: Path, ids: np.ndarray, sides: np.ndarray, wanted: np.ndarray) -> None:
    """Raises for the first row with an entity that is unknown or in the wrong graph."""
    wrong = (sides != wanted).any(axis=1)
    if not wrong.any():
        return
    row = int(np.argmax(wrong))
    column = int(np.argmax(sides[row] != wanted))
    entity, side = ids[row, column], sides[row, column]
    if side < 0:
        raise DataError(f"entity {entity} is in neither ent_ids_1 nor ent_ids_2", path, row + 1)
    rule = f"entity {entity} belongs to graph {side + 1}, but graph {wanted[column] + 1} is needed"
    if len(set(sides[row].tolist())) > 1 and wanted[0] == wanted[1]:
        rule = f"head and tail are in different graphs: {rule}"
    raise DataError(rule, path, row + 1)


def read_triples(
    folder: Path, side: int, index: EntityIndex, need_relation_names: bool
) -> tuple[Tensor, list[str]]:
    """Reads the triples of one graph as local ids :math:`(E, 3)`, and the URIs of the relations."""
    path, relation_path = folder / f"triples_{side + 1}", folder / f"rel_ids_{side + 1}"
    if need_relation_names or relation_path.exists():
        relation_ids, relation_uri = read_numbered(relation_path)
        triples = read_ids(path, 3)
    else:
        triples = read_ids(path, 3)
        relation_ids = np.unique(triples[:, 1])
        relation_uri = [f"unknown:{number}" for number in relation_ids.tolist()]
    ends = triples[:, [0, 2]]
    sides, local = index.locate(ends)
    _check_sides(path, ends, sides, np.array([side, side]))
    relation = pd.Index(relation_ids).get_indexer(triples[:, 1])
    if (relation < 0).any():
        row = int(np.argmax(relation < 0))
        raise DataError(f"relation {triples[row, 1]} is not in {relation_path.name}", path, row + 1)
    local_triples = np.stack([local[:, 0], relation, local[:, 1]], axis=1)
    return torch.from_numpy(local_triples.astype(np.int64)), relation_uri


def _number(texts: list[str]) -> tuple[np.ndarray, list[str]]:
    """Ids of texts in the order of first appearance, and the different texts."""
    number: dict[str, int] = {}
    ids = [number.setdefault(text, len(number)) for text in texts]
    return np.array(ids, dtype=np.int64), list(number)


def _read_attributes(path: Path, local: dict[str, int]) -> tuple[Tensor, list[str]]:
    """Reads :obj:`URI<TAB>attribute<TAB>...`; the published files also name other entities."""
    rows = read_rows(path)
    uris = [rows.fields[start] for start in rows.offset[:-1].tolist()]
    entities = np.array([local.get(uri, -1) for uri in uris], dtype=np.int64)
    if len(uris) > 0 and (entities < 0).all():
        raise DataError("names no entity of this graph", path, 1)
    unknown = int((entities < 0).sum())
    if unknown > 0:
        logger.warning("%s: left out %d entities that ent_ids lacks", path, unknown)
    per_row = np.diff(rows.offset)
    is_attribute = np.ones(len(rows.fields), dtype=bool)
    is_attribute[rows.offset[:-1]] = False
    attributes = [rows.fields[i] for i in np.flatnonzero(is_attribute).tolist()]
    empty = [i for i, attribute in enumerate(attributes) if not attribute]
    owner = np.repeat(np.arange(rows.num_rows), per_row - 1)
    if empty:
        raise DataError("an attribute is empty", path, int(owner[empty[0]]) + 1)
    ids, uri = _number(attributes)
    pairs = np.stack([entities[owner], ids], axis=1)
    return torch.from_numpy(pairs[pairs[:, 0] >= 0]), uri


def _read_values(path: Path, local: dict[str, int]) -> tuple[Tensor, list[str], list[str]]:
    """Reads :obj:`URI<TAB>attribute<TAB>value`."""
    fields = read_rows(path, 3).fields
    subjects, attributes, values = fields[0::3], fields[1::3], fields[2::3]
    entities = np.array([local.get(uri, -1) for uri in subjects], dtype=np.int64)
    if (entities < 0).any():
        row = int(np.argmax(entities < 0))
        raise DataError(f"entity '{subjects[row]}' is not in this graph", path, row + 1)
    ids, uri = _number(attributes)
    return torch.from_numpy(np.stack([entities, ids], axis=1)), uri, values


def add_attributes(graph: GraphTables, folder: Path, side: int) -> None:
    """Reads :obj:`training_attrs_1/2` and :obj:`attr_triples_1/2` of one graph, where present."""
    local = {uri: i for i, uri in enumerate(graph.uri)}
    kinds, triples = folder / f"training_attrs_{side + 1}", folder / f"attr_triples_{side + 1}"
    if triples.exists():
        graph.attribute_triples, graph.attribute_uri, graph.attribute_value = _read_values(
            triples, local
        )
        graph.attributes = graph.attribute_triples
    if kinds.exists():
        graph.attributes, uri = _read_attributes(kinds, local)
        # One numbering for both files.
        both, names = _number(uri + graph.attribute_uri)
        numbers = torch.from_numpy(both)
        graph.attributes[:, 1] = numbers[graph.attributes[:, 1]]
        if triples.exists():
            graph.attribute_triples[:, 1] = numbers[len(uri) + graph.attribute_triples[:, 1]]
        graph.attribute_uri = names


def read_names(path: Path, index: EntityIndex, side: int) -> list[str]:
    """Reads a JSON file that maps entity ids to labels; entities without one get an empty text."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise DataError("needs to map entity ids to labels", path)
    for key, value in content.items():
        if not (is_id(key) and isinstance(value, str)):
            raise DataError(f"needs to map entity ids to labels (got '{key}')", path)
    names = {int(key): value for key, value in content.items()}
    labels = [names.pop(number, "") for number in index.ids[side].tolist()]
    if names:
        raise DataError(f"entity {min(names)} is not in ent_ids_{side + 1}", path)
    return labels


def picture_files(folder: Path) -> list[Path]:
    """The pictures of a folder, without hidden ones and those in folders inside of it."""
    return [
        file
        for file in sorted(folder.iterdir())
        if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")
    ]


def read_image_folder(path: Path, index: EntityIndex, side: int) -> list[str | None]:
    """Finds the picture of each entity, whose id is its name."""
    files: dict[int, str] = {}
    for file in picture_files(path):
        if not (file.stem.isascii() and file.stem.isdigit()):
            raise DataError("a picture needs an entity id as its name", file)
        if int(file.stem) in files:
            raise DataError(f"is a second picture of entity {int(file.stem)}", file)
        files[int(file.stem)] = str(file)
    ids = index.ids[side].tolist()
    unknown = files.keys() - set(ids)
    if unknown:
        number = min(unknown)
        raise DataError(f"entity {number} is not in ent_ids_{side + 1}", files[number])
    return [files.get(number) for number in ids]


def read_link_file(path: Path, index: EntityIndex) -> np.ndarray:
    """Links as local ids :math:`(A, 2)`."""
    ids = read_ids(path, 2)
    sides, local = index.locate(ids)
    _check_sides(path, ids, sides, np.array([0, 1]))
    twice = first_repeat(_encode_links(local, index))
    if twice is not None:
        source, target = ids[twice]
        raise DataError(f"link {source} to {target} is there twice", path, twice + 1)
    return local


def _encode_links(links: np.ndarray, index: EntityIndex) -> pd.Index:
    return pd.Index(links[:, 0] * len(index.ids[1]) + links[:, 1])


def read_links(folder: Path, index: EntityIndex) -> tuple[Tensor, Tensor | None, str]:
    """All links :math:`(2, A)`, official seeds :math:`(A)` *(bool)*, and why there are none."""
    gold_path, seed_path, other_path = (
        folder / f"{name}_ent_ids" for name in ("ill", "sup", "ref")
    )
    if not gold_path.exists() and not other_path.exists():
        raise DataError("file is missing, and so is ill_ent_ids", other_path)
    parts = {
        path: read_link_file(path, index)
        for path in (gold_path, seed_path, other_path)
        if path.exists()
    }
    for path, links in parts.items():
        if len(links) == 0:
            raise DataError("holds no link", path)
    if gold_path in parts:
        gold = parts[gold_path]
        for path in (seed_path, other_path):
            if path not in parts:
                continue
            inside = _encode_links(parts[path], index).isin(_encode_links(gold, index))
            if not inside.all():
                row = int(np.argmin(inside))
                raise DataError("this link is not in ill_ent_ids", path, row + 1)
    else:
        # ref_ent_ids of RSN15K holds the seeds, too: each link counts once.
        gold = np.concatenate(list(parts.values()))
        gold = gold[~_encode_links(gold, index).duplicated()]
    gold_links = torch.from_numpy(np.ascontiguousarray(gold.T))
    if seed_path not in parts:
        return gold_links, None, f"{seed_path}: file is missing"
    seeds = _encode_links(gold, index).isin(_encode_links(parts[seed_path], index))
    return gold_links, torch.from_numpy(seeds), ""
