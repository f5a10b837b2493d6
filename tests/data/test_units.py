import pytest

from pyg_mmea.data.units import find_unit


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("kg", ("mass", 1000.0)),
        ("KG", ("mass", 1000.0)),
        ("Grams", ("mass", 1.0)),
        ("lbs.", ("mass", 453.59237)),
        ("inches", ("length", 0.0254)),
        ('"', ("length", 0.0254)),
        ("厘米", ("length", 0.01)),
        ("fl oz", ("volume", 0.0295735295625)),
        ("m2", ("area", 1.0)),
        ("m²", ("area", 1.0)),
        ("tonnes", ("mass", 1e6)),
        ("MW", ("power", 1e6)),
        ("mW", ("power", 1e-3)),
        ("w", ("power", 1.0)),
        ("€", ("currency eur", 1.0)),
        ("万", ("", 1e4)),
        ("%", ("share", 0.01)),
        ("parsnips", None),
        ("s", ("time", 1.0)),
    ],
)
def test_find_unit(unit: str, expected: tuple[str, float] | None) -> None:
    assert find_unit(unit) == expected
