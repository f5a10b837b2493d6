import numpy as np
import pytest

from pyg_mmea.data.values import (
    NUM_BUMPS,
    encode_numbers,
    parse_dates,
    parse_number,
    parse_numbers,
    unsure_mark,
    unsure_order,
)


@pytest.mark.parametrize(
    ("text", "decimal", "expected"),
    [
        ("1.5 kg", ".", (1.5, "kg")),
        ("1,234.5", ".", (1234.5, "")),
        ("1.234,5 kg", ",", (1234.5, "kg")),
        ("12 345,67", ",", (12345.67, "")),
        ("12\u202f345", ".", (12345.0, "")),
        ("1'000'000", ".", (1e6, "")),
        ("€ 12.99", ".", (12.99, "€")),
        ("-$5", ".", (-5.0, "$")),
        ("$-5", ".", (-5.0, "$")),
        ("−4", ".", (-4.0, "")),
        (".5 l", ".", (0.5, "l")),
        ("1e3", ".", (1000.0, "")),
        ("１２kg", ".", (12.0, "kg")),
        ("3 m2", ".", (3.0, "m2")),
        ("4700万", ".", (4700.0, "万")),
        ("CHF 9,50", ",", (9.5, "CHF")),
        ("US$ 3", ".", (3.0, "US$")),
        ("M00", ".", None),  # before a number a letter makes a code, not a length
        ("L964", ".", None),
        ("kg 5", ".", None),
        ("1,5", ".", None),
        ("12-14 cm", ".", None),
        ("2 x 3", ".", None),
        ("1.2.3", ".", None),
        ("10 5", ".", None),
        ("0,250", ".", None),  # no group of thousands starts with a zero
        ("0.250", ",", None),
        ("abc", ".", None),
        ("", ".", None),
    ],
)
def test_parse_number(text: str, decimal: str, expected: tuple[float, str] | None) -> None:
    assert parse_number(text, decimal) == expected


@pytest.mark.parametrize(
    ("text", "value", "dimension"),
    [
        ("10″", 0.254, "length"),
        ("5 µA", 5e-6, "current"),  # micro sign
        ("5 μA", 5e-6, "current"),  # Greek letter
        ("5 µm", 5e-6, "length"),
        ("2 m²", 2.0, "area"),
        ("3 cm³", 3e-3, "volume"),
        ("2 kΩ", 2000.0, "ohm"),
    ],
)
def test_signs_of_units(text: str, value: float, dimension: str) -> None:
    numbers = parse_numbers([text])
    assert numbers.problem == {}
    assert numbers.value[0] == pytest.approx(value)
    assert numbers.dimension == dimension


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["12", "", "1,234 kg", "x"], (2, "'1,234 kg' is taken for 1234 and may be 1.234")),
        (["1.234"], (0, "'1.234' is taken for 1.234 and may be 1234")),
        (["1,234", "0,5"], None),
        (["1,234", "1,234,567"], None),
        (["1,234", "0,250"], None),
        (["1.234", "1.2"], None),
        (["1234", "n.a."], None),
        ([], None),
    ],
)
def test_a_mark_that_no_cell_explains(texts: list[str], expected: tuple[int, str] | None) -> None:
    found = unsure_mark(texts)
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert found[0] == expected[0]
        assert found[1].startswith(expected[1])


def test_long_texts_are_no_numbers() -> None:
    assert parse_number("word " * 100_000) is None
    assert parse_number("1" + " " * 100 + "kg") is None


def test_units_of_a_column_meet() -> None:
    numbers = parse_numbers(["1.5 kg", "1500 g", "", "7", "2 m", "x", "3 parsnips"], unit="g")
    assert numbers.dimension == "mass"
    np.testing.assert_array_equal(numbers.value, [1500, 1500, np.nan, 7, np.nan, np.nan, np.nan])
    assert numbers.problem == {
        4: "'2 m' is length, others are mass",
        5: "'x' is no number",
        6: "'3 parsnips' has the unknown unit 'parsnips'",
    }


def test_numbers_without_unit_among_those_with() -> None:
    numbers = parse_numbers(["1 kg", "2 kg", "3"])
    assert list(numbers.problem) == [2]
    assert parse_numbers(["1e999", "5"]).problem == {0: "'1e999' is no number"}
    assert parse_numbers(["4700万", "5"]).value.tolist() == [4.7e7, 5.0]


def test_dates() -> None:
    texts = ["1970-01-02", "1970", "1970-02", "1970-01-01T12:00:00Z", "", "soon"]
    dates = parse_dates(texts)
    np.testing.assert_array_equal(dates.value, [1, 0, 31, 0.5, np.nan, np.nan])
    assert dates.problem == {5: "'soon' is not an ISO 8601 date"}
    assert parse_dates(["02.01.1970", "1970-01-02"], "%d.%m.%Y").value[0] == 1
    assert parse_dates(["1650-06-01"]).value[0] < -100_000


@pytest.mark.parametrize(
    ("texts", "date_format", "expected"),
    [
        (["", "5/5/2017", "10/1/2017"], "%d/%m/%Y", (2, "2017-01-10 and may be 2017-10-01")),
        (["x", "10/1/2017"], "%m/%d/%Y", (1, "2017-10-01 and may be 2017-01-10")),
        (["10-1-1617"], "%d-%m-%Y", (0, "1617-01-10 and may be 1617-10-01")),
        (["10/1/2017", "31/1/2017"], "%d/%m/%Y", None),
        (["5/5/2017"], "%d/%m/%Y", None),
        (["10.1.2017"], "%d.%m.%Y", None),
        (["2017-10-01"], "ISO8601", None),
        ([], "%d/%m/%Y", None),
    ],
)
def test_an_order_of_day_and_month_that_no_cell_tells(
    texts: list[str], date_format: str, expected: tuple[int, str] | None
) -> None:
    found = unsure_order(texts, date_format)
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert found[0] == expected[0]
        assert f"'{texts[found[0]]}' is taken for {expected[1]}: 'format' says" in found[1]


def test_encode_numbers_is_near_where_numbers_are_near() -> None:
    value = np.linspace(0, 1, 200)
    source, target = encode_numbers(value, value)
    assert source.shape == (200, NUM_BUMPS)
    np.testing.assert_allclose(np.linalg.norm(source, axis=1), 1, rtol=1e-5)
    similarity = source @ target.T
    assert (similarity.argmax(axis=1) == np.arange(200)).all()
    assert similarity[0, 10] < similarity[0, 2]
    assert similarity[0, 100] < 0.01


def test_encode_numbers_does_without_outliers_and_units() -> None:
    value = np.concatenate([np.linspace(1, 2, 99), [1e12]])
    joint, _ = encode_numbers(value, value)
    assert joint[0] @ joint[50] < 0.01  # the outlier does not squeeze the others
    inches = value / 2.54
    source, target = encode_numbers(value, inches, "each")
    np.testing.assert_array_equal(source, target)
    source, target = encode_numbers(value, inches, "joint")
    assert np.abs(source - target).max() > 0.1


def test_encode_numbers_of_none() -> None:
    source, target = encode_numbers(np.full(3, np.nan), np.array([1.0]), "each")
    assert not source.any()
    assert target.any()
    assert np.isfinite(target).all()
