"""Says everything that is wrong with a folder, where the loader stops at the first fault."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pyg_mmea.data import layoutfiles
from pyg_mmea.data.image_check import inspect_image
from pyg_mmea.data.pickles import load_features
from pyg_mmea.data.tables import GraphTables
from pyg_mmea.errors import DataError
from pyg_mmea.utils.progress import track

T = TypeVar("T")


def check_folder(folder: str | Path) -> list[DataError]:
    """Checks a folder in the layout of EVA, see :func:`~pyg_mmea.data.read_folder`.

    Every file is checked up to its first fault, except that nothing can be said about the others
    where :obj:`ent_ids_1/2` are broken. Pictures that cannot be read count as faults here, while
    training passes over them.

    Args:
        folder (str or Path): The folder.

    Returns:
        list[DataError]: The faults, none if the folder is in order.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return [DataError("folder is missing", folder)]
    faults: dict[str, DataError] = {}  # by text: two steps may meet the same fault

    def attempt(step: Callable[..., T], *arguments: object) -> T | None:
        try:
            return step(*arguments)
        except DataError as error:
            faults[str(error)] = error
            return None

    entities = attempt(layoutfiles.read_entities, folder)
    if entities is not None:
        index, uris = entities
        for side in (0, 1):
            attempt(layoutfiles.read_triples, folder, side, index, True)
            attempt(layoutfiles.add_attributes, GraphTables(uri=uris[side]), folder, side)
            names, images = folder / f"names_{side + 1}.json", folder / f"images_{side + 1}"
            if names.exists():
                attempt(layoutfiles.read_names, names, index, side)
            if images.is_dir():
                pictures = attempt(layoutfiles.read_image_folder, images, index, side) or []
                for picture in track(pictures, "Opening pictures", unit="pictures"):
                    if picture is not None:
                        attempt(_check_picture, Path(picture))
        for name in ("ill", "sup", "ref"):
            if (folder / f"{name}_ent_ids").exists():
                attempt(layoutfiles.read_link_file, folder / f"{name}_ent_ids", index)
        attempt(layoutfiles.read_links, folder, index)
    for path in sorted(folder.glob("*_img_feature_dict.pkl")):
        attempt(load_features, path)
    return list(faults.values())


def _check_picture(path: Path) -> None:
    problem = inspect_image(path)
    if problem is not None and problem.kind not in ("animated", "CMYK"):
        raise DataError(problem.text, path)
