"""What the page shows of a pair."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pyg_mmea.calibration.ledger import is_by_hand
from pyg_mmea.inspect import EntityCard, PairEvidence
from pyg_mmea.review.session import ReviewSession
from pyg_mmea.training.decisions import Pair, Verdict


class Attribute(NamedTuple):
    """Values of an attribute on both sides, of which one may have none.

    Attributes:
        name (str): Its name.
        source (tuple, optional): Values of the source entity; :obj:`None` if it lacks it.
        target (tuple, optional): Values of the target entity.
    """

    name: str
    source: tuple[str, ...] | None
    target: tuple[str, ...] | None

    @property
    def same(self) -> bool:
        """Whether both have it, with a value in common if there are any."""
        if self.source is None or self.target is None:
            return False
        values = {value.casefold() for value in self.source}
        return self.source == self.target or not values.isdisjoint(map(str.casefold, self.target))


class Alternative(NamedTuple):
    """Another counterpart for the source entity."""

    card: EntityCard
    similarity: float


class Last(NamedTuple):
    """The decision that can be undone at once."""

    pair: Pair
    verdict: Verdict
    names: tuple[str, str]


@dataclass(frozen=True)
class PairView:
    """A pair on the page.

    Args:
        pair (tuple): Source and target id.
        evidence (PairEvidence): What speaks for and against it.
        attributes (list): Attributes of both, those that both have first.
        verdict (str): What was decided on it.
        note (str): The note of that decision.
        objection (str, optional): Why it cannot be accepted.
        alternatives (list): Other counterparts.
        history (list): What the calibration did, as words.
        before (tuple, optional): Pair in front of it in the queue.
        behind (tuple, optional): Pair behind it.
    """

    pair: Pair
    evidence: PairEvidence
    attributes: list[Attribute]
    verdict: Verdict
    note: str
    objection: str | None
    alternatives: list[Alternative]
    history: list[str]
    before: Pair | None
    behind: Pair | None


def view_pair(session: ReviewSession, pair: Pair) -> PairView:
    """Gathers what the page shows.

    Raises:
        ValueError: If there is no such entity.
    """
    evidence = session.inspector.pair(*pair)
    in_force = session.decisions.in_force()
    entry = in_force.get(pair, {})
    verdict: Verdict = entry.get("decision", "undo")
    return PairView(
        pair,
        evidence,
        align_attributes(evidence.source, evidence.target),
        verdict,
        entry.get("note", ""),
        None if verdict == "accept" else session.decisions.objection(pair),
        [
            Alternative(session.inspector.card("target", other), cosine)
            for other, cosine in session.alternatives(pair)
        ],
        [_tell(entry) for entry in evidence.history if not is_by_hand(entry)],
        session.beside(pair, -1),
        session.beside(pair, +1),
    )


def align_attributes(source: EntityCard, target: EntityCard) -> list[Attribute]:
    """Puts attributes of the same name side by side, those that both have first."""
    of_s, of_t = _by_name(source), _by_name(target)
    rows = []
    for key in dict.fromkeys([*of_s, *of_t]):
        name = (of_s if key in of_s else of_t)[key][0]
        values = (tuple(of[key][1]) if key in of else None for of in (of_s, of_t))
        rows.append(Attribute(name, *values))
    return sorted(rows, key=lambda row: row.source is None or row.target is None)


def _by_name(card: EntityCard) -> dict[str, tuple[str, list[str]]]:
    """Name and values of each attribute, whatever its capitals."""
    found: dict[str, tuple[str, list[str]]] = {}
    for name, value in card.attributes:
        _, values = found.setdefault(name.casefold(), (name, []))
        if value:  # data may keep the name alone
            values.append(value)
    return found


def last_decision(session: ReviewSession) -> Last | None:
    """The latest decision that is in force, of this review or an earlier one."""
    in_force = session.decisions.in_force()
    if not in_force:
        return None
    pair, entry = list(in_force.items())[-1]
    label = session.inspector.label
    return Last(pair, entry["decision"], (label("source", pair[0]), label("target", pair[1])))


def _tell(entry: Mapping[str, Any]) -> str:
    """An entry of the calibration in words."""
    when = f"epoch {entry['epoch'] + 1}: " if "epoch" in entry else ""
    sure = f", confidence {entry['confidence']:.3f}" if "confidence" in entry else ""
    return f"{when}{entry['decision']} ({entry['reason']}){sure}"
