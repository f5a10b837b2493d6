"""Plots as SVG that follows the colours of the page around it."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from pyg_mmea.inspect import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Matplotlib draws in these colours, which stand for the properties of the page's style sheet.
_ROLES = {"#010203": "--text", "#010202": "--line"}
_ROLES |= {f"#01020{3 + i}": f"--series-{i}" for i in range(1, 7)}
TEXT, LINE, *SERIES = _ROLES
MARKS = ("o", "s", "^", "D", "v", "P")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2)))
_WIDE = 24  # characters of a label that leave no room for another
_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}href"


@dataclass
class Table:
    """Texts in rows and columns; the first column names the rows.

    Args:
        caption (str): What it shows.
        head (list[str]): Names of the columns; none where the rows are facts with their names.
        rows (list[list[str]]): A list of cells for each row.
    """

    caption: str
    head: list[str]
    rows: list[list[str]] = field(default_factory=list)


@dataclass
class Plot:
    """A plot with what it shows in words and numbers.

    Args:
        key (str): Name that is unique on the page.
        title (str): What is plotted.
        description (str): What is to be seen in it, for those who do not see it.
        table (Table): Its numbers.
        svg (str): The drawing, an element that can stand in an HTML page.
    """

    key: str
    title: str
    description: str
    table: Table
    svg: str = ""

    @contextmanager
    def draw(self, x: str = "", y: str = "") -> Iterator["Axes"]:
        """Gives axes to draw on; what was drawn is in :obj:`svg` afterwards.

        Args:
            x (str): Label of the horizontal axis. (default: :obj:`""`)
            y (str): Label of the vertical axis. (default: :obj:`""`)

        Raises:
            ImportError: If matplotlib is not installed.
        """
        try:
            from matplotlib import rc_context
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError("A report needs pip install '.[report]' from a clone") from error
        settings: Any = {
            **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), TEXT),
            **dict.fromkeys(("axes.edgecolor", "grid.color"), LINE),
            "svg.fonttype": "none",  # texts stay texts
            "svg.hashsalt": "0",  # the same drawing gives the same bytes
            "text.parse_math": False,  # names may hold dollars
            "font.size": 9.5,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.linewidth": 0.6,
            "lines.linewidth": 1.8,
            "lines.markersize": 4,
            "legend.frameon": False,
        }
        with rc_context(settings):
            figure = Figure(figsize=(4.4, 3.0), layout="constrained")
            axes = figure.add_subplot()
            axes.set(xlabel=x, ylabel=y)
            yield axes
            labels = axes.get_legend_handles_labels()[1]
            if labels:
                columns = 1 if max(map(len, labels)) > _WIDE else 2
                figure.legend(loc="outside upper left", ncols=columns, fontsize=8.5)
            file = io.BytesIO()
            with warnings.catch_warnings():  # the font of the page draws the texts
                warnings.filterwarnings("ignore", message="Glyph .* missing from font")
                figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
        self.svg = _embed(file.getvalue(), self)


def line_style(place: int) -> dict[str, Any]:
    """Colour, mark and dash of the series of a plot, which differ in all three."""
    i = place % len(SERIES)
    return {"color": SERIES[i], "marker": MARKS[i], "linestyle": DASHES[i]}


def short(name: str, limit: int = 28) -> str:
    """A name for a legend or a cell."""
    return printable(name, limit)


def _embed(svg: bytes, plot: Plot) -> str:
    """Turns a file into an element: unique ids, colours of the page, a title, a description."""
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for name in ("metadata", "style"):  # a style would hold for the whole page
            for child in parent.findall(f"{_SVG}{name}"):
                parent.remove(child)
    for parent in root.iter():
        parent.tag = parent.tag.removeprefix(_SVG)
        for name, value in list(parent.attrib.items()):
            del parent.attrib[name]
            if name == "id":
                value = f"{plot.key}-{value}"
            elif name == _XLINK:
                name, value = "href", f"#{plot.key}-{value.removeprefix('#')}"
            else:
                value = value.replace("url(#", f"url(#{plot.key}-")
                value = re.sub("#[0-9a-f]{6}", _variable, value)
                value = re.sub(r"(font: [\d.]+px)[^;]*", r"\1 sans-serif", value)
            parent.set(name, value)
    view = root.get("viewBox", "")
    root.attrib = {"viewBox": view, "class": "drawing", "role": "img"}
    for name, text in (("desc", plot.description), ("title", plot.title)):
        element = ElementTree.Element(name, {"id": f"{plot.key}-{name}"})
        element.text = printable(text)
        root.insert(0, element)
    root.set("aria-labelledby", f"{plot.key}-title")
    root.set("aria-describedby", f"{plot.key}-desc")
    return ElementTree.tostring(root, encoding="unicode")


def _variable(match: re.Match[str]) -> str:
    role = _ROLES.get(match[0])
    return match[0] if role is None else f"var({role})"


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction as percent; a dash where there is none."""
    return "–" if value is None or value != value else f"{100 * value:.{digits}f}%"


def number(value: float | None, digits: int = 3) -> str:
    """A number; a dash where there is none."""
    return "–" if value is None or value != value else f"{value:,.{digits}f}"
