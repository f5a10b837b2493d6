"""Which pair comes next, and what became of those before."""

import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from pyg_mmea.calibration import informative_pairs
from pyg_mmea.inspect import Inspector
from pyg_mmea.training.decisions import Decision, Decisions, Pair

_LOOKED_AT = 20  # nearest entities among which alternatives are sought


class Progress(NamedTuple):
    """How far a review is.

    Attributes:
        settled (int): Pairs of the queue that were decided, or that cannot be right any more since
            an entity of theirs has a counterpart now.
        skipped (int): Pairs that were put off.
        left (int): The other ones.
    """

    settled: int
    skipped: int
    left: int

    @property
    def total(self) -> int:
        """Length of the queue."""
        return sum(self)


class ReviewSession:
    """A queue of the pairs whose answers teach most, see
    :func:`~pyg_mmea.calibration.informative_pairs`.

    The queue stays as it is; what is decided is read off the ledger at every call, so that
    decisions of other processes count, too. Only what was skipped is kept in memory.

    .. code-block:: python

        session = ReviewSession(inspector, Decisions(inspector.data, ledger), limit=50)
        pair = session.next_pair()
        session.decisions.record([Decision("accept", pair)])
        pair = session.next_pair(pair)

    Args:
        inspector (Inspector): The evidence of the run.
        decisions (Decisions): Where decisions are kept.
        limit (int): Largest length of the queue. (default: :obj:`100`)
    """

    def __init__(self, inspector: Inspector, decisions: Decisions, limit: int = 100) -> None:
        self.inspector = inspector
        self.decisions = decisions
        in_force = decisions.in_force()
        settled = _settled(in_force)
        pairs: list[Pair] = [(s, t) for s, t in inspector.pairs.t().tolist()]
        kept = [i for i, pair in enumerate(pairs) if not settled(pair)]
        chosen = informative_pairs(
            inspector.data,
            inspector.pairs[:, kept],
            inspector.confidence[kept],
            limit,
            torch.tensor(list(in_force), dtype=torch.long).view(-1, 2).t(),
        )
        self.queue: list[Pair] = [pairs[kept[i]] for i in chosen.tolist()]
        self._place = {pair: i for i, pair in enumerate(self.queue)}
        self._skipped: set[Pair] = set()
        self._guard = threading.Lock()

    def skip(self, pair: Pair) -> None:
        """Puts a pair off until :meth:`recall`."""
        with self._guard:
            self._skipped.add(pair)

    def recall(self) -> None:
        """Brings all pairs back that were skipped."""
        with self._guard:
            self._skipped.clear()

    def open_pairs(self) -> list[Pair]:
        """Pairs of the queue that are neither settled nor skipped."""
        return self._parts()[2]

    @property
    def progress(self) -> Progress:
        """How far the review is."""
        return Progress(*map(len, self._parts()))

    def next_pair(self, after: Pair | None = None) -> Pair | None:
        """The open pair that follows a pair of the queue, from the end on to its start again; the
        first open one by default."""
        found = self.open_pairs()
        if after in self._place:
            start = self._place[after]
            found.sort(key=lambda pair: self._place[pair] <= start)
        return found[0] if found else None

    def beside(self, pair: Pair, step: int) -> Pair | None:
        """The pair some places further in the queue, whatever became of it."""
        if pair not in self._place:
            return None
        place = self._place[pair] + step
        return self.queue[place] if 0 <= place < len(self.queue) else None

    def alternatives(self, pair: Pair, num: int = 4) -> list[tuple[int, float]]:
        """Other entities that the source entity may be the same as, with their cosines: the most
        similar ones that have no counterpart yet and were not rejected."""
        source, target = pair
        in_force = self.decisions.in_force()
        return [
            (other, cosine)
            for other, cosine in self.inspector.nearest("source", source, _LOOKED_AT)
            if other != target
            and (source, other) not in in_force
            and self.decisions.objection((source, other)) is None
        ][:num]

    def decide(self, decision: Decision) -> None:
        """Records a decision; see :meth:`~pyg_mmea.training.Decisions.record`."""
        self.decisions.record([decision])
        with self._guard:
            self._skipped.discard(decision.pair)

    def _parts(self) -> tuple[list[Pair], list[Pair], list[Pair]]:
        settled = _settled(self.decisions.in_force())
        with self._guard:
            skipped = set(self._skipped)
        parts: tuple[list[Pair], list[Pair], list[Pair]] = ([], [], [])
        for pair in self.queue:
            parts[0 if settled(pair) else 1 if pair in skipped else 2].append(pair)
        return parts


def _settled(in_force: Mapping[Pair, dict[str, Any]]) -> Callable[[Pair], bool]:
    """Tells of a pair whether it needs no answer any more."""
    accepted = [pair for pair, entry in in_force.items() if entry["decision"] == "accept"]
    sources, targets = ({pair[row] for pair in accepted} for row in (0, 1))
    return lambda pair: pair in in_force or pair[0] in sources or pair[1] in targets
