import builtins
import logging
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from pyg_mmea.data import images
from pyg_mmea.data.handcrafted import NUM_FEATURES
from pyg_mmea.data.images import encode_images, read_image
from pyg_mmea.data.reduction import reduce_features


def draw(colour: str = "red") -> Image.Image:
    image = Image.new("RGB", (40, 40), "white")
    ImageDraw.Draw(image).ellipse((8, 8, 30, 26), fill=colour)
    return image


def save(path: Path, image: Image.Image, **kwargs: Any) -> str:
    image.save(path, **kwargs)
    return str(path)


def test_encode_images(tmp_path: Path) -> None:
    red, blue = save(tmp_path / "red.png", draw()), save(tmp_path / "blue.png", draw("blue"))
    x, mask = encode_images([red, None, blue, Path(red)])
    assert x.shape == (4, NUM_FEATURES)
    assert x.dtype == torch.float32
    assert mask.tolist() == [True, False, True, True]
    assert x[1].abs().sum() == 0
    assert torch.equal(x[0], x[3])
    assert not torch.equal(x[0], x[2])
    # No row depends on the others.
    assert torch.equal(encode_images([blue])[0][0], x[2])


def test_no_pictures() -> None:
    x, mask = encode_images([])
    assert x.shape == (0, NUM_FEATURES)
    assert mask.shape == (0,)
    assert encode_images([None, None])[1].tolist() == [False, False]


def test_all_modes_are_read(tmp_path: Path) -> None:
    paths = [
        save(tmp_path / "cmyk.jpg", draw().convert("CMYK")),
        save(tmp_path / "palette.png", draw().quantize(8)),
        save(tmp_path / "transparent.gif", draw().quantize(8), transparency=0),
        save(tmp_path / "grey.png", draw().convert("L")),
        save(tmp_path / "grey_alpha.png", draw().convert("LA")),
        save(tmp_path / "bits.png", draw().convert("1")),
        save(tmp_path / "lab.tiff", draw().convert("LAB")),
        save(
            tmp_path / "deep.png", Image.fromarray(np.arange(1600, dtype=np.uint16).reshape(40, 40))
        ),
        save(tmp_path / "float.tiff", Image.fromarray(np.eye(40, dtype=np.float32))),
    ]
    x, mask = encode_images(paths)
    assert mask.all()
    assert x.isfinite().all()


def test_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [draw(), draw("blue")]
    path = save(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    still = save(tmp_path / "b.gif", frames[0])
    assert torch.equal(encode_images([path])[0], encode_images([still])[0])


def test_picture_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stands on its side
    path = tmp_path / "a.png"
    Image.new("RGB", (20, 10)).save(path, exif=exif)
    assert read_image(path.read_bytes()).size == (10, 20)


def test_large_jpeg_is_unpacked_at_a_fraction(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (4096, 4096)).save(path)
    assert max(read_image(path.read_bytes()).size) <= 1024


def test_bad_files_are_counted_and_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 50 * 50)
    good = save(tmp_path / "good.png", draw())
    content = Path(good).read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "empty.png").write_bytes(b"")
    save(tmp_path / "huge.png", Image.new("1", (60, 60)))
    save(tmp_path / "clear.png", Image.new("RGBA", (9, 9)))
    (tmp_path / "folder.png").mkdir()
    bad = ["cut.png", "text.png", "empty.png", "huge.png", "clear.png", "folder.png", "missing.png"]
    with caplog.at_level(logging.WARNING):
        x, mask = encode_images([*(str(tmp_path / name) for name in bad), None, good])
    assert mask.tolist() == [False] * 8 + [True]
    assert x[:8].abs().sum() == 0
    (record,) = caplog.records
    assert "7 of 8 pictures could not be used" in record.message
    assert "missing 1" in record.message


def test_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = save(tmp_path / "bomb.png", Image.new("1", (20_000, 20_000)))
    with pytest.raises((ValueError, Image.DecompressionBombError)):
        read_image(Path(path).read_bytes())
    assert encode_images([path])[1].tolist() == [False]


def test_postscript_is_refused() -> None:
    with pytest.raises(OSError, match="cannot identify"):
        read_image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")


def test_workers_give_the_same(tmp_path: Path) -> None:
    colours = ["red", "blue", "green"]
    paths = [save(tmp_path / f"{colour}.png", draw(colour)) for colour in colours]
    alone, many = encode_images(paths), encode_images(paths, num_workers=2, batch_size=1)
    assert torch.equal(alone[0], many[0])


def test_cache_goes_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.png", draw())
    cache = tmp_path / "cache"
    x, _ = encode_images([path], cache_dir=cache)
    os.rename(path, tmp_path / "b.png")
    calls = []
    monkeypatch.setattr(
        images, "read_image", lambda content: calls.append(1) or draw("blue").convert("RGBA")
    )
    again, mask = encode_images([str(tmp_path / "b.png")], cache_dir=cache)
    assert torch.equal(x, again)
    assert mask.all()
    assert not calls
    save(tmp_path / "b.png", draw("green"))
    encode_images([str(tmp_path / "b.png")], cache_dir=cache)
    assert calls
    assert len(list(cache.iterdir())) == 1  # nothing temporary stays behind


def test_broken_cache_is_made_anew(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", draw())
    x, _ = encode_images([path], cache_dir=tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    for content in (b"", b"rubbish", file.read_bytes()[:-100]):
        file.write_bytes(content)
        assert torch.equal(encode_images([path], cache_dir=tmp_path / "cache")[0], x)


def test_cache_admits_no_pickled_objects(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", draw())
    x, _ = encode_images([path], cache_dir=tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    np.savez(file, digest=np.array([{}], dtype=object), x=np.zeros((1, NUM_FEATURES)))
    assert torch.equal(encode_images([path], cache_dir=tmp_path / "cache")[0], x)


@pytest.mark.parametrize("encoder", ["", "vgg", "timm:", "open_clip:", "handcrafted:x"])
def test_unknown_encoder(encoder: str) -> None:
    with pytest.raises(ValueError, match="image_encoder"):
        encode_images([], encoder)


class Network(torch.nn.Module):
    """Mean colour; remembers how it was called."""

    num_features = 3

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.visual = SimpleNamespace(output_dim=3)

    def forward(self, x: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        assert not self.training
        self.batches.append(x.size(0))
        return x.mean(dim=(2, 3))

    def encode_image(self, x: Tensor) -> Tensor:
        return self(x).half()


def to_tensor(image: Image.Image) -> Tensor:
    assert image.mode == "RGB"
    values = np.array(image.resize((4, 4)), dtype=np.float32)
    return torch.from_numpy(values).permute(2, 0, 1) / 255


def test_timm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network()
    timm: Any = ModuleType("timm")

    def create_model(name: str, pretrained: bool, num_classes: int) -> Network:
        assert (name, pretrained, num_classes) == ("resnet18", True, 0)
        return network

    def create_transform(is_training: bool, **config: int) -> Any:
        assert not is_training
        assert config == {"input_size": 4}
        return to_tensor

    timm.create_model = create_model
    timm.data = SimpleNamespace(
        resolve_model_data_config=lambda model: {"input_size": 4}, create_transform=create_transform
    )
    monkeypatch.setitem(sys.modules, "timm", timm)
    paths = [
        save(tmp_path / f"{i}.png", Image.new("RGB", (8, 8), (255, 51 * i, 0))) for i in range(3)
    ]
    clear = save(tmp_path / "clear.png", Image.new("RGBA", (8, 8), (255, 0, 0, 0)))
    x, mask = encode_images([*paths, clear, None], "timm:resnet18", batch_size=2)
    expected = [[1, 0, 0], [1, 0.2, 0], [1, 0.4, 0], [1, 1, 1], [0, 0, 0]]  # clear is white
    torch.testing.assert_close(x, torch.tensor(expected, dtype=torch.float32))
    assert mask.tolist() == [True] * 4 + [False]
    assert network.batches == [2, 2]


def test_open_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    open_clip: Any = ModuleType("open_clip")

    def create(name: str, pretrained: str) -> tuple[Network, None, Any]:
        asked.append((name, pretrained))
        return Network(), None, to_tensor

    open_clip.create_model_and_transforms = create
    open_clip.list_pretrained_tags_by_model = lambda name: ["first"] if name == "ViT" else []
    monkeypatch.setitem(sys.modules, "open_clip", open_clip)
    path = save(tmp_path / "a.png", Image.new("RGB", (8, 8), "red"))
    for encoder in ("open_clip:ViT", "open_clip:ViT/second"):
        x, _ = encode_images([path], encoder)
        assert x.dtype == torch.float32
        assert x.tolist() == [[1, 0, 0]]
    assert asked == [("ViT", "first"), ("ViT", "second")]
    with pytest.raises(ValueError, match="no weights"):
        encode_images([path], "open_clip:none")


@pytest.mark.parametrize(
    ("encoder", "module", "extra"),
    [
        ("timm:resnet18", "timm", "timm"),
        ("open_clip:ViT-B-32", "open_clip", "open-clip"),
        ("handcrafted", "skimage.color", "images"),
    ],
)
def test_missing_extra_is_named(
    encoder: str, module: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == module:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    path = save(tmp_path / "a.png", draw())
    with pytest.raises(ImportError, match=rf"pip install '\.\[{extra}\]"):
        encode_images([path], encoder)


@pytest.mark.dataset
@pytest.mark.slow
def test_emoji_of_two_vendors(data_root: Path) -> None:
    folder = data_root / "emoji" / "noto_twemoji_en_zh"
    links = [line.split() for line in (folder / "sup_ent_ids").read_text().splitlines()]
    pairs = [(folder / "images_1" / f"{s}.png", folder / "images_2" / f"{t}.png") for s, t in links]
    pairs = [pair for pair in pairs if pair[0].exists() and pair[1].exists()]
    x, mask = encode_images([path for side in zip(*pairs, strict=True) for path in side])
    x_s, x_t = reduce_features(x, mask).chunk(2)
    hits = (x_s @ x_t.t()).argmax(dim=1) == torch.arange(len(pairs))
    assert hits.float().mean() > 0.62
