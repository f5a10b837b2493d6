"""Draws the products of the generated catalogue: a function per kind of product."""

import math
from collections.abc import Callable

import numpy as np
from PIL import Image

from pyg_mmea.datasets._catalogue_canvas import Canvas, Look


def _mug(c: Canvas, v: Look) -> None:
    height, top, bottom = (
        v.between(0, 0.36, 0.62),
        v.between(1, 0.17, 0.27),
        v.between(2, 0.13, 0.26),
    )
    y0, y1 = 0.5 - height / 2, 0.5 + height / 2
    handle, size = v.choice(3, 3), v.between(4, 0.55, 1.0)
    x, reach, half = 0.5 + (top + bottom) / 2, 0.16 * size, height * 0.32 * size
    if handle == 0:
        c.arc(x, 0.5, reach, half, (-95, 95), 0.045, v.colours[0])
    elif handle == 1:
        corners = [
            (x, 0.5 - half),
            (x + reach, 0.5 - half),
            (x + reach, 0.5 + half),
            (x, 0.5 + half),
        ]
        c.line(corners, 0.045, v.colours[2])
    else:
        c.arc(x, 0.5 - half * 0.5, reach, half * 0.7, (-110, 80), 0.05, v.colours[1])
    c.lathe(y0, y1, [top, (top + bottom) / 2 * v.between(5, 0.85, 1.12), bottom])
    c.disc(0.5, y0, top, 0.045, v.colours[2] if v.form[6] > 0.5 else v.colours[0])
    c.disc(0.5, y0 + 0.005, top * 0.9, 0.034, (92, 70, 60), "dark")
    if v.form[7] > 0.4:
        c.logo(0.5, 0.52, 0.065)


def _bottle(c: Canvas, v: Look) -> None:
    height, body = v.between(0, 0.6, 0.86), v.between(1, 0.09, 0.19)
    neck = body * v.between(2, 0.3, 0.7)
    y0, y1 = 0.52 - height / 2, 0.52 + height / 2
    shoulder = [neck, neck, body * v.between(3, 0.6, 1.0), body, body * v.between(4, 0.75, 1.05)]
    c.lathe(y0, y1, [*shoulder, body * v.between(5, 0.8, 1.0)])
    cap = v.between(6, 0.05, 0.11)
    c.box(0.5, y0 - cap / 4, 2.3 * neck, cap, v.colours[2], 0.01, "round")
    if v.form[7] > 0.3:
        c.box(0.5, 0.5 + height * 0.18, 1.7 * body, height * 0.26, v.colours[1], 0.01, "round")
        c.logo(0.5, 0.5 + height * 0.18, body * 0.45)


def _vase(c: Canvas, v: Look) -> None:
    height = v.between(0, 0.5, 0.8)
    radii = [v.between(i, 0.06, 0.26) for i in (1, 2, 3, 4)] + [v.between(5, 0.1, 0.18)]
    y0, y1 = 0.5 - height / 2, 0.5 + height / 2
    c.lathe(y0, y1, radii)
    c.disc(0.5, y0, radii[0], 0.025, v.colours[2], "dark")
    if v.form[6] > 0.5:
        c.box(0.5, y1 - 0.015, 2.1 * radii[-1], 0.035, v.colours[2], 0.01, "round")
    if v.form[7] > 0.6:
        for sign in (-1, 1):
            span = (-120, 60) if sign > 0 else (120, 300)
            c.arc(0.5 + sign * 0.16, 0.42, 0.08, 0.11, span, 0.03, v.colours[2])


def _kettle(c: Canvas, v: Look) -> None:
    top, bottom, height = v.between(0, 0.1, 0.2), v.between(1, 0.18, 0.27), v.between(2, 0.3, 0.45)
    y0, y1 = 0.6 - height / 2, 0.6 + height / 2
    tip = v.between(3, 0.17, 0.26)
    c.polygon(
        [(0.5 - bottom, y1 - 0.1), (0.5 - top, y0 + 0.12), (0.5 - bottom - tip, y0 - 0.01),
         (0.5 - bottom - tip - 0.03, y0 + 0.03)],
        v.colours[0],
    )  # fmt: skip
    if v.choice(4, 2) == 0:
        c.arc(0.5, y0 + 0.02, top + 0.1, v.between(5, 0.2, 0.3), (180, 360), 0.04, v.colours[2])
    else:
        c.arc(0.5 + bottom * 0.8, 0.57, 0.15, height * 0.42, (-95, 95), 0.045, v.colours[2])
    c.lathe(y0, y1, [top, (top + bottom) / 2 * v.between(6, 0.95, 1.2), bottom])
    c.disc(0.5, y0, top, 0.035, v.colours[1])
    c.disc(0.5, y0 - 0.045, 0.035, 0.035, v.colours[2])
    c.logo(0.5, 0.62, v.between(7, 0.02, 0.07))


def _lamp(c: Canvas, v: Look) -> None:
    shade_y, shade_h = v.between(0, 0.24, 0.36), v.between(1, 0.2, 0.34)
    top, bottom = v.between(2, 0.06, 0.2), v.between(3, 0.17, 0.3)
    base = v.between(4, 0.1, 0.22)
    c.box(0.5, 0.62, v.between(5, 0.02, 0.06), 0.56, v.colours[2], 0.01, "round")
    if v.choice(6, 3) == 0:
        c.disc(0.5, 0.9, base, 0.045, v.colours[1], "round")
    elif v.choice(6, 3) == 1:
        c.lathe(0.58, 0.93, [0.05, base * 0.9, base * 0.6], v.colours[1])
    else:
        for x in (0.5 - base, 0.5, 0.5 + base):
            c.line([(0.5, 0.62), (x, 0.93)], 0.03, v.colours[1])
    y0, y1 = shade_y - shade_h / 2, shade_y + shade_h / 2
    c.polygon(
        [(0.5 - top, y0), (0.5 + top, y0), (0.5 + bottom, y1), (0.5 - bottom, y1)], None, "round"
    )
    if v.form[7] > 0.5:
        c.box(0.5, y1, 2 * bottom, 0.03, v.colours[2], 0.005, "round")


def _chair(c: Canvas, v: Look) -> None:
    width, back, seat_y = (
        v.between(0, 0.17, 0.25),
        v.between(1, 0.28, 0.44),
        v.between(2, 0.54, 0.62),
    )
    splay, thick = v.between(3, 0.0, 0.09), v.between(4, 0.03, 0.055)
    legs = v.colours[2]
    for sign in (-1, 1):
        c.line(
            [(0.5 + sign * width * 0.9, seat_y), (0.5 + sign * (width + splay), 0.94)], thick, legs
        )
        c.line(
            [(0.5 + sign * width * 0.45, seat_y), (0.5 + sign * (width * 0.5 + splay), 0.88)],
            thick * 0.8, legs, "dark",
        )  # fmt: skip
    top = seat_y - back
    style = v.choice(5, 3)
    if style == 0:
        c.box(0.5, top + back / 2, 2 * width, back, None, v.between(6, 0.02, 0.15))
    elif style == 1:
        for x in (-1, -0.33, 0.33, 1):
            c.line([(0.5 + x * width * 0.9, top), (0.5 + x * width * 0.9, seat_y)], 0.03, legs)
        c.box(0.5, top, 2 * width, v.between(6, 0.05, 0.14), None, 0.02)
    else:
        c.arc(0.5, seat_y, width * 0.95, back, (180, 360), 0.045, legs)
        c.box(0.5, top + back * 0.6, 1.2 * width, back * v.between(6, 0.3, 0.7), None, 0.03)
    c.box(0.5, seat_y, 2 * width + 0.06, v.between(7, 0.05, 0.11), None, 0.03)


def _table(c: Canvas, v: Look) -> None:
    width, thick, y = v.between(0, 0.28, 0.44), v.between(1, 0.03, 0.08), v.between(2, 0.32, 0.46)
    style, leg = v.choice(3, 4), v.between(4, 0.025, 0.06)
    if style == 0:
        c.lathe(y, 0.86, [0.04, leg * 0.9, 0.1], v.colours[1])
        c.box(0.5, 0.88, v.between(5, 0.2, 0.4), 0.05, v.colours[1], 0.02)
    elif style == 1:
        for sign in (-1, 1):
            c.line(
                [(0.5 + sign * width * 0.85, y), (0.5 - sign * width * 0.5, 0.9)], leg, v.colours[2]
            )
    else:
        inset = width * (0.92 if style == 2 else v.between(5, 0.5, 0.8))
        for sign in (-1, 1):
            c.line([(0.5 + sign * inset, y), (0.5 + sign * width * 0.9, 0.9)], leg, v.colours[2])
        c.box(0.5, y + 0.06, 1.8 * inset, v.between(6, 0.05, 0.16), v.colours[1], 0.005)
        if v.form[7] > 0.5:
            c.disc(0.5, y + 0.08, 0.018, 0.018, v.colours[2])
    c.box(0.5, y, 2 * width, thick, None, 0.015)


def _bag(c: Canvas, v: Look) -> None:
    top, bottom, height = (
        v.between(0, 0.18, 0.34),
        v.between(1, 0.22, 0.36),
        v.between(2, 0.34, 0.52),
    )
    y0, y1 = 0.92 - height, 0.92
    handle = v.between(3, 0.14, 0.3)
    for shift in (0.0, 0.03) if v.form[4] > 0.5 else (0.0,):
        c.arc(
            0.5 + shift,
            y0 + 0.02,
            top * v.between(5, 0.4, 0.8),
            handle,
            (180, 360),
            0.032,
            v.colours[2],
        )
    c.polygon([(0.5 - top, y0), (0.5 + top, y0), (0.5 + bottom, y1), (0.5 - bottom, y1)])
    if v.choice(6, 3) == 0:
        flap = height * 0.45
        c.polygon(
            [(0.5 - top, y0), (0.5 + top, y0), (0.5 + top, y0 + flap * 0.6), (0.5, y0 + flap),
             (0.5 - top, y0 + flap * 0.6)],
            v.colours[1],
        )  # fmt: skip
    elif v.choice(6, 3) == 1:
        c.box(0.5, y1 - height * 0.25, 1.3 * bottom, height * 0.34, v.colours[1], 0.02)
    c.logo(0.5, y0 + height * 0.5, v.between(7, 0.03, 0.075))


def _shoe(c: Canvas, v: Look) -> None:
    collar, toe, heel = v.between(0, 0.2, 0.5), v.between(1, 0.1, 0.2), v.between(2, 0.02, 0.1)
    x0, x1, y = 0.12, 0.88, 0.74
    opening = v.between(3, 0.2, 0.32)
    c.polygon(
        [(x0, y), (x0 + 0.01, y - collar * 0.9), (x0 + opening, y - collar), (0.55, y - toe - 0.07),
         (0.76, y - toe), (x1 - 0.02, y - toe * 0.55), (x1, y)]
    )  # fmt: skip
    c.box(x0 + 0.02, y - 0.09, 0.07, 0.2, v.colours[1], 0.02)
    sole = v.between(4, 0.05, 0.11)
    c.polygon(
        [(x0 - 0.02, y), (x1 + 0.02, y), (x1 - 0.01, y + sole), (0.42, y + sole),
         (0.36, y + sole + heel), (x0, y + sole + heel)],
        v.colours[2],
    )  # fmt: skip
    for i in range(v.choice(5, 4) + 1):
        x = x0 + opening + 0.03 + 0.055 * i
        c.line([(x - 0.03, y - toe - 0.1), (x + 0.03, y - toe - 0.04)], 0.02, v.colours[1])
    if v.form[6] > 0.5:
        c.disc(x1 - 0.07, y - 0.035, 0.08, 0.045, v.colours[1])
    c.logo(0.36, y - 0.1, v.between(7, 0.03, 0.06))


def _clock(c: Canvas, v: Look) -> None:
    r, rim = v.between(0, 0.28, 0.38), v.between(1, 0.04, 0.1)
    square = v.choice(2, 3) == 0
    outer = (2 * r + 2 * rim, 2 * r + 2 * rim)
    if square:
        c.box(0.5, 0.5, *outer, None, v.between(3, 0.02, 0.14))
        c.box(0.5, 0.5, 2 * r, 2 * r, v.colours[1], v.between(3, 0.02, 0.12))
    else:
        c.disc(0.5, 0.5, r + rim, r + rim)
        c.disc(0.5, 0.5, r, r, v.colours[1])
    ticks = (4, 12, 60)[v.choice(4, 3)]
    for i in range(ticks):
        a = 2 * math.pi * i / ticks
        q = 0.8 if ticks < 60 or i % 5 else 0.72
        ends = [(0.5 + k * r * math.cos(a), 0.5 + k * r * math.sin(a)) for k in (q, 0.92)]
        c.line(ends, 0.008 if ticks == 60 else 0.022, v.colours[2])
    for length, angle, width in (
        (0.5, v.between(5, 0, 6.28), 0.04),
        (0.78, v.between(6, 0, 6.28), 0.025),
    ):
        tip = (0.5 + length * r * math.cos(angle), 0.5 + length * r * math.sin(angle))
        c.line([(0.5, 0.5), tip], width, v.colours[2])
    c.disc(0.5, 0.5, 0.03, 0.03, v.colours[0] if v.form[7] > 0.5 else v.colours[2])


def _cushion(c: Canvas, v: Look) -> None:
    a, b, power = v.between(0, 0.28, 0.42), v.between(1, 0.24, 0.4), v.between(2, 2.2, 6.0)
    t = np.linspace(0, 2 * np.pi, 80)
    x = a * np.sign(np.cos(t)) * np.abs(np.cos(t)) ** (2 / power)
    y = b * np.sign(np.sin(t)) * np.abs(np.sin(t)) ** (2 / power)
    trim = v.choice(3, 3)
    if trim == 1:
        for i in range(0, 80, 5):
            c.disc(0.5 + 1.03 * x[i], 0.5 + 1.03 * y[i], 0.025, 0.025, v.colours[2])
    if trim == 2:
        c.polygon(list(zip(0.5 + 1.07 * x, 0.5 + 1.07 * y, strict=True)), v.colours[2])
    c.polygon(list(zip(0.5 + x, 0.5 + y, strict=True)))
    centre = v.choice(4, 3)
    size = v.between(5, 0.06, 0.16)
    if centre == 0:
        c.logo(0.5, 0.5, size)
    elif centre == 1:
        c.box(0.5, 0.5, 2 * a * 0.94, size, v.colours[2], 0.01)
        c.logo(0.5, 0.5, size * 0.35)


def _headphones(c: Canvas, v: Look) -> None:
    r, band, y = v.between(0, 0.24, 0.33), v.between(1, 0.03, 0.075), v.between(2, 0.5, 0.6)
    height = v.between(3, 0.28, 0.42)
    c.arc(0.5, y, r, height, (180, 360), band, v.colours[0])
    if v.form[4] > 0.5:
        c.arc(0.5, y, r, height, (235, 305), band * 1.5, v.colours[2])
    cup_w, cup_h = v.between(5, 0.11, 0.2), v.between(6, 0.2, 0.34)
    for sign in (-1, 1):
        x = 0.5 + sign * r
        c.box(
            x - sign * cup_w * 0.4, y + 0.08, cup_w * 0.5, cup_h * 0.9, v.colours[1], 0.04, "dark"
        )
        if v.form[7] > 0.5:
            c.disc(x, y + 0.08, cup_w / 2, cup_h / 2)
        else:
            c.box(x, y + 0.08, cup_w, cup_h, None, 0.05)
        c.logo(x, y + 0.08, 0.035)


KINDS: dict[str, Callable[[Canvas, Look], None]] = {
    "mug": _mug,
    "bottle": _bottle,
    "vase": _vase,
    "kettle": _kettle,
    "lamp": _lamp,
    "chair": _chair,
    "table": _table,
    "bag": _bag,
    "shoe": _shoe,
    "clock": _clock,
    "cushion": _cushion,
    "headphones": _headphones,
}


def draw_product(look: Look) -> Image.Image:
    """The product alone on a transparent square of :obj:`SIZE` pixels."""
    canvas = Canvas(look)
    KINDS[look.kind](canvas, look)
    return canvas.image
