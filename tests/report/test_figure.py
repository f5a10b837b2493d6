import re
import sys

import pytest

from pyg_mmea.report import Plot, Table
from pyg_mmea.report.figure import SERIES, TEXT, line_style, number, percent, short


def drawn(label: str = "a", key: str = "one") -> Plot:
    plot = Plot(key, f"Title of {label}", "What is seen", Table("Numbers", ["x", "y"]))
    with plot.draw("x", "y") as axes:
        axes.plot([0, 1], [0, 1], label=label, **line_style(0))
        axes.fill_between([0, 1], [0, 1], color=TEXT)
    return plot


def test_svg_stands_in_a_page() -> None:
    svg = drawn().svg
    assert svg.startswith("<svg ")
    assert "Title of a</title>" in svg
    assert ">What is seen</desc>" in svg
    for forbidden in ("http", "<style", "<metadata", "<script", "<?xml", "#0102"):
        assert forbidden not in svg
    assert "var(--series-1)" in svg
    assert "var(--text)" in svg


def test_ids_are_those_of_the_plot() -> None:
    for key in ("one", "two"):
        svg = drawn(key=key).svg
        found = re.findall(r' id="([^"]*)"', svg)
        assert len(found) == len(set(found)) > 3
        assert all(name.startswith(f"{key}-") for name in found)
        used = re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', svg)
        assert used
        assert {name for pair in used for name in pair if name} <= set(found)
    assert drawn().svg == drawn().svg


def test_labels_are_texts_whatever_is_in_them() -> None:
    svg = drawn('<script>$\\frac{a"b&</script>').svg
    assert "<script" not in svg
    assert "&lt;script&gt;$\\frac{a" in svg


def test_series_differ() -> None:
    styles = [line_style(i) for i in range(len(SERIES))]
    for key in ("color", "marker", "linestyle"):
        assert len({str(style[key]) for style in styles}) == len(SERIES)
    assert line_style(len(SERIES)) == styles[0]


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install '\.\[report\]"):
        drawn()


def test_numbers() -> None:
    assert (percent(0.1234), percent(None), percent(float("nan"))) == ("12.3%", "–", "–")
    assert (number(1234.5, 1), number(None), number(float("nan"))) == ("1,234.5", "–", "–")
    assert short("a" * 40) == "a" * 27 + "…"
