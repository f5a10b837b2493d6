"""FB15K-DB15K and FB15K-YAGO15K."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch

from pyg_mmea.data.layout import FolderPair, read_folder
from pyg_mmea.data.pickles import load_features
from pyg_mmea.data.tables import GraphTables
from pyg_mmea.data.textfile import first_repeat, read_bytes
from pyg_mmea.datasets.base import AlignmentDataset, Split, data_folder
from pyg_mmea.datasets.folder import find_pickle, folder_files
from pyg_mmea.errors import DataError
from pyg_mmea.typing import Modality

logger = logging.getLogger(__name__)

Pair = Literal["FB15K-DB15K", "FB15K-YAGO15K"]
PAIRS = get_args(Pair)
# Names that converted copies go by.
_FOLDERS = {
    "FB15K-DB15K": ("FB15K-DB15K", "FB15K_DB15K", "FBDB15K"),
    "FB15K-YAGO15K": ("FB15K-YAGO15K", "FB15K_YAGO15K", "FBYG15K"),
}
_KINDS = (
    "EntityTriples.txt",
    "NumericalTriples.txt",
    "SameAsLink.txt",
    "ImageIndex.txt",
    "ImageData.h5",
)


def read_tokens(path: Path, num_columns: int) -> list[list[str]]:
    """Reads lines of tokens between blanks, without the full stop that may end them, and gives
    the columns. Angle brackets around URIs are taken off.

    Raises:
        DataError: If the file is missing, not UTF-8, or a line has another number of tokens.
    """
    content = read_bytes(path)
    if not content:
        return [[] for _ in range(num_columns)]
    tokens: list[bytes] = []
    for line, text in enumerate(content.split(b"\n"), start=1):
        row = text.split()  # of bytes: only ASCII blanks separate
        if row and row[-1] == b".":
            row.pop()
        if len(row) != num_columns:
            raise DataError(f"needs {num_columns} columns (got {len(row)})", path, line)
        tokens += row
    flat = b"\n".join(tokens).decode("utf-8").split("\n")
    flat = [token[1:-1] if token[0] == "<" and token[-1] == ">" else token for token in flat]
    return [flat[column::num_columns] for column in range(num_columns)]


def _number(texts: Iterable[str]) -> dict[str, int]:
    return {text: i for i, text in enumerate(dict.fromkeys(texts))}


def _ids(texts: list[str], number: dict[str, int]) -> torch.Tensor:
    return torch.tensor([number.get(text, -1) for text in texts], dtype=torch.long)


class MMKB(AlignmentDataset):
    """The pairs of `"MMKB: Multi-Modal Knowledge Graphs" <https://arxiv.org/abs/1903.05485>`_.

    :obj:`root` holds either the files of the release (:obj:`<KG>_EntityTriples.txt`,
    :obj:`<KG>_SameAsLink.txt` and, where present, :obj:`<KG>_NumericalTriples.txt`,
    :obj:`<KG>_ImageIndex.txt` with :obj:`<KG>_ImageData.h5`; in folders named after the graph or
    not), or a folder of the pair in the layout of EVA, with
    :obj:`FB15K_DB15K_id_img_feature_dict.pkl` where present.

    The release has no split; papers draw 20, 50 or 80% of the links as seeds.

    Args:
        root (str, optional): The folder. By default :obj:`MMKB` in :obj:`$PYG_MMEA_DATA`.
            (default: :obj:`None`)
        pair (str): :obj:`"FB15K-DB15K"` or :obj:`"FB15K-YAGO15K"`.
            (default: :obj:`"FB15K-DB15K"`)
        split (str): See :class:`~pyg_mmea.datasets.AlignmentDataset`. (default: :obj:`"random"`)
        seed_ratio (float, optional): Fraction of the links that are seeds.
            (default: :obj:`None`, which is :obj:`0.2`)
        **kwargs: Further arguments of :class:`~pyg_mmea.datasets.AlignmentDataset`.

    Raises:
        ValueError: If there is no such pair.
        DataError: If a file is missing or broken.
    """

    default_seed_ratio = 0.2

    def __init__(
        self,
        root: str | None = None,
        pair: Pair = "FB15K-DB15K",
        split: Split = "random",
        seed_ratio: float | None = None,
        **kwargs: Any,
    ) -> None:
        if pair not in PAIRS:
            raise ValueError(f"'pair' needs to be among {', '.join(PAIRS)} (got '{pair}')")
        self.pair = pair
        root = root or str(data_folder() / "MMKB")
        super().__init__(root, split=split, seed_ratio=seed_ratio, **kwargs)

    @property
    def full_name(self) -> str:
        return f"MMKB/{self.pair}"

    @property
    def graph_names(self) -> tuple[str, str]:
        """Names of the source and the target graph."""
        source, target = self.pair.split("-")
        return source, target

    def _converted(self) -> Path | None:
        """The folder in the layout of EVA, if there is one."""
        root = Path(self.root)
        for name in ("", *_FOLDERS[self.pair]):
            for folder in (root / name, root / name / "norm"):
                if (folder / "ent_ids_1").exists():
                    return folder
        return None

    def _raw(self, graph: str, kind: str) -> Path:
        """A file of the release, in the folder of the graph or beside it."""
        name = f"{graph}_{kind}"
        flat = Path(self.root, name)
        return flat if flat.exists() else Path(self.root, graph, name)

    def input_files(self) -> Iterable[Path]:
        folder = self._converted()
        if folder is not None:
            return folder_files(folder)
        return [self._raw(graph, kind) for graph in self.graph_names for kind in _KINDS]

    def find_image_features(self) -> Path | None:
        folder = self._converted()
        if folder is None:
            return None
        found = find_pickle([folder, folder.parent])
        for name in _FOLDERS[self.pair]:
            found = found or find_pickle([Path(self.root, "pkls")], f"{name}_*feature_dict.pkl")
        return found

    def read(self) -> FolderPair:
        folder = self._converted()
        if folder is not None:
            return read_folder(folder, need_relation_names=False)
        source_name, target_name = self.graph_names
        link_path = self._raw(target_name, "SameAsLink.txt")
        source_links, _, target_links = read_tokens(link_path, 3)
        source = self._read_graph(source_name, source_links)
        target = self._read_graph(target_name, target_links)
        links = torch.stack(
            [
                _ids(source_links, {uri: i for i, uri in enumerate(source.uri)}),
                _ids(target_links, {uri: i for i, uri in enumerate(target.uri)}),
            ]
        )
        twice = first_repeat((links[0] * target.num_entities + links[1]).numpy())
        if twice is not None:
            rule = f"link {source_links[twice]} to {target_links[twice]} is there twice"
            raise DataError(rule, link_path, twice + 1)
        if self.image_features is None and self._has_images():
            for name, tables in zip(self.graph_names, (source, target), strict=True):
                self._add_images(name, tables)
        return FolderPair(source, target, links, None, None, "the release of MMKB has none")

    def _read_graph(self, graph: str, linked: list[str]) -> GraphTables:
        head, relation, tail = read_tokens(self._raw(graph, "EntityTriples.txt"), 3)
        # Heads and tails in the order of the file, then linked entities without a triple.
        in_triples = [uri for pair in zip(head, tail, strict=True) for uri in pair]
        number = _number([*in_triples, *linked])
        if not number:
            raise DataError("holds no triple", self._raw(graph, "EntityTriples.txt"))
        relations = _number(relation)
        triples = [_ids(head, number), _ids(relation, relations), _ids(tail, number)]
        tables = GraphTables(
            uri=list(number), triples=torch.stack(triples, dim=1), relation_uri=list(relations)
        )
        path = self._raw(graph, "NumericalTriples.txt")
        if path.exists():
            entity, attribute, value = read_tokens(path, 3)
            attributes = _number(attribute)
            pairs = torch.stack([_ids(entity, number), _ids(attribute, attributes)], dim=1)
            known = pairs[:, 0] >= 0
            if not known.all():
                logger.info("%s: left out %d triples of other entities", path, int((~known).sum()))
            tables.attributes = tables.attribute_triples = pairs[known]
            tables.attribute_uri = list(attributes)
            tables.attribute_value = [value[i] for i in known.nonzero().view(-1).tolist()]
        return tables

    def _has_images(self) -> bool:
        return all(
            self._raw(graph, kind).exists()
            for graph in self.graph_names
            for kind in ("ImageIndex.txt", "ImageData.h5")
        )

    def _add_images(self, graph: str, tables: GraphTables) -> None:
        index_path, path = self._raw(graph, "ImageIndex.txt"), self._raw(graph, "ImageData.h5")
        entity, key = read_tokens(index_path, 2)
        table = load_features(path)
        row = {str(key): i for i, key in enumerate(table.keys.tolist())}
        number = {uri: i for i, uri in enumerate(tables.uri)}
        found = np.array(
            [
                (number.get(uri, -1), row.get(name, -1))
                for uri, name in zip(entity, key, strict=True)
            ]
        ).reshape(-1, 2)
        found = found[(found >= 0).all(axis=1)]
        if len(found) == 0:
            raise DataError(f"no key is in {index_path.name} for an entity of {graph}", path)
        tables.add_features(Modality.IMAGE, found[:, 0], table.x[found[:, 1]])
