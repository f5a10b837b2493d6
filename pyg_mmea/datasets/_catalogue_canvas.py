"""What the products of the generated catalogue are drawn with: patterns, shading, parts."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw

SIZE = 256  # pixels of the drawing, which is scaled down later

Colour = tuple[int, int, int]
Point = tuple[float, float]


@dataclass(frozen=True)
class Look:
    """Everything that the pictures of a product have in common.

    Args:
        kind (str): What it is, such as :obj:`"mug"`.
        form (tuple[float, ...]): Eight numbers in [0, 1] that set proportions and details.
        colours (tuple[Colour, Colour, Colour]): Main, second and accent colour.
        pattern (str): An entry of :obj:`PATTERNS`.
        scale (float): Size of the pattern in [0, 1].
        logo (int): Shape of the logo of the brand.
    """

    kind: str
    form: tuple[float, ...]
    colours: tuple[Colour, Colour, Colour]
    pattern: str
    scale: float
    logo: int

    def between(self, i: int, low: float, high: float) -> float:
        """The i-th number of the form, from [0, 1] to [low, high]."""
        return low + self.form[i] * (high - low)

    def choice(self, i: int, count: int) -> int:
        """The i-th number of the form as one of :obj:`count` options."""
        return min(int(self.form[i] * count), count - 1)


def _ramp(values: list[int]) -> Image.Image:
    """A gradient from left to right, stretched over a part when it is shaded."""
    xs = np.linspace(0, len(values) - 1, 64)
    row = np.interp(xs, range(len(values)), values).astype(np.uint8)
    return Image.fromarray(row[None])


_SHADES = {
    "flat": _ramp([235, 255, 235]),
    "round": _ramp([150, 225, 255, 245, 205, 135]),
    "dark": _ramp([175, 190, 170]),
}


def _stripes(draw: ImageDraw.ImageDraw, step: float, colour: Colour, upright: bool) -> None:
    for i in range(int(SIZE / step) + 1):
        low, high = i * step, i * step + step / 2
        draw.rectangle((low, 0, high, SIZE) if upright else (0, low, SIZE, high), fill=colour)


def _diagonal(draw: ImageDraw.ImageDraw, step: float, colour: Colour) -> None:
    for i in range(int(2 * SIZE / step) + 1):
        x = i * step
        draw.line((x, 0, x - SIZE, SIZE), fill=colour, width=max(2, int(step / 3)))


def _dots(draw: ImageDraw.ImageDraw, step: float, colour: Colour) -> None:
    r = step * 0.28
    for i in range(int(SIZE / step) + 2):
        for j in range(int(SIZE / step) + 2):
            x, y = (i + 0.5 * (j % 2)) * step, j * step
            draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)


def _checks(draw: ImageDraw.ImageDraw, step: float, colour: Colour) -> None:
    for i in range(int(SIZE / step) + 1):
        for j in range(i % 2, int(SIZE / step) + 1, 2):
            draw.rectangle((i * step, j * step, (i + 1) * step, (j + 1) * step), fill=colour)


def _zigzag(draw: ImageDraw.ImageDraw, step: float, colour: Colour) -> None:
    for j in range(-1, int(SIZE / step) + 1):
        points = [
            (i * step / 2, (j + 0.5 * (i % 2)) * step) for i in range(int(2 * SIZE / step) + 2)
        ]
        draw.line(points, fill=colour, width=max(2, int(step / 4)))


def _band(draw: ImageDraw.ImageDraw, step: float, colour: Colour) -> None:
    middle = SIZE * (0.35 + step / SIZE * 2)
    draw.rectangle((0, middle - step / 2, SIZE, middle + step / 2), fill=colour)


_DRAW_PATTERN: dict[str, Callable[[ImageDraw.ImageDraw, float, Colour], None]] = {
    "plain": lambda draw, step, colour: None,
    "striped": lambda draw, step, colour: _stripes(draw, step, colour, False),
    "pinstriped": lambda draw, step, colour: _stripes(draw, step, colour, True),
    "diagonal": _diagonal,
    "dotted": _dots,
    "checked": _checks,
    "zigzag": _zigzag,
    "banded": _band,
}
PATTERNS = tuple(_DRAW_PATTERN)


class Canvas:
    """A transparent square that takes shaded parts, one over the other; coordinates are in
    [0, 1] from the top left corner.
    """

    def __init__(self, look: Look) -> None:
        self.look = look
        self.image = Image.new("RGBA", (SIZE, SIZE), (*look.colours[0], 0))
        self.fabric = Image.new("RGB", (SIZE, SIZE), look.colours[0])
        step = SIZE * (0.05 + 0.09 * look.scale)
        _DRAW_PATTERN[look.pattern](ImageDraw.Draw(self.fabric), step, look.colours[1])

    def _paint(self, mask: Image.Image, colour: Colour | None, shade: str) -> None:
        box = mask.getbbox()
        if box is None:
            return
        mask = mask.crop(box)
        part = self.fabric.crop(box) if colour is None else Image.new("RGB", mask.size, colour)
        light = _SHADES[shade].resize(mask.size, Image.Resampling.BILINEAR)
        part = ImageChops.multiply(part, Image.merge("RGB", (light, light, light)))
        self.image.paste(part.convert("RGBA"), box[:2], mask)

    def polygon(
        self, points: list[Point], colour: Colour | None = None, shade: str = "flat"
    ) -> None:
        """A filled polygon; without a colour it is covered with the pattern of the product."""
        mask = Image.new("L", (SIZE, SIZE))
        ImageDraw.Draw(mask).polygon([(x * SIZE, y * SIZE) for x, y in points], fill=255)
        self._paint(mask, colour, shade)

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        colour: Colour | None = None,
        radius: float = 0.02,
        shade: str = "flat",
    ) -> None:
        """A box with rounded corners around the point (x, y)."""
        mask = Image.new("L", (SIZE, SIZE))
        corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        scaled = tuple(value * SIZE for value in corners)
        ImageDraw.Draw(mask).rounded_rectangle(scaled, radius * SIZE, fill=255)
        self._paint(mask, colour, shade)

    def disc(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        colour: Colour | None = None,
        shade: str = "flat",
    ) -> None:
        """An ellipse around the point (x, y)."""
        mask = Image.new("L", (SIZE, SIZE))
        corners = tuple(value * SIZE for value in (x - rx, y - ry, x + rx, y + ry))
        ImageDraw.Draw(mask).ellipse(corners, fill=255)
        self._paint(mask, colour, shade)

    def line(self, points: list[Point], width: float, colour: Colour, shade: str = "flat") -> None:
        """A line through points, with round corners."""
        mask = Image.new("L", (SIZE, SIZE))
        scaled = [(x * SIZE, y * SIZE) for x, y in points]
        pixels = max(2, round(width * SIZE))
        draw = ImageDraw.Draw(mask)
        draw.line(scaled, fill=255, width=pixels, joint="curve")
        for x, y in (scaled[0], scaled[-1]):
            draw.ellipse((x - pixels / 2, y - pixels / 2, x + pixels / 2, y + pixels / 2), fill=255)
        self._paint(mask, colour, shade)

    def arc(
        self, x: float, y: float, rx: float, ry: float, span: Point, width: float, colour: Colour
    ) -> None:
        """Part of the outline of an ellipse; :obj:`span` in degrees, clockwise from the right."""
        angles = np.radians(np.linspace(*span, 24))
        self.line([(x + rx * math.cos(a), y + ry * math.sin(a)) for a in angles], width, colour)

    def lathe(self, y0: float, y1: float, radii: list[float], colour: Colour | None = None) -> None:
        """A turned body: radii at equal distances from the height y0 down to y1."""
        t = np.linspace(0, len(radii) - 1, 40)
        left = np.clip(t.astype(int), 0, len(radii) - 2)
        ease = (1 - np.cos(np.pi * (t - left))) / 2
        knots = np.array(radii)
        r = knots[left] * (1 - ease) + knots[left + 1] * ease
        y = np.linspace(y0, y1, 40)
        right_side = list(zip(0.5 + r, y, strict=True))
        left_side = list(zip(0.5 - r, y, strict=True))[::-1]
        self.polygon(right_side + left_side, colour, "round")

    def logo(self, x: float, y: float, r: float) -> None:
        """The sign of the brand."""
        accent = self.look.colours[2]
        corners = (3, 4, 5, 6)[self.look.logo // 3 % 4]
        style = self.look.logo % 3
        if style == 0:
            self.disc(x, y, r, r, accent)
            return
        inner = 1.0 if style == 1 else 0.45
        count = corners if style == 1 else 2 * corners
        angles = [2 * math.pi * i / count - math.pi / 2 for i in range(count)]
        radii = [r * (1.0 if i % 2 == 0 or style == 1 else inner) for i in range(count)]
        self.polygon(
            [
                (x + q * math.cos(a), y + q * math.sin(a))
                for q, a in zip(radii, angles, strict=True)
            ],
            accent,
        )
