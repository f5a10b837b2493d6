"""What all datasets of two graphs share: arguments, cache and splits."""

import logging
import os
import re
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from torch_geometric.data import HeteroData, InMemoryDataset
from torch_geometric.transforms import BaseTransform

from pyg_mmea import __version__
from pyg_mmea.data import handcrafted
from pyg_mmea.data.alignment import make_pair, parse_features
from pyg_mmea.data.alignment_data import AlignmentData
from pyg_mmea.data.fits import read_fits
from pyg_mmea.data.layout import FolderPair
from pyg_mmea.data.layoutfiles import EntityIndex
from pyg_mmea.data.pickles import FeatureTable, load_features
from pyg_mmea.data.split import Masks, split_anchors, split_seeds
from pyg_mmea.data.tables import GraphTables
from pyg_mmea.datasets.processed import FORMAT, read_stores, write_stores
from pyg_mmea.errors import DataError
from pyg_mmea.typing import Modality
from pyg_mmea.utils.io import cache_folder, fingerprint

logger = logging.getLogger(__name__)

Split = Literal["official", "random"]
Transform: TypeAlias = BaseTransform | Callable[[HeteroData], HeteroData]


def data_folder() -> Path:
    """Where the benchmark data lie: :obj:`$PYG_MMEA_DATA`, by default :obj:`../shared/data`."""
    return Path(os.environ.get("PYG_MMEA_DATA") or Path("..", "shared", "data"))


def _is_writable(folder: Path) -> bool:
    # The superuser may write everywhere; folders without any write bit are meant to stay as is.
    bits = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
    return bool(folder.stat().st_mode & bits) and os.access(folder, os.W_OK)


def attach_features(
    table: FeatureTable,
    path: Path,
    graphs: tuple[GraphTables, GraphTables],
    index: EntityIndex | None,
) -> None:
    """Gives both graphs the rows of a table of published image features that belong to them.

    Args:
        table (FeatureTable): The features, keyed by entity id or by URI.
        path (Path): Where they come from, for messages.
        graphs (tuple[GraphTables, GraphTables]): The graphs, which are changed.
        index (EntityIndex, optional): The numbering that entity ids refer to.

    Raises:
        DataError: If no key belongs to an entity.
    """
    num_found = 0
    for side, graph in enumerate(graphs):
        if table.keys.dtype.kind == "i":
            if index is None:
                raise DataError("is keyed by entity ids, but these graphs have URIs only", path)
            sides, local = index.locate(table.keys)
            rows = np.flatnonzero(sides == side)
            local = local[rows]
        else:
            number = {uri: i for i, uri in enumerate(graph.uri)}
            found = np.array([number.get(key, -1) for key in table.keys.tolist()])
            rows = np.flatnonzero(found >= 0)
            local = found[rows]
        graph.add_features(Modality.IMAGE, local, table.x[rows])
        num_found += len(rows)
    if num_found == 0:
        raise DataError("no key is an entity of these graphs", path)
    if num_found < len(table.keys):
        logger.info("%s: %d of %d keys belong to entities", path, num_found, len(table.keys))


class AlignmentDataset(InMemoryDataset, ABC):
    """Base class of the datasets that are read from files; :obj:`dataset[0]` is the pair.

    The pair is built once and kept in :obj:`root/processed`, or in :obj:`$PYG_MMEA_CACHE` (default
    :obj:`~/.cache/pyg_mmea`) if :obj:`root` is read-only. Every argument that changes the pair,
    and size and time of change of every file it is read from, are part of the name of the copy.
    A subclass says where its files are (:meth:`input_files`) and how to read them (:meth:`read`).

    Args:
        root (str): Folder that holds the files.
        split (str): :obj:`"official"` takes the seeds that come with the data, :obj:`"random"`
            draws them. (default: :obj:`"official"`)
        seed_ratio (float, optional): Fraction of the links that are seeds under
            :obj:`split="random"`; an official split says itself which are, and a warning that it
            was given for nothing.
            (default: :obj:`None`, which is :obj:`0.3`)
        val_ratio (float): Fraction of the seeds that validate. (default: :obj:`0.1`)
        split_seed (int): Seed of the draws, independent of the seed of a model.
            (default: :obj:`0`)
        features (str or list[str]): Modalities to build features for. :obj:`"auto"` takes
            relations, attributes and images, those that the data have; names and texts need to be
            asked for. (default: :obj:`"auto"`)
        image_features (str, optional): File of published image features, see
            :func:`~pyg_mmea.data.load_features`. By default the one that lies with the data is
            taken, then the pictures. (default: :obj:`None`)
        image_encoder (str): What turns pictures into features. (default: :obj:`"handcrafted"`)
        text_encoder (str): What turns texts into features. (default: :obj:`"hashing"`)
        fitted (str, optional): The :obj:`aligner.pt` of a run. Vocabularies, projections and
            quantiles are then those of its training, so that features mean what they meant there.
            (default: :obj:`None`, which fits them to this pair)
        transform (Callable, optional): Applied at every access. (default: :obj:`None`)
        pre_transform (Callable, optional): Applied once when the dataset is opened; what the
            cache holds is the pair before it. (default: :obj:`None`)
        force_reload (bool): Build the pair anew. (default: :obj:`False`)

    Raises:
        DataError: If a file is broken. Nothing is written then.
        ValueError: If an argument is out of range.
    """

    _data: Any
    # Modalities that the files of a subclass can have beside those of the library.
    own_modalities: tuple[str, ...] = ()
    default_seed_ratio = 0.3

    def __init__(
        self,
        root: str,
        split: Split = "official",
        seed_ratio: float | None = None,
        val_ratio: float = 0.1,
        split_seed: int = 0,
        features: str | Sequence[str] = "auto",
        image_features: str | None = None,
        image_encoder: str = "handcrafted",
        text_encoder: str = "hashing",
        fitted: str | None = None,
        transform: Transform | None = None,
        pre_transform: Transform | None = None,
        force_reload: bool = False,
    ) -> None:
        if split not in ("official", "random"):
            raise ValueError(f"'split' needs to be 'official' or 'random' (got '{split}')")
        self.split = split
        self.seed_ratio = self.default_seed_ratio if seed_ratio is None else seed_ratio
        split_anchors(0, self.seed_ratio, val_ratio, split_seed)  # checks the ratios
        if split == "official" and self.seed_ratio != self.default_seed_ratio:
            # No error: runs that were given one can still be read.
            logger.warning(
                "'seed_ratio' (got %s) changes nothing: the split is official; 'split' set to "
                "'random' draws one",
                seed_ratio,
            )
        self.val_ratio = val_ratio
        self.split_seed = split_seed
        self.features = parse_features(features, self.own_modalities)
        self.image_features = None if image_features is None else Path(image_features)
        self.image_encoder = image_encoder
        self.text_encoder = text_encoder
        self.fitted = None if fitted is None else Path(fitted)
        super().__init__(str(root), transform, pre_transform, force_reload=force_reload)
        self.load(self.processed_paths[0])
        if pre_transform is not None:
            self._data = pre_transform(self._data)

    @property
    @abstractmethod
    def full_name(self) -> str:
        """Name that results are reported under, such as :obj:`"DBP15K/zh_en"`."""

    @abstractmethod
    def input_files(self) -> Iterable[Path]:
        """All files that the pair is read from; those that do not exist are passed over."""

    @abstractmethod
    def read(self) -> FolderPair:
        """Reads the files."""

    @cached_property
    def fits(self) -> dict[str, dict[str, Any]]:
        """What features were fitted to by the training that :obj:`fitted` names."""
        return {} if self.fitted is None else read_fits(self.fitted)

    def find_image_features(self) -> Path | None:
        """Published image features that lie with the data."""
        return None

    def file_state(self, path: Path) -> object:
        """What tells that a file has changed: here its size and time of change."""
        return path.stat().st_size, path.stat().st_mtime_ns

    def choose_features(self, pair: FolderPair) -> str | Sequence[str]:
        """What :obj:`features="auto"` stands for."""
        return "auto"

    @property
    def processed_dir(self) -> str:
        root = Path(self.root)
        if not root.is_dir():
            raise DataError("folder is missing", root)
        if _is_writable(root):
            return str(root / "processed")
        return str(cache_folder() / "processed" / fingerprint(str(root.resolve())))

    @property
    def processed_file_names(self) -> list[str]:
        image_features = self.image_features or self.find_image_features()
        others = {path for path in (image_features, self.fitted) if path is not None}
        files = {*self.input_files(), *others}
        stats = [(str(path), self.file_state(path)) for path in sorted(files) if path.is_file()]
        key = fingerprint(
            FORMAT,
            __version__,
            self.split,
            self.seed_ratio if self.split == "random" else None,
            self.val_ratio,
            self.split_seed,
            None if self.features is None else [str(name) for name in self.features],
            str(image_features),
            self.image_encoder,
            self.text_encoder,
            str(self.fitted),
            handcrafted.VERSION,
            stats,
        )
        name = re.sub(r"[^\w.-]+", "-", self.full_name).strip("-")
        return [f"{name}-{key}.pt"]

    def process(self) -> None:
        data = self._build()
        path = Path(self.processed_paths[0])
        path.parent.mkdir(parents=True, exist_ok=True)
        self.save([data], str(path))

    def _process(self) -> None:
        # PyG makes the folder first; ours appears only once there is something to put in it.
        if self.force_reload or not Path(self.processed_paths[0]).exists():
            self.process()

    @classmethod
    def save(cls, data_list: Sequence[Any], path: str) -> None:
        """Saves the pair, in full or not at all."""
        write_stores(Path(path), data_list[0].to_dict())

    def load(self, path: str, data_cls: type[Any] = AlignmentData) -> None:
        """Loads the pair; only tensors and plain containers are admitted. Tensors stay in the file
        until they are read, and changes of them in memory."""
        self._data = data_cls.from_dict(read_stores(Path(path)))

    def _masks(self, pair: FolderPair) -> Masks:
        if self.split == "random":
            return split_anchors(
                pair.links.size(1), self.seed_ratio, self.val_ratio, self.split_seed
            )
        if pair.seed_mask is None:
            raise DataError(
                f"there is no official split ({pair.split_hint}); "
                "'split' needs to be 'random' to draw one",
                self.root,
            )
        return split_seeds(pair.seed_mask, self.val_ratio, self.split_seed)

    def _build(self) -> AlignmentData:
        pair = self.read()
        masks = self._masks(pair)
        graphs = (pair.source, pair.target)
        image_features = self.image_features or self.find_image_features()
        wants_images = self.features is None or Modality.IMAGE in self.features
        if image_features is not None and wants_images:
            attach_features(load_features(image_features), image_features, graphs, pair.index)
        data = make_pair(
            *graphs,
            pair.links,
            masks,
            features=self.choose_features(pair) if self.features is None else self.features,
            image_encoder=self.image_encoder,
            text_encoder=self.text_encoder,
            dataset=self.full_name,
            fitted=self.fits,
        )
        for modality, fit in pair.fits.items():
            data[f"{modality}_fit"] = fit
        return data
