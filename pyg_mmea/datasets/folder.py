"""Any folder in the layout of EVA."""

from collections.abc import Iterable
from pathlib import Path

from pyg_mmea.data.layout import FolderPair, read_folder
from pyg_mmea.datasets.base import AlignmentDataset
from pyg_mmea.errors import DataError


def folder_files(folder: Path) -> list[Path]:
    """The files of a folder in the layout of EVA, pictures among them."""
    folders = [folder, folder / "images_1", folder / "images_2"]
    return [path for part in folders if part.is_dir() for path in part.iterdir()]


def find_pickle(folders: Iterable[Path], pattern: str = "*_img_feature_dict.pkl") -> Path | None:
    """The published image features in the first of the folders that has any.

    Raises:
        DataError: If a folder holds more than one.
    """
    for folder in folders:
        found = sorted(folder.glob(pattern))
        if len(found) > 1:
            names = ", ".join(path.name for path in found)
            raise DataError(f"'image_features' needs to say which of {names} to take", folder)
        if found:
            return found[0]
    return None


class AlignmentFolder(AlignmentDataset):
    """A pair of graphs in a folder with the layout of EVA, MCLEA and MEAformer.

    See :func:`~pyg_mmea.data.read_folder` for the files. Pictures in :obj:`images_1/2`, literal
    values in :obj:`attr_triples_1/2`, labels in :obj:`names_1/2.json` and image features in
    :obj:`*_img_feature_dict.pkl` are taken where they are present.

    Args:
        root (str): The folder; further arguments are those of
            :class:`~pyg_mmea.datasets.AlignmentDataset`.

    Raises:
        DataError: If a file is missing or broken, or if :obj:`split="official"` and there is no
            :obj:`sup_ent_ids`.
    """

    @property
    def full_name(self) -> str:
        return f"AlignmentFolder/{Path(self.root).resolve().name}"

    def input_files(self) -> Iterable[Path]:
        return folder_files(Path(self.root))

    def find_image_features(self) -> Path | None:
        return find_pickle([Path(self.root)])

    def read(self) -> FolderPair:
        return read_folder(Path(self.root))
