"""DBP15K, cross-lingual."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args

from pyg_mmea.data.layout import FolderPair, read_folder
from pyg_mmea.data.textfile import read_json
from pyg_mmea.datasets.base import AlignmentDataset, data_folder
from pyg_mmea.datasets.folder import find_pickle, folder_files
from pyg_mmea.errors import DataError

Pair = Literal["zh_en", "ja_en", "fr_en"]
PAIRS = get_args(Pair)


def _read_translated_names(path: Path) -> dict[int, str]:
    """Reads :obj:`[[id, [word, ...]], ...]`, one list for both graphs."""
    content = read_json(path)
    try:
        return {int(number): " ".join(words) for number, words in content}
    except (TypeError, ValueError) as error:
        raise DataError("needs to be a list of [entity id, [word, ...]]", path) from error


class DBP15K(AlignmentDataset):
    """The cross-lingual pairs of DBpedia from `"Cross-lingual Entity Alignment via Joint
    Attribute-Preserving Embedding" <https://arxiv.org/abs/1708.05045>`_ in the numbering of
    `"Visual Pivoting for (Unsupervised) Entity Alignment" <https://arxiv.org/abs/2009.13603>`_.

    :obj:`root/<pair>` holds the graphs, :obj:`root/translated_ent_name/dbp_<pair>.json` the
    translated names (features of them only on demand), and :obj:`root/pkls` or the folder itself
    the published image features :obj:`<pair>_GA_id_img_feature_dict.pkl`, where present.

    Args:
        root (str, optional): The folder :obj:`DBP15K`. By default the one in
            :obj:`$PYG_MMEA_DATA`. (default: :obj:`None`)
        pair (str): :obj:`"zh_en"`, :obj:`"ja_en"` or :obj:`"fr_en"`. (default: :obj:`"zh_en"`)
        **kwargs: Arguments of :class:`~pyg_mmea.datasets.AlignmentDataset`.

    Raises:
        ValueError: If there is no such pair.
        DataError: If a file is missing or broken.
    """

    def __init__(
        self,
        root: str | None = None,
        pair: Pair = "zh_en",
        **kwargs: Any,
    ) -> None:
        if pair not in PAIRS:
            raise ValueError(f"'pair' needs to be among {', '.join(PAIRS)} (got '{pair}')")
        self.pair = pair
        super().__init__(root or str(data_folder() / "DBP15K"), **kwargs)

    @property
    def full_name(self) -> str:
        return f"DBP15K/{self.pair}"

    @property
    def _folder(self) -> Path:
        return Path(self.root, self.pair)

    @property
    def _names_path(self) -> Path:
        return Path(self.root, "translated_ent_name", f"dbp_{self.pair}.json")

    def input_files(self) -> Iterable[Path]:
        return [*folder_files(self._folder), self._names_path]

    def find_image_features(self) -> Path | None:
        folders = [self._folder, Path(self.root, "pkls"), Path(self.root)]
        return find_pickle(folders, f"{self.pair}_*img_feature_dict.pkl")

    def read(self) -> FolderPair:
        pair = read_folder(self._folder)
        if pair.index is not None and self._names_path.exists():
            names = _read_translated_names(self._names_path)
            for graph, ids in zip((pair.source, pair.target), pair.index.ids, strict=True):
                graph.name = [names.pop(number, "") for number in ids.tolist()]
            if names:
                raise DataError(f"entity {min(names)} is in neither graph", self._names_path)
        return pair
