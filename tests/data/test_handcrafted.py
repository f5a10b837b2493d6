import numpy as np
import pytest
from PIL import Image, ImageDraw

from pyg_mmea.data.handcrafted import NUM_FEATURES, WEIGHTS, handcrafted


def draw(
    colour: str = "red", ground: str | None = None, x: int = 30, size: int = 40
) -> Image.Image:
    image = Image.new("RGBA", (120, 120), ground or (0, 0, 0, 0))
    pen = ImageDraw.Draw(image)
    pen.ellipse((x, 30, x + size, 30 + size), fill=colour)
    pen.rectangle((x, 30 + size // 2, x + size, 30 + size), fill="black")
    return image


def similarity(left: Image.Image, right: Image.Image) -> float:
    a, b = handcrafted(left), handcrafted(right)
    assert a is not None
    assert b is not None
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_size_and_norm_of_the_blocks() -> None:
    vector = handcrafted(draw())
    assert vector is not None
    assert vector.shape == (NUM_FEATURES,)
    assert vector.dtype == np.float32
    norms = [np.linalg.norm(part) for part in np.split(vector, [1764, 2088, 2412, 4176, 4368])]
    np.testing.assert_allclose(norms, list(WEIGHTS.values()), rtol=1e-5)


def test_place_in_the_frame_does_not_count() -> None:
    np.testing.assert_allclose(handcrafted(draw(x=30)), handcrafted(draw(x=70)), atol=1e-6)
    assert similarity(draw(size=40), draw(size=60)) > 0.9


def test_proportions_count_in_one_block_only() -> None:
    tall, wide = Image.new("RGBA", (20, 60), "red"), Image.new("RGBA", (60, 20), "red")
    difference = np.abs(handcrafted(tall) - handcrafted(wide))
    assert difference[2088:2412].sum() > 0.1
    assert difference[:2088].sum() + difference[2412:].sum() < 1e-4


@pytest.mark.parametrize("ground", ["white", "lightblue", "khaki"])
def test_plain_background_is_cut_out(ground: str) -> None:
    same, other = draw(ground=ground), draw("blue", ground=ground)
    assert similarity(draw(), same) > similarity(draw(), other) + 0.1
    assert similarity(draw(), same) > 0.85


def test_background_of_two_colours_is_cut_out() -> None:
    photo = draw(ground="wheat")
    ImageDraw.Draw(photo).rectangle((0, 90, 120, 120), fill="saddlebrown")
    assert similarity(draw(), photo) > 0.85


def test_picture_of_one_colour_is_its_own_content() -> None:
    red, blue = Image.new("RGBA", (9, 9), "red"), Image.new("RGBA", (9, 9), "blue")
    assert similarity(red, red) == pytest.approx(1)
    assert similarity(red, blue) < 0.9


def test_transparent_picture_has_no_features() -> None:
    assert handcrafted(Image.new("RGBA", (20, 20))) is None


def test_one_pixel() -> None:
    vector = handcrafted(Image.new("RGBA", (1, 1), "red"))
    assert vector is not None
    assert np.isfinite(vector).all()
