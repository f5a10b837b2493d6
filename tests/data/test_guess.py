import pytest

from pyg_mmea.data.guess import find_id, guess_column, unit_of_name, words_of

MANY = [f"value {i}" for i in range(30)]


def test_words_of() -> None:
    assert words_of("heightCm") == ["height", "cm"]
    assert words_of("http://x.org/unitPrice") == ["unit", "price"]
    assert words_of("Größe (in €)") == ["große", "in", "€"]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"name": ["a", "b"], "sku": ["1", "2"]}, "sku"),
        ({"sku": [*"abcdefghi", "a"], "x": ["1"] * 10}, "sku"),
        ({"sku": [*"abcdefgh", "a", ""], "x": ["1"] * 10}, None),
        ({"product id": ["1", "1"], "code": ["x", "y"]}, "code"),
        ({"text": ["w" * 90, "v" * 90], "short": ["a", "b"]}, "short"),
        ({"id": ["a", ""], "x": ["b", "b"]}, None),
        ({"id": []}, None),
    ],
)
def test_find_id(columns: dict[str, list[str]], expected: str | None) -> None:
    found = find_id(columns)
    assert (found and found[0]) == expected


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("weight (kg)", "kg"),
        ("height_in", "in"),
        ("priceEUR", "EUR"),
        ("volume_fl_oz", "fl oz"),
        ("price_min", ""),
        ("kg", ""),
        ("weight (net)", ""),
        ("name", ""),
    ],
)
def test_unit_of_name(name: str, unit: str) -> None:
    assert unit_of_name(name) == unit


@pytest.mark.parametrize(
    ("name", "cells", "role", "options"),
    [
        ("x", ["", " "], "ignore", {}),
        ("photo", ["a.jpg", "b/c.PNG", ""], "image", {}),
        ("photo", ["https://x.org/a.jpg", "https://x.org/b.jpg?w=3"], "ignore", {}),
        ("weight_kg", ["1.5", "2", "30,000.5"], "number", {"unit": "kg"}),
        ("weight_kg", ["1.5 g", "2 g"], "number", {"unit": ""}),
        ("price", ["1,50", "2,25", "1.000,00"], "number", {"decimal": ","}),
        ("stock", ["1", "2", "2", "1"], "number", {}),
        ("ean", ["4006381333931", "4006381333948"], "attribute", {}),
        ("zip", ["01067", "04103"], "attribute", {}),
        ("since", ["2024-01-02", "2023-11"], "date", {"format": "ISO8601"}),
        ("since", ["31.01.2024", "02.11.2023"], "date", {"format": "%d.%m.%Y"}),
        ("since", ["01/31/2024", "02/11/2023"], "date", {"format": "%m/%d/%Y"}),
        ("since", ["2010年", "2011年"], "date", {"format": "%Y年"}),
        ("launchYear", ["2010", "2011"], "date", {"format": "ISO8601"}),
        ("pages", ["2010", "2011"], "number", {}),
        ("名称", ["钱包", "杯子"], "name", {}),
        ("colour", ["red", "blue"] * 10, "category", {"separator": ""}),
        ("tags", ["red;big", "blue;big", "red;small", "red"] * 3 + ["blue"], "category", {}),
        ("about", MANY, "attribute", {}),
        ("about", [f"the {i} of many words" for i in range(30)], "text", {}),
        ("文", ["这是一个很长的句子", "另一个很长的句子在这里"], "text", {}),
        ("code", [f"XK-{i}" for i in range(30)], "attribute", {}),
        ("model", [f"L{i}" for i in range(900, 930)], "attribute", {}),
        ("brand", ["G7", "G4"] * 10, "category", {}),
    ],
)
def test_roles(name: str, cells: list[str], role: str, options: dict[str, str]) -> None:
    guess = guess_column(name, cells, {"a": {"1", "2"}})
    assert guess.spec.role == role
    assert guess.why
    for key, value in options.items():
        assert getattr(guess.spec, key) == value


def test_a_decimal_mark_that_no_cell_explains_is_said() -> None:
    unsure = guess_column("weight", ["1,234", "12,500", "8"], {})
    assert unsure.spec.role == "number"
    assert "; '1,234' is taken for 1234 and may be 1.234" in unsure.why
    assert "may be" not in guess_column("weight", ["1,234", "0,500", "8"], {}).why


def test_an_order_of_day_and_month_that_no_cell_tells_is_said() -> None:
    unsure = guess_column("since", ["10/1/2017", "2/2/2019"], {})
    assert unsure.spec.format == "%d/%m/%Y"
    assert "; '10/1/2017' is taken for 2017-01-10 and may be 2017-10-01" in unsure.why
    assert "may be" not in guess_column("since", ["10/1/2017", "31/1/2019"], {}).why


def test_several_values_in_a_cell() -> None:
    cells = ["red|big", "blue|big", "red|small", "blue|small", "red|big|small"] * 4
    assert guess_column("tags", cells, {}).spec.separator == "|"


def test_references() -> None:
    ids = {"parts": {"P1", "P2", "P3"}, "makers": {"1", "2"}}
    guess = guess_column("made of", ["P1;P2", "P3", ""], ids)
    assert (guess.spec.role, guess.spec.to, guess.spec.separator) == ("reference", "parts", ";")
    assert guess_column("maker", ["1", "2"], ids).spec.to == "makers"
    assert guess_column("pieces", ["1", "2"], ids).spec.role == "number"  # by chance


def test_pictures_of_a_folder_come_first() -> None:
    assert guess_column("photo", ["a.jpg"], {}, image_folder=True).spec.role == "ignore"
