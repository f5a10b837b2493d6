"""Guesses which columns of two sides say the same, and how their numbers compare."""

from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher

import numpy as np

from pyg_mmea.data.guess import Guess, unit_of_name, words_of

_GROUP = {"category": "relation", "reference": "relation"}
_ENOUGH = 0.7


def match_columns(source: Sequence[Guess], target: Sequence[Guess]) -> None:
    """Gives columns of both sides that say the same a common name, in place.

    Names that resemble each other count, values that both have, and that each side has a single
    column of a dimension. No link is looked at.

    Args:
        source (Sequence[Guess]): Columns of the source.
        target (Sequence[Guess]): Columns of the target.
    """
    scores = []
    for i, first in enumerate(source):
        for j, second in enumerate(target):
            score, why = _likeness(first, second, source, target)
            if score >= _ENOUGH:
                scores.append((-score, i, j, why))
    taken_source: set[int] = set()
    taken_target: set[int] = set()
    for _, i, j, why in sorted(scores):
        if i in taken_source or j in taken_target:
            continue
        taken_source.add(i)
        taken_target.add(j)
        first, second = source[i], target[j]
        second.spec = replace(second.spec, name=first.spec.name)
        second.why += f"; like '{first.label}': {why}"
        if first.spec.role in ("number", "date"):
            _scale(first, second)
    # What is not paired must not meet by accident.
    used = {guess.spec.name for guess in source}
    for j, guess in enumerate(target):
        if j not in taken_target and guess.spec.name in used:
            guess.spec = replace(guess.spec, name=f"{guess.spec.name} (target)")


def _likeness(
    first: Guess, second: Guess, source: Sequence[Guess], target: Sequence[Guess]
) -> tuple[float, str]:
    roles = [_GROUP.get(guess.spec.role, guess.spec.role) for guess in (first, second)]
    if roles[0] != roles[1] or roles[0] in ("id", "name", "image", "ignore"):
        return 0.0, ""
    dimensions = [_dimension(guess) for guess in (first, second)]
    currencies = all(dimension.startswith("currency") for dimension in dimensions)
    if all(dimensions) and dimensions[0] != dimensions[1] and not currencies:
        return 0.0, ""
    names = [_bare(guess.label) for guess in (first, second)]
    name = SequenceMatcher(None, names[0], names[1]).ratio() if all(names) else 0.0
    shared = _shared(first, second)
    found = [(name, "the name"), (0.7 + 0.3 * shared if shared >= 0.3 else 0.0, "the values")]
    alone = dimensions[0] not in ("", "date", "count") and all(
        sum(_dimension(guess) == dimensions[0] for guess in side) == 1 for side in (source, target)
    )
    found.append((0.75 if alone else 0.0, f"the only {dimensions[0]}"))
    return max(found)


def _dimension(guess: Guess) -> str:
    return "" if guess.numbers is None else guess.numbers.dimension


def _bare(label: str) -> str:
    """A name without its unit."""
    words = words_of(label)
    unit = unit_of_name(label).lower()
    return " ".join(word for word in words if word != unit) if len(words) > 1 else "".join(words)


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
