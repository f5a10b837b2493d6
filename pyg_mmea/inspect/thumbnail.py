"""Pictures of any origin, small and harmless."""

import base64
import io
import os
import stat
from typing import NamedTuple

from PIL import Image

from pyg_mmea.data.images import read_image

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
        content = _read(path)
    except FileNotFoundError:
        return Thumbnail(None, "the file is missing")
    except (OSError, ValueError) as error:
        return Thumbnail(None, error.args[0] if isinstance(error, _Refused) else "not readable")
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


class _Refused(OSError):
    """A file that is not read on purpose; the message is for people."""


def _read(path: str | os.PathLike[str]) -> bytes:
    # Without blocking, since a pipe would wait for its other end.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise _Refused("not an ordinary file")
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise _Refused("the file is too large")
    return content
