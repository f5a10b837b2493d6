import pytest

from pyg_mmea.calibration import informative_pairs
from pyg_mmea.review import Progress, ReviewSession
from pyg_mmea.training import Decision, Decisions


def accept(pair):
    return Decision("accept", pair)


def test_the_queue_is_what_teaches_most(session, inspector):
    chosen = informative_pairs(inspector.data, inspector.pairs, inspector.confidence, 6)
    assert session.queue == [tuple(pair) for pair in inspector.pairs[:, chosen].t().tolist()]
    assert session.open_pairs() == session.queue
    assert session.progress == Progress(0, 0, 6)
    assert session.progress.total == 6
    assert session.next_pair() == session.queue[0]


def test_next_goes_round(session):
    queue = session.queue
    assert session.next_pair(queue[2]) == queue[3]
    assert session.next_pair(queue[-1]) == queue[0]
    assert session.next_pair((10_000, 0)) == queue[0]
    for pair in queue[3:]:
        session.decide(Decision("reject", pair))
    assert session.next_pair(queue[2]) == queue[0]
    for pair in queue[:3]:
        session.decide(Decision("reject", pair))
    assert session.next_pair(queue[2]) is None
    assert session.progress == Progress(6, 0, 0)


def test_beside(session):
    queue = session.queue
    assert session.beside(queue[0], 1) == queue[1]
    assert session.beside(queue[0], -1) is None
    assert session.beside(queue[-1], 1) is None
    assert session.beside((10_000, 0), 1) is None


def test_skips_are_in_memory_only(session, ledger):
    first, second, *_ = session.queue
    before = ledger.path.read_bytes()
    session.skip(first)
    session.skip(second)
    assert session.progress == Progress(0, 2, 4)
    assert ledger.path.read_bytes() == before
    session.decide(Decision("reject", first))
    assert session.progress == Progress(1, 1, 4)
    session.recall()
    assert session.progress == Progress(1, 0, 5)
    session.decide(Decision("undo", first))
    assert session.progress == Progress(0, 0, 6)  # not skipped any more


def test_others_decide_too(session, inspector, ledger):
    source, target = session.queue[0]
    other = next(s for s, t in session.queue[1:] if (s, t) in session.open_pairs())
    elsewhere = Decisions(inspector.data, ledger)
    elsewhere.record([Decision("reject", (source, target))])
    assert session.progress == Progress(1, 0, 5)
    # A pair is settled when one of its entities has a counterpart, and open again without it.
    free = next(
        t
        for t in range(inspector.data["target"].num_nodes)
        if elsewhere.objection((other, t)) is None and t not in [t for _, t in session.queue]
    )
    elsewhere.record([accept((other, free))])
    assert session.progress == Progress(2, 0, 4)
    again = ReviewSession(inspector, elsewhere, limit=1000)
    assert (source, target) not in again.queue
    assert other not in [s for s, _ in again.queue]
    elsewhere.record([Decision("undo", (other, free))])
    assert session.progress == Progress(1, 0, 5)


def test_alternatives_can_be_accepted(session, inspector):
    pair = session.queue[0]
    found = session.alternatives(pair)
    assert 0 < len(found) <= 4
    nearest = inspector.nearest("source", pair[0], 20)
    assert [each for each in nearest if each in found] == found
    assert pair[1] not in [target for target, _ in found]
    (first, _), *rest = found
    session.decide(Decision("reject", (pair[0], first)))
    assert [each for each in session.alternatives(pair) if each in rest] == rest
    assert first not in dict(session.alternatives(pair))
    for target, _ in rest:
        session.decide(accept((pair[0], target)))
        session.decide(Decision("undo", (pair[0], target)))


@pytest.mark.parametrize("limit", [1, 1000])
def test_all_decided(session, inspector, limit):
    everything = [Decision("reject", tuple(pair)) for pair in inspector.pairs.t().tolist()]
    session.decisions.record(everything)
    again = ReviewSession(inspector, session.decisions, limit)
    assert again.queue == []
    assert again.next_pair() is None
