"""Takes the pictures of the generated catalogue: clean ones of the studio, and those of a shop."""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from pyg_mmea.datasets._catalogue_canvas import SIZE, Look
from pyg_mmea.datasets._catalogue_shapes import draw_product

PICTURE = 128  # pixels a side of the finished pictures

_WALLS = ((214, 204, 190), (190, 199, 204), (226, 221, 211), (178, 186, 172), (205, 188, 178))
_FLOORS = ((138, 104, 76), (170, 148, 120), (98, 92, 88), (188, 182, 172), (120, 132, 138))


def studio_picture(look: Look) -> Image.Image:
    """The product upright and in even light on a nearly white ground, with a soft shadow."""
    product = draw_product(look)
    picture = Image.new("RGB", (SIZE, SIZE), (247, 247, 248))
    _put(picture, product, shadow=(0, 5, 60))
    return picture.resize((PICTURE, PICTURE), Image.Resampling.LANCZOS)


def shop_picture(look: Look, noise: float, rng: np.random.Generator) -> Image.Image:
    """A photo of the same product by someone else.

    Args:
        look (Look): The product.
        noise (float): How far it is from the studio picture, in [0, 1]: rotation, perspective,
            size and place in the frame (parts may be cut off), light and its colour, background,
            something in front of it, blur and grain.
        rng (numpy.random.Generator): What draws all this.
    """
    product = _turn(draw_product(look), noise, rng)
    picture = _background(rng) if rng.random() < 0.3 + 0.7 * noise else _plain(rng)
    shift = int(rng.uniform(-20, 20) * noise)
    _put(picture, product, (shift, 8 + abs(shift) // 2, 90))
    if rng.random() < 0.25 * noise:
        _cover(picture, rng)
    picture = _light(picture, noise, rng)
    picture = picture.resize((PICTURE, PICTURE), Image.Resampling.LANCZOS)
    if noise > 0:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.4) * noise))
        grain = rng.normal(0, 8 * noise, (PICTURE, PICTURE, 1))
        values = np.asarray(picture, dtype=np.float32) + grain
        picture = Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
    return picture


def _put(picture: Image.Image, product: Image.Image, shadow: tuple[int, int, int]) -> None:
    x, y, strength = shadow
    alpha = product.getchannel("A").filter(ImageFilter.GaussianBlur(6))
    picture.paste((30, 28, 30), (x, y), alpha.point(lambda value: value * strength // 255))
    picture.paste(product, (0, 0), product.getchannel("A"))


def _turn(product: Image.Image, noise: float, rng: np.random.Generator) -> Image.Image:
    """Rotates, scales, moves and tilts the product within its frame."""
    angle = math.radians(rng.normal(0, 16) * noise)
    scale = 1 + rng.uniform(-0.35, 0.3) * noise
    dx, dy = rng.uniform(-0.12, 0.12, 2) * noise * SIZE
    tilt_x, tilt_y = rng.uniform(-0.35, 0.35, 2) * noise / SIZE
    middle = SIZE / 2
    cos, sin = math.cos(angle) / scale, math.sin(angle) / scale
    # Output to input coordinates: to the middle, turn, back; the last row is the perspective.
    to_middle = np.array([[1, 0, -middle - dx], [0, 1, -middle - dy], [0, 0, 1]])
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [tilt_x, tilt_y, 1]])
    back = np.array([[1, 0, middle], [0, 1, middle], [0, 0, 1]])
    matrix = back @ turn @ to_middle
    values = (matrix / matrix[2, 2]).ravel()[:8].tolist()
    method = Image.Transform.PERSPECTIVE
    return product.transform((SIZE, SIZE), method, values, Image.Resampling.BILINEAR)


def _plain(rng: np.random.Generator) -> Image.Image:
    colour = _WALLS[rng.integers(len(_WALLS))]
    return Image.new("RGB", (SIZE, SIZE), colour)


def _background(rng: np.random.Generator) -> Image.Image:
    """A wall and a floor or a shelf; sometimes planks or tiles, sometimes something behind."""
    picture = _plain(rng)
    draw = ImageDraw.Draw(picture)
    horizon = int(SIZE * rng.uniform(0.55, 0.85))
    floor = _FLOORS[rng.integers(len(_FLOORS))]
    if rng.random() < 0.3:
        step = int(rng.integers(24, 60))
        for x in range(0, SIZE, step):
            draw.line((x, 0, x, horizon), fill=(200, 196, 190), width=2)
            draw.line((0, x, SIZE, x), fill=(200, 196, 190), width=2)
    draw.rectangle((0, horizon, SIZE, SIZE), fill=floor)
    dark = (max(floor[0] - 18, 0), max(floor[1] - 18, 0), max(floor[2] - 18, 0))
    for y in range(horizon, SIZE, int(rng.integers(12, 30))):
        draw.line((0, y, SIZE, y), fill=dark, width=2)
    for _ in range(int(rng.integers(0, 3))):
        x, width, height = rng.integers([0, 20, 30], [SIZE, 60, 110]).tolist()
        colour = tuple(int(value) for value in rng.integers(90, 220, 3))
        draw.rectangle((x, horizon - height, x + width, horizon), fill=colour)
    return picture.filter(ImageFilter.GaussianBlur(2.5))


def _cover(picture: Image.Image, rng: np.random.Generator) -> None:
    """A price tag in front of the product."""
    x, y = rng.integers(20, SIZE - 90, 2).tolist()
    draw = ImageDraw.Draw(picture)
    draw.rounded_rectangle((x, y, x + 62, y + 34), 6, fill=(232, 62, 54))
    for i in range(3):
        draw.rectangle((x + 9 + 16 * i, y + 9, x + 19 + 16 * i, y + 25), fill=(250, 245, 240))


def _light(picture: Image.Image, noise: float, rng: np.random.Generator) -> Image.Image:
    """Brightness, contrast, colour of the light, and light from one side."""
    picture = ImageEnhance.Brightness(picture).enhance(1 + rng.uniform(-0.35, 0.25) * noise)
    picture = ImageEnhance.Contrast(picture).enhance(1 + rng.uniform(-0.3, 0.2) * noise)
    warm = rng.normal(0, 0.12) * noise
    side = np.linspace(1 - 0.3 * noise, 1 + 0.2 * noise, SIZE, dtype=np.float32)
    if rng.random() < 0.5:
        side = side[::-1]
    factors = np.array([1 + warm, 1.0, 1 - warm], dtype=np.float32)
    values = np.asarray(picture, dtype=np.float32) * side[None, :, None] * factors
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
