import threading
from itertools import product

import pytest
import torch

from pyg_mmea.calibration import Ledger
from pyg_mmea.data import HideAnchors
from pyg_mmea.datasets import FakeMMKG
from pyg_mmea.training import Decision, DecisionConflictError, Decisions
from pyg_mmea.training.seeds import Seeds
from pyg_mmea.typing import ANCHOR_EDGE


@pytest.fixture(scope="module")
def data():
    return FakeMMKG()[0]


@pytest.fixture
def decisions(data, tmp_path):
    return Decisions(data, Ledger(tmp_path / "ledger.jsonl"))


@pytest.fixture(scope="module")
def free(data):
    """Two source and two target entities without a link that may be seen."""
    links = HideAnchors("train+val")(data)["source", "anchor", "target"].edge_label_index
    sides = zip(("source", "target"), links.tolist(), strict=True)
    return [sorted(set(range(data[side].num_nodes)) - set(taken))[:2] for side, taken in sides]


@pytest.fixture(scope="module")
def link(data):
    anchors = data["source", "anchor", "target"]
    return tuple(anchors.edge_label_index[:, anchors.train_mask][:, 0].tolist())


def accept(pair, **more):
    return Decision("accept", pair, **more)


def reject(pair, **more):
    return Decision("reject", pair, **more)


def undo(pair, **more):
    return Decision("undo", pair, **more)


def test_what_is_written(data, decisions, free):
    pair = (free[0][0], free[1][1])
    assert decisions.record([accept(pair, note="same <b>shape</b>\n"), reject((0, 5))]) == 2
    first, second = decisions.ledger.read()
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "schema": 1,
        "run": decisions.ledger.run,
        "decision": "accept",
        "reason": "by hand",
        "pair": list(pair),
        "uri": [data["source"].uri[pair[0]], data["target"].uri[pair[1]]],
        "note": "same <b>shape</b>\n",
    }
    assert "note" not in second
    assert list(decisions.in_force()) == [pair, (0, 5)]
    assert (decisions.verdict(pair), decisions.verdict((1, 0))) == ("accept", "undo")


def test_the_last_one_counts(data, decisions, free):
    pair, other = (free[0][0], free[1][0]), (free[0][1], free[1][1])
    decisions.record([accept(pair), accept(other), reject(pair)])
    assert list(decisions.in_force()) == [other, pair]
    seeds = Seeds.read(data, decisions.ledger)
    assert (seeds.accepted.t().tolist(), seeds.rejected.t().tolist()) == ([list(other)], [[*pair]])
    decisions.record([undo(pair), undo(other)])
    assert decisions.in_force() == {}
    seeds = Seeds.read(data, decisions.ledger)
    assert seeds.accepted.numel() == seeds.rejected.numel() == 0
    with pytest.raises(ValueError, match="nothing was decided"):
        decisions.record([undo(pair)])


def test_one_counterpart(data, decisions, free, link):
    (s, s_other), (t, t_other) = free
    before = decisions.ledger.num_entries
    for pair in ((link[0], t), (s, link[1])):
        with pytest.raises(ValueError, match=r"another counterpart: '.*' is among the seeds"):
            decisions.record([accept((s_other, t_other)), accept(pair)])
    assert decisions.ledger.num_entries == before  # all or none
    decisions.record([accept((s, t)), accept(link)])
    for pair in ((s, t_other), (s_other, t)):
        with pytest.raises(ValueError, match=r"another counterpart: '.*' was accepted"):
            decisions.record([accept(pair)])
    # What was rejected makes room, but then cannot come back.
    decisions.record([reject(link), accept((link[0], t_other))])
    with pytest.raises(ValueError, match=r"another counterpart: '.*' was accepted"):
        decisions.record([undo(link)])
    decisions.record([undo((link[0], t_other)), undo(link)])
    assert decisions.verdict(link) == "undo"


def test_links_that_share_an_entity_may_both_stand(data, free, link, tmp_path):
    data = data.clone()
    anchors = data["source", "anchor", "target"]
    place = int(anchors.train_mask.nonzero()[1])
    anchors.edge_label_index[0, place] = link[0]
    second = tuple(anchors.edge_label_index[:, place].tolist())
    decisions = Decisions(data, Ledger(tmp_path / "ledger.jsonl"))
    assert decisions.record([accept(link), reject(second), undo(second), accept(second)]) == 4


def test_entities_need_to_exist(data, decisions):
    for pair in ((-1, 0), (0, data["target"].num_nodes)):
        with pytest.raises(ValueError, match="entities are in"):
            decisions.record([reject(pair)])
    assert decisions.in_force() == {}


def test_what_was_seen(data, decisions, free):
    pair = (free[0][0], free[1][0])
    elsewhere = Decisions(data, Ledger(decisions.ledger.path))
    assert elsewhere.record([accept(pair, seen="undo")]) == 1
    assert decisions.record([accept(pair, seen="undo")]) == 0  # the same again
    with pytest.raises(DecisionConflictError, match="have been accepted meanwhile"):
        decisions.record([reject(pair, seen="undo")])
    assert decisions.record([reject(pair, seen="accept")]) == 1
    assert elsewhere.verdict(pair) == "reject"
    assert elsewhere.record([undo(pair, seen="reject")]) == 1
    assert elsewhere.record([undo(pair, seen="reject")]) == 0
    with pytest.raises(DecisionConflictError, match="have been undone meanwhile"):
        decisions.record([reject(pair, seen="accept")])
    assert decisions.ledger.num_entries == 3


def test_a_note_can_follow(decisions, free):
    pair = (free[0][0], free[1][0])
    decisions.record([accept(pair)])
    assert decisions.record([accept(pair, seen="accept", note="why")]) == 1
    assert decisions.in_force()[pair]["note"] == "why"
    assert decisions.record([accept(pair, seen="undo", note="why")]) == 0  # the same again
    assert decisions.record([accept(pair, seen="accept")]) == 0
    assert decisions.in_force()[pair]["note"] == "why"


def test_of_all_at_once_one_wins(data, decisions, free):
    pairs = [(source, target) for source in free[0] for target in free[1]]
    outcome = []

    def decide(pair):
        own = Decisions(data, Ledger(decisions.ledger.path))
        try:
            outcome.append(own.record([accept(pair, seen="undo")]))
        except ValueError:
            outcome.append(0)

    threads = [threading.Thread(target=decide, args=(pair,)) for pair in pairs * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcome) == 12
    accepted = list(decisions.in_force())
    assert len(accepted) == sum(outcome) == decisions.ledger.num_entries
    # No entity has two, and each is taken that can be.
    assert len({s for s, _ in accepted}) == len({t for _, t in accepted}) == len(accepted) == 2


def test_decisions_of_another_run_are_taken_over(data, free, tmp_path):
    sources, targets = free
    old = Decisions(data, Ledger(tmp_path / "old.jsonl"))
    right, wrong, undone, gone = list(product(sources, targets))
    old.record(
        [
            Decision("accept", right, note="same picture"),
            Decision("reject", wrong),
            Decision("reject", undone),
            Decision("undo", undone),
            Decision("reject", gone),
        ]
    )
    other = data.clone()  # later tables, in another order
    order = torch.arange(data["source"].num_nodes).flip(0)
    names = [data["source"].uri[i] for i in order]
    other["source"].uri = [
        "new" if i == gone[0] else uri for i, uri in zip(order, names, strict=True)
    ]
    anchors = other["source", "anchor", "target"]
    anchors.edge_label_index = torch.stack(
        [order[anchors.edge_label_index[0]], anchors.edge_label_index[1]]
    )
    new = Decisions(other, Ledger(tmp_path / "new.jsonl"))
    assert new.take_over(old.ledger.read()) == (2, 1)
    there = int(order[right[0]])
    assert new.verdict((there, right[1])) == "accept"
    assert new.in_force()[there, right[1]]["note"] == "same picture"
    assert new.verdict((int(order[wrong[0]]), wrong[1])) == "reject"
    assert len(new.in_force()) == 2
    assert new.take_over(old.ledger.read()) == (0, 1)  # they are there already
    assert len(new.ledger.read()) == 2


def test_what_people_accepted_stands_against_seeds_that_look_alike(data, free, tmp_path):
    (source, _), (target, other) = free
    old = Decisions(data, Ledger(tmp_path / "old.jsonl"))
    old.record([Decision("accept", (source, target))])
    guessed = data.clone()
    anchors = guessed[ANCHOR_EDGE]
    guess = torch.tensor([[source], [other]])
    anchors.edge_label_index = torch.cat([anchors.edge_label_index, guess], dim=1)
    for name, value in (("train", True), ("val", False), ("test", False)):
        mask = anchors[f"{name}_mask"]
        anchors[f"{name}_mask"] = torch.cat([mask, torch.tensor([value])])
    assert Decisions(guessed, Ledger(tmp_path / "a.jsonl")).take_over(old.ledger.read()) == (0, 1)
    anchors.pivot = "image"
    anchors.pivot_mask = torch.arange(anchors.edge_label_index.size(1)) == len(mask)
    new = Decisions(guessed, Ledger(tmp_path / "b.jsonl"))
    assert new.take_over(old.ledger.read()) == (2, 0)
    assert new.verdict((source, target)) == "accept"
    assert new.verdict((source, other)) == "reject"
    assert new.take_over(old.ledger.read()) == (0, 0)


def test_a_decision_that_does_not_fit_any_more_is_left(data, free, tmp_path):
    old, new = (Decisions(data, Ledger(tmp_path / f"{name}.jsonl")) for name in ("old", "new"))
    (source, _), (target, other) = free
    old.record([Decision("accept", (source, target))])
    new.record([Decision("accept", (source, other))])
    assert new.take_over(old.ledger.read()) == (0, 1)
