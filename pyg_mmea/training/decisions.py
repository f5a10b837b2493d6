"""What people decide on pairs, and what those decisions must not contradict."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_mmea.calibration import Ledger
from pyg_mmea.calibration.ledger import BY_HAND, is_by_hand, last_by_hand
from pyg_mmea.data import HideAnchors
from pyg_mmea.typing import ANCHOR_EDGE, SIDES
from pyg_mmea.utils.pairs import unconfirmed_links

Verdict = Literal["accept", "reject", "undo"]
UNDECIDED: Verdict = "undo"  # a pair that nobody decided on is as one whose decision was undone
VERDICTS: tuple[Verdict, ...] = ("undo", "reject", "accept")

Pair = tuple[int, int]


class Decision(NamedTuple):
    """A decision of a person.

    Attributes:
        verdict (str): :obj:`"accept"`, :obj:`"reject"`, or :obj:`"undo"`, which leaves the pair
            undecided.
        pair (tuple): Source and target id.
        note (str, optional): Why, kept beside the decision.
        seen (str, optional): The verdict on the pair that the person was shown. By default it
            does not matter.
    """

    verdict: Verdict
    pair: Pair
    note: str | None = None
    seen: str | None = None


class DecisionConflictError(ValueError):
    """Somebody else has decided on the pair since it was shown."""


class Decisions:
    """Decisions of people on the pairs of a run. They are entries of its ledger, where
    ``train --resume`` finds them; several processes may add to it at the same time.

    .. code-block:: python

        decisions = Decisions(data, Ledger("runs/zh_en/pseudo_labels.jsonl"))
        decisions.record([Decision("accept", (12, 7), note="same picture")])

    Args:
        data (HeteroData): The pair of graphs. Its test links are not looked at.
        ledger (Ledger): The ledger of the run.
    """

    def __init__(self, data: HeteroData, ledger: Ledger) -> None:
        self.ledger = ledger
        self._uris: list[list[str]] = [data[side].uri for side in SIDES]
        self._links = HideAnchors("train+val")(data)[ANCHOR_EDGE].edge_label_index.cpu()
        self._unconfirmed = unconfirmed_links(data)
        self._read = 0  # bytes
        self._in_force: dict[Pair, dict[str, Any]] = {}  # in the order in which they were taken
        self._guard = threading.RLock()

    @contextmanager
    def _up_to_date(self) -> Iterator[dict[Pair, dict[str, Any]]]:
        with self._guard:
            entries, self._read = self.ledger.read_on(self._read)
            for entry in filter(is_by_hand, entries):
                source, target = entry["pair"]
                self._in_force.pop((source, target), None)
                if entry["decision"] != "undo":
                    self._in_force[source, target] = entry
            yield self._in_force

    def in_force(self) -> dict[Pair, dict[str, Any]]:
        """Returns the entry of the ledger for each pair that is decided, the latest one last."""
        with self._up_to_date() as in_force:
            return dict(in_force)

    def verdict(self, pair: Pair) -> Verdict:
        """Returns what was decided on a pair; :obj:`"undo"` if nothing is in force."""
        with self._up_to_date() as in_force:
            return in_force[pair]["decision"] if pair in in_force else UNDECIDED

    def objection(self, pair: Pair) -> str | None:
        """Says why a pair cannot be accepted, if that is so.

        Raises:
            ValueError: If an entity does not exist.
        """
        self._check_entities(pair)
        with self._up_to_date() as in_force:
            verdicts = {other: entry["decision"] for other, entry in in_force.items()}
        return self._rival(pair, verdicts)

    def record(self, decisions: Sequence[Decision]) -> int:
        """Checks decisions and adds them to the ledger, all or none. They are on disk when it
        returns.

        A decision whose :obj:`seen` is given and that is in force already is not added again, so
        that it can be repeated if it is not sure that it arrived; with another note it is.

        Returns:
            int: Number of decisions that were added.

        Raises:
            ValueError: If an entity does not exist, if it would have two counterparts, or if there
                is nothing to undo.
            DecisionConflictError: If the verdict on a pair is not the one that was seen.
            RuntimeError: If the ledger is locked, see :meth:`~pyg_mmea.calibration.Ledger.locked`.
        """
        entries: list[dict[str, Any]] = []
        with self.ledger.locked(), self._up_to_date() as in_force:
            verdicts = {pair: entry["decision"] for pair, entry in in_force.items()}
            notes = {pair: entry.get("note") for pair, entry in in_force.items()}
            for decision in decisions:
                self._check_entities(decision.pair)
                before = verdicts.get(decision.pair, UNDECIDED)
                repeated = decision.seen is not None and before == decision.verdict
                same_note = decision.note in (None, notes.get(decision.pair))
                if repeated and (same_note or decision.verdict == UNDECIDED):
                    continue
                if not repeated:
                    self._check(decision, before, verdicts)
                notes[decision.pair] = decision.note
                verdicts[decision.pair] = decision.verdict
                entries.append(self._entry(decision))
            self.ledger.append(entries)
        return len(entries)

    def take_over(self, entries: Iterable[dict[str, Any]]) -> tuple[int, int]:
        """Adds what people decided in another run, on entities of the same URIs, to the ledger, all
        at once. What is in force already is not added again. A seed of
        :class:`~pyg_mmea.data.PivotAnchors` that stands against what they accepted is rejected.

        Args:
            entries (Iterable[dict]): Entries of the ledger of that run.

        Returns:
            tuple[int, int]: Number of decisions that were added, and of those that could not be:
            their entities are gone, or have another counterpart now.
        """
        places = [{uri: entity for entity, uri in enumerate(uris)} for uris in self._uris]
        added: list[dict[str, Any]] = []
        num_left = 0
        with self.ledger.locked(), self._up_to_date() as in_force:
            verdicts = {pair: entry["decision"] for pair, entry in in_force.items()}
            for entry in last_by_hand(entries):
                ends = zip(places, entry.get("uri", ("", "")), strict=True)
                source, target = (ids.get(uri, -1) for ids, uri in ends)
                pair, verdict = (source, target), entry["decision"]
                against = self._guesses_against(pair, verdicts) if verdict == "accept" else {}
                rival = verdict == "accept" and self._rival(pair, {**verdicts, **against})
                if min(pair) < 0 or rival:
                    num_left += 1
                    continue
                verdicts |= against
                added += [self._entry(Decision("reject", guess)) for guess in against]
                if verdicts.get(pair) != verdict:
                    verdicts[pair] = verdict
                    added.append(self._entry(Decision(verdict, pair, entry.get("note"))))
            self.ledger.append(added)
        return len(added), num_left

    def _entry(self, decision: Decision) -> dict[str, Any]:
        entry = {
            "decision": decision.verdict,
            "reason": BY_HAND,
            "pair": list(decision.pair),
            "uri": self._names(decision.pair),
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        return entry if decision.note is None else {**entry, "note": decision.note}

    def _names(self, pair: Pair) -> list[str]:
        return [uris[entity] for uris, entity in zip(self._uris, pair, strict=True)]

    def _check_entities(self, pair: Pair) -> None:
        for side, uris, entity in zip(SIDES, self._uris, pair, strict=True):
            if not 0 <= entity < len(uris):
                raise ValueError(f"'{side}' entities are in [0, {len(uris)}) (got {entity})")

    def _check(self, decision: Decision, before: str, verdicts: dict[Pair, Verdict]) -> None:
        source, target = self._names(decision.pair)
        if decision.seen is not None and before != decision.seen:
            word = {"undo": "undone", "accept": "accepted", "reject": "rejected"}[before]
            raise DecisionConflictError(f"'{source}' and '{target}' have been {word} meanwhile")
        if decision.verdict == before == "undo":
            raise ValueError(f"nothing was decided on '{source}' and '{target}'")
        link = bool(self._linked(decision.pair) & {decision.pair})
        if decision.verdict == "accept" or (decision.verdict == "undo" and link):
            rival = self._rival(decision.pair, verdicts)
            if rival is not None:
                raise ValueError(rival)

    def _rival(self, pair: Pair, verdicts: dict[Pair, Verdict]) -> str | None:
        """An entity has one counterpart, unless the links themselves say otherwise."""
        links = self._linked(pair)
        seeds = {link for link in links if verdicts.get(link) != "reject"}
        accepted = {
            other
            for other, verdict in verdicts.items()
            if verdict == "accept" and (other[0] == pair[0] or other[1] == pair[1])
        }
        others = accepted | seeds if pair not in links else accepted - links
        for other in sorted(others - {pair}):
            shared = 0 if other[0] == pair[0] else 1
            uri, partner = self._names(pair)[shared], self._names(other)[1 - shared]
            where = "was accepted" if other in accepted else "is among the seeds"
            return f"'{uri}' has another counterpart: '{partner}' {where}"
        return None

    def _guesses_against(self, pair: Pair, verdicts: dict[Pair, Verdict]) -> dict[Pair, Verdict]:
        """Rejections of seeds that nobody has confirmed, and that an acceptance contradicts."""
        guesses = _touching(self._unconfirmed, pair) - {pair}
        return {guess: "reject" for guess in sorted(guesses) if guess not in verdicts}

    def _linked(self, pair: Pair) -> set[Pair]:
        """Training and validation links with one of two entities."""
        return _touching(self._links, pair)


def _touching(links: Tensor, pair: Pair) -> set[Pair]:
    touched = (links[0] == pair[0]) | (links[1] == pair[1])
    return {(source, target) for source, target in links[:, touched].t().tolist()}
