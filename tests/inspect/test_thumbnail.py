import base64
import io
import os
from pathlib import Path

import pytest
from PIL import Image

from pyg_mmea.inspect import Thumbnail, make_thumbnail
from pyg_mmea.inspect import thumbnail as module


def unpack(uri: str | None) -> Image.Image:
    assert uri is not None
    head, text = uri.split(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(text, validate=True)))


def test_small_and_without_anything_but_pixels(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a secret place"
    path = tmp_path / "a.jpg"
    Image.new("RGB", (900, 300), "red").save(path, exif=exif, comment="a secret comment")
    found = make_thumbnail(path, size=90)
    assert isinstance(found, Thumbnail)
    assert (found.width, found.height, found.problem) == (90, 30, "")
    image = unpack(found.uri)
    assert image.size == (90, 30)
    assert b"secret" not in base64.b64decode(found.uri.split(",")[1])


def test_transparent_is_on_white(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "a.png")
    assert unpack(make_thumbnail(tmp_path / "a.png").uri).getpixel((4, 4)) == (255, 255, 255)


def test_problems_have_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 5000)
    (tmp_path / "text.png").write_text("<script>alert(1)</script>")
    (tmp_path / "large.png").write_bytes(bytes(5001))
    (tmp_path / "script.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    Image.new("1", (9000, 9000)).save(tmp_path / "bomb.gif")
    os.mkfifo(tmp_path / "pipe.png")
    for path, reason in (
        (None, "no picture"),
        ("", "no picture"),
        (tmp_path / "none.png", "missing"),
        (tmp_path, "not readable"),
        (tmp_path / "pipe.png", "ordinary"),
        ("/dev/zero", "ordinary"),
        ("a\0b", "not readable"),
        (tmp_path / "large.png", "too large"),
        (tmp_path / "text.png", "no picture, broken"),
        (tmp_path / "script.eps", "no picture, broken"),
        (tmp_path / "bomb.gif", "too large"),
    ):
        found = make_thumbnail(path)
        assert found.uri is None
        assert reason in found.problem, path
