"""Image features that need no pretrained weights: shape and colour, measured directly."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.floating]

THUMBNAIL = 64  # pixels a side, after cropping to the content and stretching to a square
BINS = (6, 8, 8)  # of the Lab histogram
WEIGHTS = {
    "hog_fine": 1.0,
    "hog_coarse": 0.7,
    "hog_unstretched": 0.7,
    "outline": 0.5,
    "layout": 1.0,
    "histogram": 0.5,
}
NUM_FEATURES = 1764 + 324 + 324 + 1764 + 192 + 384
VERSION = 3  # goes into cache keys: raise it whenever a number below changes


def handcrafted(image: Image.Image) -> Array | None:
    r"""Describes a picture by six blocks, each L2-normalised and then weighted:

    * ``hog_fine`` and ``hog_coarse``: `Histograms of Oriented Gradients for Human Detection
      <https://ieeexplore.ieee.org/document/1467360>`_ (HOG) of the lightness, 9 orientations,
      2 x 2 cells a block, with cells of 8 and of 16 pixels;
    * ``hog_unstretched``: the same with cells of 16 pixels, padded to a square, not stretched;
    * ``outline``: the same with cells of 8 pixels on the mask of the content;
    * ``layout``: mean Lab colour in an 8 x 8 grid, as difference to white;
    * ``histogram``: square root of a smoothed 6 x 8 x 8 Lab histogram of the content.

    Before that, the content is found: by the alpha channel, or in an opaque picture as what
    differs in colour from the border next to it. The picture is cropped to the content,
    stretched to 64 x 64 pixels and put on white, so that neither the background nor the place
    or size of the object in the frame counts. Where nothing stands out from the border, the
    whole picture is the content.

    Args:
        image (PIL.Image.Image): The picture, in mode :obj:`"RGBA"`.

    Returns:
        A vector with :obj:`NUM_FEATURES` entries, or :obj:`None` where the picture is fully
        transparent.
    """
    try:
        from skimage.color import rgb2lab
        from skimage.feature import hog
    except ImportError as error:
        raise ImportError(
            "Handcrafted features need pip install '.[images]' from a clone"
        ) from error

    content = _crop(_cut_out(np.asarray(image, dtype=np.float32) / 255, rgb2lab))
    if content is None:
        return None

    def thumbnail(rgba: Array) -> tuple[Array, Array]:
        small = _resize(rgba, THUMBNAIL)
        alpha = small[..., 3]
        return rgb2lab(np.clip(small[..., :3] + (1 - alpha[..., None]), 0, 1)), alpha

    def oriented(channel: Array, cell: int) -> Array:
        return hog(channel, 9, (cell, cell), (2, 2), block_norm="L2-Hys")

    lab, alpha = thumbnail(content)
    unstretched, _ = thumbnail(_pad(content))

    cell = THUMBNAIL // 8
    grid = (lab - [100.0, 0.0, 0.0]).reshape(8, cell, 8, cell, 3).mean(axis=(1, 3))
    blocks = {
        "hog_fine": oriented(lab[..., 0] / 100, 8),
        "hog_coarse": oriented(lab[..., 0] / 100, 16),
        "hog_unstretched": oriented(unstretched[..., 0] / 100, 16),
        "outline": oriented(alpha, 8),
        "layout": grid.ravel(),
        "histogram": _histogram(lab, alpha),
    }
    return np.concatenate([WEIGHTS[name] * _unit(block) for name, block in blocks.items()])


def _unit(block: Array) -> Array:
    return (block / max(float(np.linalg.norm(block)), 1e-8)).astype(np.float32)


def _cut_out(rgba: Array, rgb2lab: Callable[[Array], Array]) -> Array:
    """Makes the background transparent; a picture with an alpha channel keeps its own."""
    from scipy.ndimage import binary_fill_holes, binary_opening, label
    from scipy.spatial import cKDTree
    from skimage.filters import threshold_otsu

    if rgba[..., 3].min() < 0.5:
        return rgba
    small = _resize(rgba, THUMBNAIL)
    lab = rgb2lab(small[..., :3]) * [0.6, 1.0, 1.0]
    place = np.stack(np.meshgrid(*2 * [np.linspace(0, 8, THUMBNAIL)], indexing="ij"), axis=-1)
    pixels = np.concatenate([lab, place], axis=-1)
    border = np.ones((THUMBNAIL, THUMBNAIL), dtype=bool)
    border[2:-2, 2:-2] = False
    # The eighth nearest, so that a corner of the object on the border does not count.
    distance = cKDTree(pixels[border]).query(pixels.reshape(-1, 5), k=[8])[0]
    distance = distance.reshape(THUMBNAIL, THUMBNAIL)
    # Half of Otsu's threshold: losing parts of the object costs more than keeping some ground.
    mask = binary_fill_holes(binary_opening(distance > max(0.5 * threshold_otsu(distance), 6.0)))
    regions, count = label(mask)
    sizes = np.bincount(regions.ravel(), minlength=count + 1)[1:]
    if count == 0 or not 0.02 < mask.mean() < 0.9:
        return rgba  # nothing stands out: the picture as a whole is the content
    mask = np.isin(regions, 1 + np.flatnonzero(sizes > 0.15 * sizes.max()))
    return np.dstack([small[..., :3], mask]).astype(np.float32)


def _crop(rgba: Array) -> Array | None:
    visible = rgba[..., 3] > 0.1
    rows, columns = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
    if len(rows) == 0:
        return None
    return rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _pad(rgba: Array) -> Array:
    """Adds transparent margins on both sides of the shorter side until it is a square."""
    height, width = rgba.shape[:2]
    missing = max(height, width) - np.array([height, width])
    before = missing // 2
    margins = np.stack([before, missing - before], axis=1).tolist()
    return np.pad(rgba, [*margins, (0, 0)])


def _resize(rgba: Array, size: int) -> Array:
    """Resizes to a square with premultiplied alpha, so that edges keep their colour."""
    premultiplied = np.dstack([rgba[..., :3] * rgba[..., 3:], rgba[..., 3]])
    channels = [
        Image.fromarray(np.ascontiguousarray(premultiplied[..., i])).resize(
            (size, size), Image.Resampling.BILINEAR
        )
        for i in range(4)
    ]
    return np.stack([np.asarray(channel) for channel in channels], axis=-1)


def _histogram(lab: Array, alpha: Array) -> Array:
    from scipy.ndimage import gaussian_filter

    bins = tuple(2 * count for count in BINS)
    limits = ((0, 100.01), (-100, 100), (-100, 100))
    counts, _ = np.histogramdd(lab.reshape(-1, 3), bins, limits, weights=alpha.ravel())
    smooth = gaussian_filter(counts / max(float(counts.sum()), 1e-6), 1.0)[::2, ::2, ::2]
    return np.sqrt(smooth).ravel()
