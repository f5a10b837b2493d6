"""The normal 15K samples of RSN4EA."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args

from pyg_mmea.data.layout import FolderPair, read_folder
from pyg_mmea.datasets.base import AlignmentDataset, data_folder
from pyg_mmea.datasets.folder import find_pickle, folder_files

Pair = Literal["en_fr_15k_V1", "en_de_15k_V1", "dbp_wd_15k_V1", "dbp_yg_15k_V1"]
PAIRS = get_args(Pair)


class RSN15K(AlignmentDataset):
    """The normal 15K samples of `"Learning to Exploit Long-term Relational Dependencies in
    Knowledge Graphs" <https://arxiv.org/abs/1905.04914>`_, also called SRPRS.

    The published :obj:`ref_ent_ids` holds all 15,000 links; the test links are those of it that
    are no seeds.

    Args:
        root (str, optional): The folder :obj:`RSN15K`, which holds a folder per pair. By default
            the one in :obj:`$PYG_MMEA_DATA`. (default: :obj:`None`)
        pair (str): :obj:`"en_fr_15k_V1"`, :obj:`"en_de_15k_V1"`, :obj:`"dbp_wd_15k_V1"` or
            :obj:`"dbp_yg_15k_V1"`. (default: :obj:`"en_fr_15k_V1"`)
        **kwargs: Arguments of :class:`~pyg_mmea.datasets.AlignmentDataset`.

    Raises:
        ValueError: If there is no such pair.
        DataError: If a file is missing or broken.
    """

    def __init__(
        self,
        root: str | None = None,
        pair: Pair = "en_fr_15k_V1",
        **kwargs: Any,
    ) -> None:
        if pair not in PAIRS:
            raise ValueError(f"'pair' needs to be among {', '.join(PAIRS)} (got '{pair}')")
        self.pair = pair
        super().__init__(root or str(data_folder() / "RSN15K"), **kwargs)

    @property
    def full_name(self) -> str:
        return f"RSN15K/{self.pair}"

    @property
    def _folder(self) -> Path:
        return Path(self.root, self.pair)

    def input_files(self) -> Iterable[Path]:
        return folder_files(self._folder)

    def find_image_features(self) -> Path | None:
        return find_pickle([self._folder])

    def read(self) -> FolderPair:
        return read_folder(self._folder)
