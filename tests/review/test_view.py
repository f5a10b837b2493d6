from dataclasses import replace

import pytest

from pyg_mmea.review.view import align_attributes, last_decision, view_pair
from pyg_mmea.training import Decision


def test_attributes_side_by_side(inspector):
    source = replace(
        inspector.card("source", 0),
        attributes=(("Size", "3 cm"), ("alone", ""), ("Colour", "red"), ("colour", "Blue")),
    )
    target = replace(
        inspector.card("target", 0), attributes=(("colour", "blue"), ("size", "4 cm"), ("it", "x"))
    )
    rows = align_attributes(source, target)
    assert [tuple(row) for row in rows] == [
        ("Size", ("3 cm",), ("4 cm",)),
        ("Colour", ("red", "Blue"), ("blue",)),
        ("alone", (), None),
        ("it", None, ("x",)),
    ]
    assert [row.same for row in rows] == [False, True, False, False]
    names = replace(target, attributes=(("alone", ""),))
    (both, *_) = align_attributes(source, names)
    assert (both.name, both.same) == ("alone", True)


def test_view(session):
    pair = session.queue[1]
    view = view_pair(session, pair)
    assert (view.verdict, view.note, view.objection) == ("undo", "", None)
    assert (view.before, view.behind) == (session.queue[0], session.queue[2])
    assert view.evidence.confidence is not None
    assert [other.card.id for other in view.alternatives] == [
        target for target, _ in session.alternatives(pair)
    ]
    session.decide(Decision("accept", pair, "why"))
    view = view_pair(session, pair)
    assert (view.verdict, view.note, view.objection) == ("accept", "why", None)
    rival = (pair[0], session.queue[2][1])
    assert "has another counterpart" in view_pair(session, rival).objection
    with pytest.raises(ValueError, match="entities are in"):
        view_pair(session, (pair[0], 10_000))


def test_history_is_that_of_the_calibration(session, inspector):
    accepted = [entry for entry in inspector.entries if entry["decision"] == "accept"]
    pair = tuple(accepted[0]["pair"])
    session.decide(Decision("reject", pair))
    lines = view_pair(session, pair).history
    assert lines[0].startswith(f"epoch {accepted[0]['epoch'] + 1}: accept (")
    assert ", confidence 0." in lines[0] or ", confidence 1." in lines[0]
    assert not any("by hand" in line for line in lines)


def test_last_decision(session):
    assert last_decision(session) is None
    first, second = session.queue[:2]
    session.decide(Decision("accept", first))
    session.decide(Decision("reject", second))
    last = last_decision(session)
    assert (last.pair, last.verdict) == (second, "reject")
    assert last.names[0] == session.inspector.label("source", second[0])
    session.decide(Decision("undo", second))
    assert last_decision(session).pair == first
