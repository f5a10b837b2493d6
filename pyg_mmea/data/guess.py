"""Guesses what the columns of a table are, from their names and what is in them."""

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pyg_mmea.data.layoutfiles import IMAGE_SUFFIXES
from pyg_mmea.data.pairspec import ColumnSpec
from pyg_mmea.data.tablefile import TableFile
from pyg_mmea.data.units import find_unit
from pyg_mmea.data.values import (
    DATE_FORMATS,
    Numbers,
    parse_dates,
    parse_numbers,
    unsure_mark,
    unsure_order,
)
from pyg_mmea.data.verbalize import local_name

_SAMPLE = 2000
_ID = {"id", "key", "sku", "uri", "url", "iri", "code", "ean", "gtin", "asin", "uuid", "编号", "nr"}
_NAME = {
    *("name", "title", "label", "bezeichnung", "titel", "nom", "titre", "nombre", "titulo"),
    *("nome", "名称", "标题", "品名", "名前", "商品名", "이름", "название", "наименование"),
}
_REFERENCE = {"parent", "ref", "of", "id", "fk", "variant", "related", "similar", "uri", "sku"}
# Words that are also units, but rather say something else at the end of a name.
_NO_UNIT = {"min", "max", "std", "day", "week", "piece", "d", "h", "m", "s", "t", "l", "b"}
_YEAR = {"year", "jahr", "annee", "ano", "anno", "年", "年份", "发布年份", "год"}
PICTURES = 0.8  # share of pictures among the values of a column of them
_NEARLY = 0.9  # share of different ids of a column that has a few broken rows
_SEPARATORS = ("|", ";", ",")


@dataclass
class Guess:
    """What a column seems to be.

    Args:
        label (str): Name of the column.
        spec (ColumnSpec): The guess.
        why (str): The reason.
        sample (str): A value, shortened.
        values (list[str]): Different values, some of them.
        numbers (Numbers, optional): Its numbers or dates, of those values.
    """

    label: str
    spec: ColumnSpec
    why: str
    sample: str
    values: list[str]
    numbers: Numbers | None = None


def words_of(name: str) -> list[str]:
    """Words of the name of a column or of a URI: :obj:`"heightCm"` gives "height" and "cm"."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", local_name(name) if "/" in name else name)
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return re.findall(r"[^\W_]+|[%€$£\"]", plain.lower())


def find_id(columns: Mapping[str, Sequence[str]]) -> tuple[str, str] | None:
    """The column of the ids and why it is that.

    Every row has an id, none twice. Where no column is like that, one that is called so and nearly
    is will do, since a few broken rows are better named by a check than in the way of a guess.
    """
    share = {name: _unique(texts) for name, texts in columns.items() if texts}
    named = [name for name in share if _ID & {*words_of(name)[:1], *words_of(name)[-1:]}]
    short = [name for name in share if sum(map(len, columns[name])) <= 40 * len(columns[name])]
    for name in (*named, *short, *share):
        if share[name] == 1:
            return name, "every row has one, none twice"
    for name in named:
        if share[name] >= _NEARLY:
            return name, f"the name says so, but {1 - share[name]:.1%} are empty or there twice"
    return None


def _unique(texts: Sequence[str]) -> float:
    """Share of the rows that have a value of their own."""
    return len({text.strip() for text in texts} - {""}) / len(texts)


def nearly_id(table: TableFile) -> str:
    """The column that comes closest to ids, and in which lines it first fails."""
    # Of several that nearly are ids, the first: names of things are seldom there twice, too.
    name, texts = max(table.columns.items(), key=lambda column: min(_unique(column[1]), _NEARLY))
    lines, line = ("rows", "row") if table.line is None else ("lines", "line")
    first: dict[str, int] = {}  # row of each value
    faults: dict[str, str] = {}  # the first of either kind
    for row, text in enumerate(map(str.strip, texts)):
        here = table.place(row)
        if not text:
            faults.setdefault("empty", f"empty in {line} {here}")
        elif text in first:
            both = f"{lines} {table.place(first[text])} and {here}"
            faults.setdefault("twice", f"'{text}' in {both}")
        first.setdefault(text, row)
    return f"'{name}' comes closest: {', '.join(faults.values())}"


def guess_column(
    name: str,
    texts: Sequence[str],
    ids: Mapping[str, Collection[str]],
    image_folder: bool = False,
) -> Guess:
    """Guesses the role of a column that is not the one of the ids.

    Args:
        name (str): Its name.
        texts (Sequence[str]): Its cells.
        ids (Mapping[str, Collection[str]]): Ids of each table of the side.
        image_folder (bool): Whether pictures lie in a folder by id, so that no column names them.
            (default: :obj:`False`)
    """
    cells = [text.strip() for text in texts if text.strip()]
    values = list(dict.fromkeys(cells))
    some = values[:_SAMPLE]
    sample = " ".join(some[0].split())[:40] if some else ""

    def guess(role: str, why: str, numbers: Numbers | None = None, **options: str) -> Guess:
        spec = ColumnSpec(role, name, **options)  # type: ignore[arg-type]
        return Guess(name, spec, why, sample, some, numbers)

    if not values:
        return guess("ignore", "is empty")
    pictures = share_of_pictures(some)
    if pictures >= PICTURES:
        if some[0].lower().startswith(("http://", "https://")):
            return guess("ignore", "addresses of pictures, which are not fetched")
        if image_folder:
            return guess("ignore", "pictures are taken from the folder")
        return guess("image", f"{100 * pictures:.0f}% end like pictures")
    reference = _reference(name, some, ids)
    if reference is not None:
        title, separator, share = reference
        why = f"{100 * share:.0f}% are ids of {title}"
        return guess("reference", why, to=title, separator=separator)
    if _is_code(some):
        return guess("attribute", "digits of a fixed length or with leading zeros: codes")
    plain = all(re.fullmatch(r"\d+", value) for value in some)  # ISO 8601 takes 2024 for a year
    years = plain and _YEAR & set(words_of(name)) and all(1000 < int(v) < 2200 for v in some)
    for date_format in DATE_FORMATS if years or not plain else ():
        dates = parse_dates(some, date_format)
        if len(dates.problem) <= 0.1 * len(some):
            unsure = unsure_order(some, date_format)
            why = f"dates like {date_format}{'' if unsure is None else f'; {unsure[1]}'}"
            return guess("date", why, dates, format=date_format)
    numbers = _numbers(name, some)
    if numbers is not None:
        return guess("number", numbers[2], numbers[0], **numbers[1])
    role, why, options = _words(name, cells, values)
    return guess(role, why, None, **options)


def share_of_pictures(values: Sequence[str]) -> float:
    """Share of the values that end like the names of picture files."""
    ends = [text.lower().split("?")[0].endswith(IMAGE_SUFFIXES) for text in values]
    return float(np.mean(ends)) if ends else 0.0


def _is_code(values: Sequence[str]) -> bool:
    digits = [value for value in values if re.fullmatch(r"\d+", value)]
    if len(digits) < 0.9 * len(values):
        return False
    zeros = sum(value.startswith("0") and len(value) > 1 for value in digits)
    sizes = {len(value) for value in digits}
    return zeros > 0.02 * len(digits) or (min(sizes) >= 8 and len(sizes) <= 2)


def _reference(
    name: str, values: Sequence[str], ids: Mapping[str, Collection[str]]
) -> tuple[str, str, float] | None:
    hinted = bool(_REFERENCE & set(words_of(name)))
    best: tuple[str, str, float] | None = None
    for separator in ("", *_SEPARATORS):
        if separator and sum(separator in value for value in values) < 0.05 * len(values):
            continue
        parts = [v.split(separator) if separator else [v] for v in values]
        items = {item.strip() for part in parts for item in part} - {""}
        # Small numbers are ids of something by chance.
        plain = sum(item.isdigit() for item in items) > 0.5 * len(items)
        for title, known in ids.items():
            share = sum(item in known for item in items) / max(len(items), 1)
            mentioned = hinted or title.lower().rstrip("s") in " ".join(words_of(name))
            enough = share >= 0.5 if mentioned else share >= 0.9 and not plain
            if enough and (best is None or share > best[2]):
                best = (title, separator, share)
    return best


def _numbers(name: str, values: Sequence[str]) -> tuple[Numbers, dict[str, str], str] | None:
    """Numbers, and with which decimal mark and unit; a unit may stand in the name."""
    few = values[:50]
    if all(len(parse_numbers(few, "", mark).problem) > 0.5 * len(few) for mark in (".", ",")):
        return None  # most columns are no numbers, and some texts are long
    parsed = {mark: parse_numbers(values, "", mark) for mark in (".", ",")}
    mark = min(parsed, key=lambda mark: len(parsed[mark].problem))  # a full stop if both do
    found = parsed[mark]
    share = 1 - len(found.problem) / len(values)
    if share < 0.85:
        return None
    options = {"decimal": mark} if mark == "," else {}
    unit = "" if found.dimension else unit_of_name(name)
    why = f"{100 * share:.0f}% are numbers"
    if unit:
        options["unit"] = unit
        found = parse_numbers(values, unit, mark)
        why += f", the name says {unit}"
    elif found.dimension:
        why += f" with units ({found.dimension})"
    unsure = unsure_mark(values, mark)
    if unsure is not None:
        why += f"; {unsure[1]}"
    return found, options, why


def unit_of_name(name: str) -> str:
    """The unit at the end of a name: :obj:`"height (cm)"`, :obj:`"weight_kg"`, "priceEUR"."""
    inside = re.search(r"[(\[]\s*([^)\]]+?)\s*[)\]]\s*$", name)
    if inside:
        return inside[1] if find_unit(inside[1]) else ""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", local_name(name) if "/" in name else name)
    parts = re.split(r"[\s_.-]+", words)
    for last in (" ".join(parts[-2:]), parts[-1]):  # fl oz
        if len(last) < len(words) and last.lower() not in _NO_UNIT and find_unit(last):
            return last
    return ""


def _words(
    name: str, cells: Sequence[str], values: Sequence[str]
) -> tuple[str, str, dict[str, str]]:
    if _NAME & set(words_of(name)):
        return "name", "the name says so", {}
    length = float(np.mean([_weight(value) for value in values[:_SAMPLE]]))
    for separator in (*_SEPARATORS, ""):
        if separator and sum(separator in c for c in cells[:_SAMPLE]) < 0.05 * len(cells[:_SAMPLE]):
            continue
        parts = [c.split(separator) if separator else [c] for c in cells]
        items = [item.strip() for part in parts for item in part if item.strip()]
        if separator and len(items) < 1.05 * len(cells):
            continue
        different = len(set(items))
        short = np.mean([_weight(item) for item in items[:_SAMPLE]]) <= 40
        if different <= 0.5 * len(items) and short and different < len(values) + (not separator):
            why = f"{len(cells):,} cells, different values: {different:,}"
            return "category", why, {"separator": separator} if separator else {}
    if length >= 12 and np.mean([_has_words(value) for value in values[:_SAMPLE]]) >= 0.5:
        return "text", f"words, {length:.0f} letters on average", {}
    return "attribute", "short texts that differ: only their presence counts", {}


def _weight(text: str) -> int:
    """Letters, those of Chinese and Japanese as two."""
    return sum(1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text)


def _has_words(text: str) -> bool:
    letters = sum(map(str.isalpha, text))
    return letters >= 0.5 * len(text) and (" " in text or _weight(text) > len(text))
