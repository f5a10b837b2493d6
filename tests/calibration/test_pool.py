import pytest
import torch

from pyg_mmea.calibration import Candidates, PseudoLabelPool, Votes


def play(pool, confidence, agrees=None, order=None, threshold=0.9):
    """One round; ``confidence`` by pair, ``agrees`` the votes (None abstains) by pair."""
    values = torch.tensor(list(confidence.values()), dtype=torch.float64)
    if order is not None:
        values = values[order]
    return pool.update(*evidence(confidence, agrees, order), values, threshold)


def evidence(pairs, agrees=None, order=None):
    pairs = list(pairs)
    pairs = pairs if order is None else [pairs[i] for i in order]
    rows = [(agrees or {}).get(pair, (True, True)) for pair in pairs]
    index = torch.tensor(pairs, dtype=torch.long).view(-1, 2).t()
    yes = torch.tensor([[vote is True for vote in row] for row in rows]).view(-1, 2).bool()
    abstains = torch.tensor([[vote is None for vote in row] for row in rows]).view(-1, 2).bool()
    rank = torch.where(yes, 1.0, 20.0).masked_fill(abstains, torch.nan)
    ones = torch.ones(len(pairs))
    candidates = Candidates(index, ones, ones, torch.arange(len(pairs)))
    return candidates, Votes(["image", "momentum"], rank, rank / 3, rank / 1.5, yes, abstains)


def used(pool):
    return {tuple(pair) for pair in pool.pairs.t().tolist()}


A, B, C = (0, 5), (1, 3), (2, 2)


@pytest.mark.parametrize("patience", [1, 2, 4])
def test_a_label_is_accepted_after_sure_rounds_in_a_row(patience):
    pool = PseudoLabelPool(patience=patience)
    for _ in range(patience - 1):
        assert play(pool, {A: 0.95}) == []
        assert used(pool) == set()
    (entry,) = play(pool, {A: 0.95})
    assert used(pool) == {A}
    assert entry == {
        "pair": [0, 5],
        "decision": "accept",
        "reason": "sure",
        "confidence": 0.95,
        "threshold": 0.9,
        "votes": {
            "image": {"agrees": True, "rank": 1.0, "margin": 0.3333, "probability": 0.6667},
            "momentum": {"agrees": True, "rank": 1.0, "margin": 0.3333, "probability": 0.6667},
        },
    }
    assert play(pool, {A: 0.95}) == []  # nothing new


@pytest.mark.parametrize(
    ("gap", "votes"), [({}, None), ({(0, 4): 0.99}, None), ({A: 0.99}, {A: (True, False)})]
)
def test_a_round_in_which_a_pair_does_not_survive_starts_over(gap, votes):
    pool = PseudoLabelPool(patience=2)
    play(pool, {A: 0.95})
    play(pool, gap, votes)
    play(pool, {A: 0.95})
    assert A not in used(pool)
    play(pool, {A: 0.95})
    assert used(pool) == {A}


def test_confidence_counts_in_the_round_that_accepts():
    pool = PseudoLabelPool(patience=3)
    for confidence in (0.1, 0.95, 0.85):
        play(pool, {A: confidence})
        assert used(pool) == set()
    play(pool, {A: 0.9})
    assert used(pool) == {A}


def test_survivors():
    pool = PseudoLabelPool(patience=2)
    agrees = {B: (False, True)}
    pairs = evidence([A, B, C], agrees)
    assert pool.survivors(*pairs).tolist() == [False] * 3
    play(pool, {A: 0.1, B: 0.1}, agrees)
    before = pool.state_dict()
    assert pool.survivors(*pairs).tolist() == [True, False, False]
    assert pool.survivors(*evidence([C, B, A])).tolist() == [False, False, True]
    assert pool.survivors(*evidence([A], {A: (True, False)})).tolist() == [False]
    assert pool.survivors(*evidence([])).size() == (0,)
    assert all(torch.equal(value, before[name]) for name, value in pool.state_dict().items())
    # Whoever survives and is sure is accepted, and nobody else.
    play(pool, {A: 0.9, B: 0.9, C: 0.9}, agrees)
    assert used(pool) == {A}
    assert PseudoLabelPool(patience=1).survivors(*pairs).tolist() == [True, False, True]


def test_slack_keeps_a_label_that_would_not_be_accepted():
    pool = PseudoLabelPool(slack=0.1, patience=1)
    play(pool, {A: 0.95, B: 0.85})
    assert used(pool) == {A}
    assert play(pool, {A: 0.85, B: 0.85}) == []
    assert used(pool) == {A}
    (entry,) = play(pool, {A: 0.75, B: 0.85})
    assert (entry["decision"], entry["reason"]) == ("drop", "confidence fell")
    assert used(pool) == set()
    play(pool, {A: 0.85})  # once dropped, slack is of no use
    assert used(pool) == set()


def test_without_slack_a_label_leaves_below_the_threshold():
    pool = PseudoLabelPool(slack=0.0, patience=1)
    play(pool, {A: 0.9})
    assert used(pool) == {A}
    play(pool, {A: 0.89})
    assert used(pool) == set()


def test_a_label_that_is_no_longer_proposed_is_taken_back():
    pool = PseudoLabelPool(patience=1)
    play(pool, {A: 0.95, B: 0.95})
    (entry,) = play(pool, {B: 0.95, (0, 4): 0.2})
    assert entry == {"pair": [0, 5], "decision": "drop", "reason": "no longer proposed"}
    assert used(pool) == {B}
    entries = play(pool, {})
    assert [entry["pair"] for entry in entries] == [[1, 3]]
    assert pool.pairs.size() == (2, 0)


def test_an_entity_can_change_its_partner():
    pool = PseudoLabelPool(patience=1)
    play(pool, {A: 0.95})
    entries = play(pool, {(0, 4): 0.95})
    assert {entry["decision"] for entry in entries} == {"accept", "drop"}
    assert used(pool) == {(0, 4)}


@pytest.mark.parametrize(
    ("votes", "min_votes", "accepted"),
    [
        ((True, True), 2, True),
        ((True, False), 2, False),
        ((True, False), 1, True),
        ((True, None), 2, True),  # never more than do not abstain
        ((False, None), 2, False),
        ((False, False), 0, True),
    ],
)
def test_enough_voters_need_to_agree(votes, min_votes, accepted):
    pool = PseudoLabelPool(patience=1, min_votes=min_votes)
    entries = play(pool, {A: 0.95}, {A: votes})
    assert used(pool) == ({A} if accepted else set())
    if accepted and None in votes:
        assert set(entries[0]["votes"]["momentum"].values()) == {None}


def rounds(num=12, seed=0):
    """Random rounds over a grid of pairs, one-to-one in each."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(num):
        targets = torch.randperm(3, generator=generator) if seed else torch.arange(3)
        if torch.rand(1, generator=generator) < 0.3:
            targets = targets.flip(0)
        chosen = torch.rand(3, generator=generator) < 0.8
        pairs = [(s, int(targets[s])) for s in range(3) if chosen[s]]
        values = 0.75 + 0.25 * torch.rand(3, generator=generator)
        yield {pair: float(value) for pair, value in zip(pairs, values, strict=False)}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_record_replays_to_the_labels_in_use(seed):
    pool, replayed, num_entries = PseudoLabelPool(patience=2), set(), 0
    for confidence in rounds(60, seed):
        for entry in play(pool, confidence):
            pair = tuple(entry["pair"])
            if entry["decision"] == "accept":
                assert pair not in replayed
                replayed.add(pair)
            else:
                assert entry["decision"] == "drop"
                replayed.remove(pair)
            num_entries += 1
        assert used(pool) == replayed
        for side in pool.pairs:
            assert side.unique().numel() == side.numel()
    assert num_entries > 5


def test_the_order_of_candidates_does_not_matter():
    first, second = PseudoLabelPool(), PseudoLabelPool()
    for confidence in rounds(40):
        order = torch.randperm(len(confidence)).tolist()
        entries = [play(first, confidence), play(second, confidence, order=order)]
        assert used(first) == used(second)
        assert sorted(map(str, entries[0])) == sorted(map(str, entries[1]))


def test_state_dict_round_trip():
    first, second = PseudoLabelPool(patience=3), PseudoLabelPool(patience=3)
    for i, confidence in enumerate(rounds(40)):
        if i == 15:
            state = {key: value.clone() for key, value in first.state_dict().items()}
        entries = play(first, confidence)
        if i >= 15:
            if i == 15:
                second.load_state_dict(state)
            assert play(second, confidence) == entries
            assert used(second) == used(first)
    first.reset()
    assert first.pairs.size() == (2, 0)


def test_the_threshold_of_the_round_counts():
    pool = PseudoLabelPool(slack=0.1, patience=1)
    play(pool, {A: 0.99, B: 0.84, C: 0.6}, threshold=0.84)
    assert used(pool) == {A, B}
    play(pool, {A: 0.99, B: 0.75, C: 0.76}, threshold=0.99)  # so B falls short by far
    assert used(pool) == {A}
    play(pool, {A: 0.4, B: 0.5, C: 0.3}, threshold=0.45)  # slack reaches to 0.35
    assert used(pool) == {A, B}


def test_without_a_threshold_only_unlikely_labels_leave():
    pool = PseudoLabelPool(slack=0.0, patience=1)
    play(pool, {A: 0.95, B: 0.9, C: 0.8})
    assert used(pool) == {A, B}
    (entry,) = play(pool, {A: 0.5, B: 0.49, C: 1.0}, threshold=float("inf"))
    assert (entry["pair"], entry["reason"]) == (list(B), "confidence fell")
    assert entry["threshold"] is None
    assert used(pool) == {A}
    assert play(pool, {A: 0.5, B: 1.0, C: 1.0}, threshold=float("inf")) == []


def test_discarded_are_pairs_that_share_an_entity_with_a_link():
    pool = PseudoLabelPool(patience=1)
    play(pool, {A: 0.95, B: 0.95, C: 0.2, (3, 9): 0.95})
    links = torch.tensor([[0, 7, 8], [4, 9, 8]])  # one shares a source, one a target
    none = links[:, :0]
    assert pool.discard(links[:, 2:], none) == []
    assert used(pool) == {A, B, (3, 9)}
    entries = pool.discard(links, none)
    assert {tuple(entry["pair"]) for entry in entries} == {A, (3, 9)}
    assert {entry["decision"] for entry in entries} == {"drop"}
    assert used(pool) == {B}
    pairs, confidence = pool.beliefs
    assert dict(zip(map(tuple, pairs.t().tolist()), confidence.tolist(), strict=True)) == {
        B: 0.95,
        C: 0.2,
    }
    assert play(pool, {B: 0.95, C: 0.95})[0]["pair"] == list(C)
    assert used(pool) == {B, C}


def test_discarded_are_pairs_that_people_rejected():
    pool = PseudoLabelPool(patience=2)
    for _ in range(2):
        play(pool, {A: 0.95, B: 0.95, C: 0.2})
    rejected = torch.tensor([[0, 2, 7, 1], [5, 2, 7, 5]])  # A, C and two that are not there
    (entry,) = pool.discard(rejected[:, :0], rejected)  # C is no label
    assert entry == {"pair": list(A), "decision": "drop", "reason": "rejected by hand"}
    assert used(pool) == {B}
    assert pool.beliefs[0].t().tolist() == [list(B)]
    assert pool.survivors(*evidence([A, B, C])).tolist() == [False, True, False]
    # Who is rejected and competes with a seed is rejected.
    (entry,) = pool.discard(torch.tensor([[1], [1]]), torch.tensor([B]).t())
    assert entry["reason"] == "rejected by hand"


def test_beliefs_are_the_candidates_of_the_last_round():
    pool = PseudoLabelPool()
    play(pool, {C: 0.3})
    play(pool, {A: 0.95, B: 0.2})
    pairs, confidence = pool.beliefs
    assert pairs.t().tolist() == [list(A), list(B)]
    assert confidence.tolist() == [0.95, 0.2]
    other = PseudoLabelPool()
    other.load_state_dict(pool.state_dict())
    assert torch.equal(other.beliefs[1], confidence)


def test_a_budget_admits_the_surest_of_each_round():
    pool = PseudoLabelPool(patience=1, budget=1)
    confidence = {A: 0.92, B: 0.97, C: 0.95}
    play(pool, confidence)
    assert used(pool) == {B}
    entries = play(pool, confidence)
    assert [entry["pair"] for entry in entries] == [list(C)]
    assert used(pool) == {B, C}
    play(pool, {**confidence, C: 0.1})
    assert used(pool) == {A, B}  # who leaves is no part of it


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"slack": -0.1}, r"'slack' needs to be in \[0, 1\] \(got -0.1\)"),
        ({"slack": 1.1}, "'slack' needs to be in"),
        ({"patience": 0}, "'patience' needs to be at least 1"),
        ({"min_votes": -1}, "'min_votes' at least 0"),
        ({"budget": 0}, "'budget' needs to be at least 1"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        PseudoLabelPool(**kwargs)
