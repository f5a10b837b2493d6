from pathlib import Path

import pytest
from PIL import Image

from pyg_mmea.data.image_check import inspect_image, inspect_images


def test_inspect_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "fine.png")
    Image.new("CMYK", (4, 4)).save(tmp_path / "print.jpg")
    Image.new("RGB", (9, 9)).save(tmp_path / "huge.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "huge.png").read_bytes()[:40])
    monkeypatch.setattr("pyg_mmea.data.image_check.MAX_PIXELS", 80)
    names = ["fine.png", "print.jpg", "huge.png", "cut.png", "none.png", "nul\0.png"]
    found = dict(inspect_images({name: str(tmp_path / name) for name in names}))
    assert {name: problem.kind for name, problem in found.items()} == {
        "print.jpg": "CMYK",
        "huge.png": "too large",
        "cut.png": "unreadable",
        "none.png": "missing",
        "nul\0.png": "unreadable",
    }
    assert inspect_image(tmp_path / "fine.png") is None
