"""Numbers and dates in texts, and how they become features."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pyg_mmea.data.units import find_unit

# Formats that are looked for; ISO 8601 covers 2024, 2024-05, 2024-05-31 and times.
ISO = "ISO8601"
DATE_FORMATS = (
    *(ISO, "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%Y.%m.%d", "%d-%m-%Y", "%d.%m.%y"),
    *(
        "%d %B %Y",
        "%B %d, %Y",
        "%d %b %Y",
        "%b %d, %Y",
        "%Y年%m月%d日",
        "%Y年%m月",
        "%Y年",
        "%m/%Y",
    ),
)
# Gaussians that a number is spread over.
NUM_BUMPS = 32

_SPACES = "\u00a0\u202f\u2009 '’_"
_SIGNS = ("-", "+", "−")
_FIGURES = {
    mark: re.compile(
        # Groups of three, of which none starts with a zero, or any figures, or none before the
        # decimal mark.
        rf"([1-9]\d{{0,2}}(?:[{_SPACES}{re.escape(other)}]\d{{3}})+(?!\d)|\d+|(?={re.escape(mark)}\d))"
        rf"(?:{re.escape(mark)}(\d*))?([eE][-+]?\d+)?"
    )
    for mark, other in ((".", ","), (",", "."))
}
_MAX_LETTERS = 64  # longer texts are no numbers


@dataclass
class Numbers:
    """A column of numbers.

    Args:
        value (ndarray): Each number in the base unit of the dimension, NaN where there is none.
        dimension (str): What most cells measure, such as :obj:`"mass"`, empty if they bear no unit.
        problem (dict[int, str]): What is wrong with the cells that are no number, by position.
    """

    value: np.ndarray
    dimension: str
    problem: dict[int, str]


def parse_number(text: str, decimal: str = ".") -> tuple[float, str] | None:
    """The number in a text and the unit beside it: :obj:`"1,234.5 kg"` gives 1234.5 and "kg".

    Groups of three digits may be set apart by a space, an apostrophe, or the one of full stop and
    comma that is no decimal mark. A currency may stand before the number, any unit behind it:
    :obj:`"M00"` is a code, not a length.
    """
    if len(text) > _MAX_LETTERS:
        return None
    text = unicodedata.normalize("NFKC", text).strip()
    match = _FIGURES[decimal].search(text)
    if match is None:
        return None
    before, after = text[: match.start()].strip(), text[match.end() :].strip()
    negative = False
    for sign in _SIGNS:
        if before.startswith(sign) or before.endswith(sign):
            negative, before = sign != "+", before.strip(sign).strip()
            break
    unit = before or after
    if (before and after) or any(letter in ".,+-−" for letter in before):
        return None
    if before and not (find_unit(before) or ("",))[0].startswith("currency"):
        return None
    if re.search(r"\d", unit) and find_unit(unit) is None:  # m2 is a unit
        return None
    whole = re.sub(r"\D", "", match[1]) or "0"
    number = float(f"{whole}.{match[2] or '0'}{match[3] or ''}")
    return -number if negative else number, unit


def unsure_mark(texts: Iterable[str], decimal: str = ".") -> tuple[int, str] | None:
    """A cell that is another number with the other decimal mark, where no cell tells which of them
    is right: :obj:`"1,234"` among whole numbers, but not beside :obj:`"0,5"` or :obj:`"1,234.5"`.

    Args:
        texts (Iterable[str]): The cells.
        decimal (str): The decimal mark that is taken. (default: :obj:`"."`)

    Returns:
        Position of the first such cell and what is to be said of it, or :obj:`None`.
    """
    other = "," if decimal == "." else "."
    found: tuple[int, str] | None = None
    for i, text in enumerate(texts):
        if "," not in text and "." not in text:
            continue
        here, there = parse_number(text, decimal), parse_number(text, other)
        if (here is None) != (there is None):
            return None
        if here is not None and there is not None and here[0] != there[0] and found is None:
            says = f"'{text}' is taken for {here[0]:g} and may be {there[0]:g}"
            found = i, f"{says}: 'decimal' says which mark is that of decimals"
    return found


def parse_numbers(texts: Sequence[str], unit: str = "", decimal: str = ".") -> Numbers:
    """Reads a column of numbers with or without units.

    Args:
        texts (Sequence[str]): The cells; empty ones hold nothing.
        unit (str): Unit of the cells that bear none. (default: :obj:`""`)
        decimal (str): The decimal mark, :obj:`"."` or :obj:`","`. (default: :obj:`"."`)

    Returns:
        Numbers: A cell whose unit is unknown, or measures another thing than most of the cells,
        holds no number.
    """
    own = find_unit(unit) or ("", 1.0)
    parsed: dict[str, tuple[float, str, str]] = {}  # text to value, dimension, problem
    for text in dict.fromkeys(texts):
        found = parse_number(text, decimal)
        if found is None or not np.isfinite(found[0]):
            parsed[text] = (np.nan, "", f"'{text}' is no number")
            continue
        known = find_unit(found[1]) if found[1] else own
        if known is None:
            parsed[text] = (np.nan, "", f"'{text}' has the unknown unit '{found[1]}'")
        else:
            parsed[text] = (found[0] * known[1], known[0], "")
    counts = Counter(parsed[text][1] for text in texts if text and not parsed[text][2])
    dimension = max(counts, key=lambda name: counts[name]) if counts else own[0]
    value = np.full(len(texts), np.nan)
    problem: dict[int, str] = {}
    for i, text in enumerate(texts):
        if not text.strip():
            continue
        number, measures, wrong = parsed[text]
        if not wrong and measures != dimension:
            wrong = (
                f"'{text}' is {measures or 'without a unit'}, others are {dimension or 'without'}"
            )
        if wrong:
            problem[i] = wrong
        else:
            value[i] = number
    return Numbers(value, dimension, problem)


def parse_dates(texts: Sequence[str], date_format: str = ISO) -> Numbers:
    """Reads a column of dates as days since 1970.

    Args:
        texts (Sequence[str]): The cells; empty ones hold nothing.
        date_format (str): :obj:`"ISO8601"` or a format of :meth:`datetime.strptime`.
            (default: :obj:`"ISO8601"`)
    """
    cells = pd.Series([text.strip() for text in texts], dtype=object)
    dates = pd.to_datetime(cells, format=date_format, errors="coerce", utc=True)
    days = (dates - pd.Timestamp("1970-01-01", tz="UTC")) / pd.Timedelta(days=1)
    value = days.to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = np.flatnonzero(np.isnan(value) & (cells != "").to_numpy())
    rule = "an ISO 8601 date" if date_format == ISO else f"a date in the format {date_format}"
    problem = {i: f"'{texts[i]}' is not {rule}" for i in wrong.tolist()}
    return Numbers(value, "date", problem)


def other_order(date_format: str) -> str | None:
    """The format with day and month the other way round, where people write either:
    :obj:`"%m/%d/%Y"` for :obj:`"%d/%m/%Y"`, but :obj:`None` for :obj:`"%d.%m.%Y"`.
    """
    if not re.match("%d[/-]%m|%m[/-]%d", date_format):
        return None
    return date_format[3:5] + date_format[2] + date_format[:2] + date_format[5:]


def unsure_order(texts: Sequence[str], date_format: str) -> tuple[int, str] | None:
    """A cell that is another date with day and month the other way round, where no cell tells which
    of them is right: :obj:`"10/1/2017"`, but not beside :obj:`"31/1/2017"`.

    Args:
        texts (Sequence[str]): The cells.
        date_format (str): The format that is taken.

    Returns:
        Position of the first such cell and what is to be said of it, or :obj:`None`.
    """
    other = other_order(date_format)
    if other is None:
        return None
    here, there = (parse_dates(texts, each).value for each in (date_format, other))
    if (np.isnan(here) != np.isnan(there)).any():
        return None
    different = np.flatnonzero(np.abs(here - there) > 0)  # NaN is no difference
    if len(different) == 0:
        return None
    first = int(different[0])
    taken, may_be = (np.datetime64(int(days[first]), "D") for days in (here, there))
    says = f"'{texts[first]}' is taken for {taken} and may be {may_be}"
    return first, f"{says}: 'format' says whether day or month comes first"


def fits_better(known: np.ndarray, taken: np.ndarray, other: np.ndarray) -> bool:
    """Whether dates are among known ones if they are read in one order rather than in the other:
    more than twice as many, at least two, and a tenth of them all.

    Args:
        known (ndarray): Dates of the other graph, as days.
        taken (ndarray): Dates in the one order.
        other (ndarray): The same in the other order.
    """
    hits = [np.isin(np.unique(dates), np.floor(known)).sum() for dates in (taken, other)]
    enough = max(2, len(np.unique(taken)) / 10)  # one may be there by chance
    return bool(hits[0] > 2 * hits[1] and hits[0] >= enough)


def _quantiles(value: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Where numbers stand among others, in [0, 1]; equal numbers in the middle of their ties."""
    among = np.sort(among[~np.isnan(among)])
    below = np.searchsorted(among, value, "left")
    upto = np.searchsorted(among, value, "right")
    return (below + upto) / (2 * max(len(among), 1))


def encode_numbers(
    source: np.ndarray,
    target: np.ndarray,
    scale: str = "joint",
    among: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Turns a column of numbers that both graphs have into features that are near where numbers
    are near.

    A number becomes its quantile :math:`q`, so that outliers and skew do not matter, and that
    :math:`K = 32` values of a Gaussian around :math:`K` equidistant places, scaled to length one:

    .. math::
        x_k \propto \exp \big( - \tfrac{1}{2} (K q - k - \tfrac{1}{2})^2 \big)

    Args:
        source (ndarray): Numbers of the source graph :math:`(N_s)`, NaN where there is none.
        target (ndarray): Numbers of the target graph :math:`(N_t)`.
        scale (str): :obj:`"joint"` takes quantiles over both graphs, for numbers in the same unit;
            :obj:`"each"` over each of them, for prices in two currencies and other units that no
            fixed factor is known for. (default: :obj:`"joint"`)
        among (tuple, optional): The numbers of both graphs that the quantiles are taken of.
            (default: :obj:`None`, which means the numbers themselves)

    Returns:
        Features :math:`(N_s, K)` and :math:`(N_t, K)`; rows without a number are zero.
    """
    known = (source, target) if among is None else among
    both = np.concatenate(known)
    centres = (np.arange(NUM_BUMPS, dtype=np.float32) + 0.5)[None]
    out = []
    for value, own in zip((source, target), known, strict=True):
        quantile = _quantiles(value, both if scale == "joint" else own).astype(np.float32)
        x = np.exp(-0.5 * np.square(NUM_BUMPS * quantile[:, None] - centres))
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        x[np.isnan(value)] = 0.0
        out.append(x)
    return out[0], out[1]
