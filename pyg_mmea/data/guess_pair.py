"""Guesses which columns of two sides say the same, and how their numbers compare."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from difflib import SequenceMatcher

import numpy as np

from pyg_mmea.data.guess import Guess, unit_of_name, words_of
from pyg_mmea.data.values import fits_better, other_order, parse_dates, unsure_order

_GROUP = {"category": "relation", "reference": "relation"}
_ALONE = ("id", "name", "image", "ignore")  # roles without a common name
_ENOUGH = 0.7
Score = tuple[float, str]


def match_columns(source: Sequence[Guess], target: Sequence[Guess]) -> None:
    """Gives columns of both sides that say the same a common name, in place.

    Names that resemble each other count, values that both have, and of what is left, that each side
    has a single column of a dimension or of texts. No link is looked at.

    Args:
        source (Sequence[Guess]): Columns of the source.
        target (Sequence[Guess]): Columns of the target.
    """
    pairs = _best(source, target, _likeness)
    done = {id(guess) for first, second, _ in pairs for guess in (first, second)}
    rest_s, rest_t = ([g for g in side if id(g) not in done] for side in (source, target))
    pairs += _best(rest_s, rest_t, _only_ones(rest_s, rest_t))
    for first, second, why in pairs:
        if first.spec.role == "date":
            _order(first, second)
            _order(second, first)
        second.spec = replace(second.spec, name=first.spec.name)
        second.why += f"; like '{first.label}': {why}"
        if first.spec.role in ("number", "date"):
            _scale(first, second)
    # What is not paired must not meet by accident.
    paired = {id(second) for _, second, _ in pairs}
    used = {guess.spec.name for guess in source if guess.spec.role not in _ALONE}
    for guess in target:
        if guess.spec.name in used and guess.spec.role not in _ALONE and id(guess) not in paired:
            guess.spec = replace(guess.spec, name=f"{guess.spec.name} (target)")


def _best(
    source: Sequence[Guess], target: Sequence[Guess], likeness: Callable[[Guess, Guess], Score]
) -> list[tuple[Guess, Guess, str]]:
    """Pairs in the order of how alike they are, each column in one of them."""
    scores = []
    for i, first in enumerate(source):
        for j, second in enumerate(target):
            score, why = likeness(first, second)
            if score >= _ENOUGH:
                scores.append((-score, i, j, why))
    pairs = []
    taken: set[tuple[str, int]] = set()
    for _, i, j, why in sorted(scores):
        if ("source", i) not in taken and ("target", j) not in taken:
            taken |= {("source", i), ("target", j)}
            pairs.append((source[i], target[j], why))
    return pairs


def _may_pair(first: Guess, second: Guess) -> bool:
    roles = [_GROUP.get(guess.spec.role, guess.spec.role) for guess in (first, second)]
    dimensions = [_dimension(guess) for guess in (first, second)]
    clash = all(dimensions) and dimensions[0] != dimensions[1]
    return roles[0] == roles[1] and roles[0] not in _ALONE and not clash


def _likeness(first: Guess, second: Guess) -> Score:
    if not _may_pair(first, second):
        return 0.0, ""
    names = [_bare(guess.label) for guess in (first, second)]
    name = SequenceMatcher(None, " ".join(names[0]), " ".join(names[1])).ratio()
    if words_of(first.label) == words_of(second.label):
        name = 1.1  # before names that are the same without their unit
    words = [{word for word in part if len(word) >= 4} for part in names]
    if words[0] and words[1] and (words[0] <= words[1] or words[1] <= words[0]):
        name = max(name, 0.72)  # price, recommended price
    shared = _shared(first, second)
    values = 0.7 + 0.3 * shared if shared >= 0.3 else 0.0
    return max((name if all(names) else 0.0, "the name"), (values, "the values"))


def _only_ones(source: Sequence[Guess], target: Sequence[Guess]) -> Callable[[Guess, Guess], Score]:
    """Takes columns for alike that are the only ones of their dimension, or the only texts."""
    both = (source, target)

    def likeness(first: Guess, second: Guess) -> Score:
        kind = "text" if first.spec.role == "text" else _dimension(first)
        kinds = [["text" if g.spec.role == "text" else _dimension(g) for g in s] for s in both]
        alone = all(side.count(kind) == 1 for side in kinds)
        if alone and kind not in ("", "count") and _may_pair(first, second):
            return _ENOUGH, f"the only other {kind}"
        return 0.0, ""

    return likeness


def _dimension(guess: Guess) -> str:
    """What a column measures; all currencies are one."""
    return "" if guess.numbers is None else guess.numbers.dimension.split(" ")[0]


def _bare(label: str) -> list[str]:
    """The words of a name without its unit."""
    words = words_of(label)
    unit = words_of(unit_of_name(label))
    return words[: -len(unit)] if unit and len(words) > len(unit) else words


def _shared(first: Guess, second: Guess) -> float:
    """Share of the values of the smaller column that the other has, too."""
    if first.numbers is not None and second.numbers is not None:
        sets = [
            set(np.round(guess.numbers.value[~np.isnan(guess.numbers.value)], 6).tolist())
            for guess in (first, second)
            if guess.numbers is not None
        ]
        if min(map(len, sets)) < 20:  # small numbers are everywhere
            return 0.0
        common = {value for value in sets[0] & sets[1] if abs(value) > 1000 or value % 1}
        return len(common) / min(map(len, sets))
    sets_of_texts = [{value.casefold() for value in guess.values} for guess in (first, second)]
    return len(sets_of_texts[0] & sets_of_texts[1]) / max(min(map(len, sets_of_texts)), 1)


def _order(guess: Guess, other: Guess) -> None:
    """Day or month first, as the dates of the other column tell where those of this one do not."""
    taken = guess.spec.format
    swapped = other_order(taken)
    if swapped is None or unsure_order(guess.values, taken) is None:
        return
    if unsure_order(other.values, other.spec.format) is not None:
        return
    assert other.numbers is not None
    read = {each: parse_dates(guess.values, each) for each in (taken, swapped)}
    for one, two in ((taken, swapped), (swapped, taken)):
        if fits_better(other.numbers.value, read[one].value, read[two].value):
            guess.spec, guess.numbers = replace(guess.spec, format=one), read[one]
            guess.why = f"dates like {one}, the order that the dates of '{other.label}' tell"


def _scale(first: Guess, second: Guess) -> None:
    """Decides whether numbers compare as they are."""
    assert first.numbers is not None
    assert second.numbers is not None
    same = first.numbers.dimension == second.numbers.dimension
    if same and first.numbers.dimension:
        return
    parts = [numbers.value[~np.isnan(numbers.value)] for numbers in (first.numbers, second.numbers)]
    low, middle, high = np.transpose([np.quantile(part, [0.25, 0.5, 0.75]) for part in parts])
    spread = np.maximum(high - low, 1e-9)
    alike = abs(middle[0] - middle[1]) <= 0.25 * spread.max() and spread.max() <= 1.5 * spread.min()
    if same and alike:
        return
    why = "distributions differ" if same else "units differ"
    for guess in (first, second):
        guess.spec = replace(guess.spec, scale="each")
        guess.why += f"; {why}, so that each side is scaled by itself"
