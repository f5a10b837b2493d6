"""Pictures as feature vectors."""

import hashlib
import io
import logging
import os
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pyg_mmea.data import handcrafted
from pyg_mmea.data.feature_cache import read_cache, write_cache
from pyg_mmea.utils.io import fingerprint, open_ordinary
from pyg_mmea.utils.progress import track

logger = logging.getLogger(__name__)

# A picture with more pixels is refused before it is unpacked.
MAX_PIXELS = 50_000_000
# Those that Pillow reads itself: for others, such as PostScript, it starts programs.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "PPM", "ICO", "TGA", "AVIF")

ImagePaths = Sequence[str | os.PathLike[str] | None]


@dataclass
class _Encoder:
    """Turns a picture into a tensor in the workers, and a batch of those into features."""

    name: str
    transform: Callable[[Image.Image], Tensor | None]
    num_features: int
    model: Callable[[Tensor], Tensor] | None = None


def read_image(content: bytes) -> Image.Image:
    """Unpacks the first frame of a picture of any mode, upright, as RGBA.

    Raises:
        ValueError: If it has more than 50 million pixels.
        OSError: If it is no picture, a broken one or of a format that is not read by Pillow
            itself, such as PostScript; Pillow raises other errors as well.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its oddities are nobody's business
        # A picture inside of another, as in an icon, has a size of its own.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        file = Image.open(io.BytesIO(content), formats=FORMATS)
        if file.width * file.height > MAX_PIXELS:
            raise ValueError(f"{file.width} x {file.height} pixels are too many")
        file.draft("RGB", (512, 512))  # a large JPEG is unpacked at a fraction of its size
        image: Image.Image = ImageOps.exif_transpose(file)
        if image.mode.startswith(("I", "F")):  # 16 or 32 bits: stretch to what is there
            values = np.asarray(image, dtype=np.float64)
            values = (values - values.min()) / max(float(np.ptp(values)), 1e-12)
            image = Image.fromarray((255 * values).astype(np.uint8))
        elif image.mode not in ("RGB", "RGBA", "L", "LA", "P", "PA"):
            image = image.convert("RGB")
        return image.convert("RGBA")


class _Files(Dataset[tuple[Tensor | None, str]]):
    def __init__(self, contents: Sequence[Path], encoder: _Encoder) -> None:
        self.paths = contents
        self.encoder = encoder

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor | None, str]:
        try:
            with open_ordinary(self.paths[index]) as file:
                image = read_image(file.read())
        except Exception as error:  # Pillow's readers raise nearly anything on broken files
            return None, f"{type(error).__name__}: {error}"
        out = self.encoder.transform(image)
        return out, "" if out is not None else "nothing visible"


def encode_images(
    paths: ImagePaths,
    encoder: str = "handcrafted",
    cache_dir: str | os.PathLike[str] | None = None,
    num_workers: int = 0,
    batch_size: int = 64,
    device: str = "cpu",
) -> tuple[Tensor, Tensor]:
    """Turns pictures into feature vectors that do not depend on each other.

    A path that is :obj:`None` is no picture. Missing files and files that cannot be read (broken,
    no picture, more than 50 million pixels) are counted in the log and then treated alike; of an
    animation the first frame counts. :func:`~pyg_mmea.data.reduce_features` makes the result of
    :obj:`"handcrafted"` shorter and better.

    Args:
        paths (list[str or None]): The files.
        encoder (str): :obj:`"handcrafted"` for shape and colour, see
            :func:`~pyg_mmea.data.handcrafted.handcrafted`; :obj:`"timm:<name>"` or
            :obj:`"open_clip:<name>"` for a pretrained network, for the latter with
            :obj:`"/<weights>"` after the name. (default: :obj:`"handcrafted"`)
        cache_dir (str, optional): Folder that keeps features by the hash of the file's content.
            (default: :obj:`None`)
        num_workers (int): Processes that read the files. (default: :obj:`0`)
        batch_size (int): Pictures a pretrained network sees at a time. (default: :obj:`64`)
        device (str): Where a pretrained network runs. (default: :obj:`"cpu"`)

    Returns:
        Features :math:`(N, D)` and the mask :math:`(N)` of those there are. Other rows are zero.

    Raises:
        ValueError: If there is no such encoder.
        ImportError: If an encoder needs an extra that is not installed.
    """
    build = _make_encoder(encoder, device)
    digests, problems = _digests(paths)
    first: dict[str, Path] = {}
    for path, digest in zip(paths, digests, strict=True):
        if path is not None and digest is not None:
            first.setdefault(digest, Path(path))
    cache = None if cache_dir is None else _cache_path(cache_dir, build)
    known = {} if cache is None else read_cache(cache, build.num_features)
    todo = [digest for digest in first if digest not in known]
    files = _Files([first[digest] for digest in todo], build)
    new, reasons = _encode(files, build, num_workers, batch_size, device)
    known.update({todo[i]: row for i, row in new.items()})
    if cache is not None and new:
        write_cache(cache, known)

    x = np.zeros((len(paths), build.num_features), dtype=np.float32)
    mask = np.zeros(len(paths), dtype=bool)
    failed = {todo[i]: reason for i, reason in reasons.items()}
    for i, digest in enumerate(digests):
        if digest in known:
            x[i], mask[i] = known[digest], True
        elif digest is not None:
            problems[str(paths[i])] = failed[digest]
    _report(problems, len(paths) - sum(path is None for path in paths))
    return torch.from_numpy(x), torch.from_numpy(mask)


def _digests(paths: ImagePaths) -> tuple[list[str | None], dict[str, str]]:
    """Hash of each file's content, and why there is none."""
    digests: list[str | None] = []
    problems: dict[str, str] = {}
    for path in paths:
        digest = None
        if path is not None:
            try:
                with open_ordinary(path) as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
            except (OSError, ValueError) as error:
                missing = isinstance(error, FileNotFoundError)
                problems[str(path)] = "missing" if missing else f"unreadable: {error}"
        digests.append(digest)
    return digests, problems


def _encode(
    files: _Files, encoder: _Encoder, num_workers: int, batch_size: int, device: str
) -> tuple[dict[int, np.ndarray], dict[int, str]]:
    rows: dict[int, np.ndarray] = {}
    reasons: dict[int, str] = {}
    loader = DataLoader(files, batch_size, num_workers=num_workers, collate_fn=list)
    batches = track(loader, "Reading pictures", len(files), "pictures", batch_size)
    for start, batch in zip(range(0, len(files), batch_size), batches, strict=True):
        good = {start + i: out for i, (out, _) in enumerate(batch) if out is not None}
        reasons.update({start + i: why for i, (out, why) in enumerate(batch) if out is None})
        if not good:
            continue
        stacked = torch.stack(list(good.values()))
        if encoder.model is not None:
            with torch.no_grad():
                stacked = encoder.model(stacked.to(device)).float().cpu()
        rows.update(zip(good, stacked.numpy(), strict=True))
    return rows, reasons


def _report(problems: dict[str, str], num_paths: int) -> None:
    if not problems:
        return
    kinds = Counter(reason.split(":")[0] for reason in problems.values())
    path, reason = next(iter(problems.items()))
    logger.warning(
        "%d of %d pictures could not be used (%s), first '%s': %s",
        len(problems),
        num_paths,
        ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items())),
        path,
        reason,
    )


def _cache_path(cache_dir: str | os.PathLike[str], encoder: _Encoder) -> Path:
    return Path(cache_dir) / f"images-{fingerprint(encoder.name, handcrafted.VERSION)}.npz"


def _make_encoder(name: str, device: str) -> _Encoder:
    kind, _, model = name.partition(":")
    if name == "handcrafted":
        return _Encoder(name, _handcrafted, handcrafted.NUM_FEATURES)
    if kind == "timm" and model:
        return _timm(name, model, device)
    if kind == "open_clip" and model:
        return _open_clip(name, model, device)
    raise ValueError(
        "'image_encoder' needs to be 'handcrafted', 'timm:<name>' or 'open_clip:<name>' "
        f"(got '{name}')"
    )


def _handcrafted(image: Image.Image) -> Tensor | None:
    vector = handcrafted.handcrafted(image)
    return None if vector is None else torch.from_numpy(vector)


def _on_white(transform: Callable[[Image.Image], Any]) -> Callable[[Image.Image], Tensor]:
    def apply(image: Image.Image) -> Tensor:
        white = Image.new("RGBA", image.size, "white")
        return transform(Image.alpha_composite(white, image).convert("RGB"))

    return apply


def _timm(name: str, model_name: str, device: str) -> _Encoder:
    try:
        import timm
    except ImportError as error:
        raise ImportError(f"'{name}' needs pip install '.[timm]' from a clone") from error
    model = timm.create_model(model_name, pretrained=True, num_classes=0).eval().to(device)
    config = timm.data.resolve_model_data_config(model)
    transform = timm.data.create_transform(**config, is_training=False)
    return _Encoder(name, _on_white(transform), model.num_features, model)


def _open_clip(name: str, model_name: str, device: str) -> _Encoder:
    try:
        import open_clip
    except ImportError as error:
        raise ImportError(f"'{name}' needs pip install '.[open-clip]' from a clone") from error
    model_name, _, weights = model_name.partition("/")
    if not weights:
        tags = open_clip.list_pretrained_tags_by_model(model_name)
        if not tags:
            raise ValueError(f"open_clip has no weights for '{model_name}'")
        weights = tags[0]
    model, _, transform = open_clip.create_model_and_transforms(model_name, pretrained=weights)
    model = model.eval().to(device)
    return _Encoder(name, _on_white(transform), model.visual.output_dim, model.encode_image)
