"""Pictures of any origin, small and harmless."""

import base64
import io
import os
from typing import NamedTuple

from PIL import Image

from pyg_mmea.data.images import read_image
from pyg_mmea.utils.io import NotOrdinaryError, open_ordinary

MAX_BYTES = 30_000_000  # of a file; a larger one is not read


class Thumbnail(NamedTuple):
    """A picture as JPEG, or why there is none.

    Attributes:
        uri (str, optional): A ``data:`` URI. It holds the pixels alone: the file is unpacked and
            packed anew, so that nothing else of it, such as where it was taken, is left.
        problem (str): Why there is no picture; empty if there is one.
        width (int): Width in pixels.
        height (int): Height in pixels.
    """

    uri: str | None
    problem: str = ""
    width: int = 0
    height: int = 0


def make_thumbnail(path: str | os.PathLike[str] | None, size: int = 200) -> Thumbnail:
    """Reads a picture and makes it small; whatever is wrong with the file, nothing is raised.

    Only ordinary files of up to 30 million bytes are read.

    Args:
        path (str or PathLike, optional): The file; :obj:`None` or an empty string is no picture.
        size (int): Largest width and height. (default: :obj:`200`)
    """
    if path is None or os.fspath(path) == "":
        return Thumbnail(None, "no picture")
    try:
        with open_ordinary(path) as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return Thumbnail(None, "the file is missing")
    except NotOrdinaryError:
        return Thumbnail(None, "not an ordinary file")
    except (OSError, ValueError):
        return Thumbnail(None, "not readable")
    if len(content) > MAX_BYTES:
        return Thumbnail(None, "the file is too large")
    try:
        image = read_image(content)
        image.thumbnail((size, size))
        flat = Image.new("RGB", image.size, "white")
        flat.paste(image, mask=image.getchannel("A"))
        packed = io.BytesIO()
        flat.save(packed, "JPEG", quality=82, optimize=True)
    except Exception:  # Pillow's readers raise nearly anything on broken files
        return Thumbnail(None, "the file is no picture, broken or too large")
    text = base64.b64encode(packed.getvalue()).decode("ascii")
    return Thumbnail(f"data:image/jpeg;base64,{text}", "", *flat.size)
