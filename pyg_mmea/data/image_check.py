"""What is odd about pictures, before anything is made of them."""

import io
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from PIL import Image

from pyg_mmea.data.images import FORMATS, MAX_PIXELS, read_image
from pyg_mmea.utils.io import open_ordinary
from pyg_mmea.utils.progress import track

K = TypeVar("K")
# Problems that make a picture count as absent.
ABSENT = ("missing", "unreadable", "too large")


class ImageProblem(NamedTuple):
    """What is odd about a picture: a short kind, and a sentence."""

    kind: str
    text: str


def inspect_image(path: Path) -> ImageProblem | None:
    """Opens a picture and says what is odd about it, if anything is.

    :obj:`"missing"`, :obj:`"unreadable"` and :obj:`"too large"` pictures count as absent in
    training; of :obj:`"animated"` ones the first frame counts, :obj:`"CMYK"` ones are converted.
    """
    try:
        with open_ordinary(path) as file:
            content = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return ImageProblem("missing", "there is no such picture")
    except (OSError, ValueError) as error:
        return ImageProblem("unreadable", f"cannot be read ({error})")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content), formats=FORMATS)
        if image.width * image.height > MAX_PIXELS:
            text = f"{image.width} x {image.height} pixels are too many"
            return ImageProblem("too large", text)
        frames, mode = getattr(image, "n_frames", 1), image.mode
        read_image(content)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        return ImageProblem("too large", "has too many pixels")
    except Exception as error:  # Pillow's readers raise nearly anything on broken files
        return ImageProblem("unreadable", f"is no picture that can be read ({error})")
    if frames > 1:
        return ImageProblem("animated", f"has {frames} frames, of which the first counts")
    return ImageProblem("CMYK", "is in CMYK and converted") if mode == "CMYK" else None


def inspect_images(paths: Mapping[K, str]) -> Iterator[tuple[K, ImageProblem]]:
    """Key and problem of each picture that has one; see :func:`inspect_image`."""
    for key, path in track(paths.items(), "Opening pictures", len(paths), unit="pictures"):
        problem = inspect_image(Path(path))
        if problem is not None:
            yield key, problem
