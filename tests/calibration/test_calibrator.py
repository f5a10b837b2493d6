import copy
import inspect
import json

import pytest
import torch

from pyg_mmea.calibration import (
    Calibrator,
    Candidates,
    Examined,
    Ledger,
    MutualNearestProposer,
    PseudoLabelPool,
    SinkhornProposer,
    SparseSimilarity,
    Threshold,
    VoteConfidence,
    expected_threshold,
    precision_threshold,
)
from pyg_mmea.calibration.confidence import judge
from pyg_mmea.utils.pairs import contains

NUM_LINKS, NUM_DANGLING = 220, 20
NUM = NUM_LINKS + NUM_DANGLING


def world(seed=0, noise=1.2):
    """Embeddings of two graphs with permuted ids, and their links: (2, 220)."""
    generator = torch.Generator().manual_seed(seed)

    def randn(*size):
        return torch.randn(*size, generator=generator)

    ids = torch.stack([torch.randperm(NUM, generator=generator)[:NUM_LINKS] for _ in range(2)])
    online = {"source": {}, "target": {}}
    for name in ("structure", "image"):
        shared = randn(NUM_LINKS, 12)
        for index, side in zip(ids, online.values(), strict=True):
            x = randn(NUM, 12)
            x[index] = shared + noise * randn(NUM_LINKS, 12) * 0.6
            side[name] = x
    for side in online.values():
        side["image"][torch.rand(NUM, generator=generator) < 0.15] = 0
        side["joint"] = torch.cat([side["structure"], side["image"]], dim=1)
    return online, ids


def moved(online, seed, size=0.15):
    generator = torch.Generator().manual_seed(seed)
    return {
        side: {
            name: x + size * torch.randn(x.size(), generator=generator) * x.ne(0)
            for name, x in part.items()
        }
        for side, part in online.items()
    }


def run(online, train_links, calibration_links, num_rounds=3):
    calibrate = Calibrator()
    history = [
        calibrate.round(moved(online, i), moved(online, 100 + i), train_links, calibration_links)
        for i in range(num_rounds)
    ]
    return calibrate, history


@pytest.mark.parametrize("proposer", [MutualNearestProposer(), SinkhornProposer()], ids=str)
def test_end_to_end(tmp_path, proposer):
    online, links = world()
    train, val, test = links[:, :30], links[:, 30:130], links[:, 130:]
    calibrate = Calibrator(proposer)
    ledger = Ledger(tmp_path / "pseudo_labels.jsonl")
    gold = {tuple(pair) for pair in links.t().tolist()}
    replayed, rules = set(), set()
    for i in range(5):
        entries = calibrate.round(moved(online, i), moved(online, 100 + i), train, val)
        ledger.append({"epoch": i, **entry} for entry in entries)
        summary, *changes = entries
        assert summary["decision"] == "round"
        assert summary["rule"] == "logistic regression"
        assert summary["num_used"] == calibrate.pool.pairs.size(1)
        assert summary["num_used"] <= summary["num_survivors"] <= summary["num_candidates"]
        for entry in changes:
            change = replayed.add if entry["decision"] == "accept" else replayed.remove
            change(tuple(entry["pair"]))
        assert {tuple(pair) for pair in calibrate.pool.pairs.t().tolist()} == replayed
        assert i > 0 or not replayed  # one round proves nothing
        rules.add(summary["selection"])
    assert "conformal selection" in rules

    assert [entry for entry in ledger.read() if entry["decision"] == "round"][-1]["epoch"] == 4
    for source, target in replayed:
        assert source not in train[0]
        assert target not in train[1]
    for side in calibrate.pool.pairs:
        assert side.unique().numel() == side.numel()
    assert len(replayed) > 60
    candidates, _, _ = calibrate.examine(online, None, train)
    proposed = {tuple(pair) for pair in candidates.pairs.t().tolist()}
    assert len(replayed & gold) / len(replayed) > 0.9
    assert len(replayed & gold) / len(replayed) > len(proposed & gold) / len(proposed)
    assert len(replayed & {tuple(pair) for pair in test.t().tolist()}) > 10


def test_hidden_links_are_not_handed_over():
    # Nothing but embeddings, training links and the calibration set comes in ...
    names = list(inspect.signature(Calibrator.round).parameters)
    assert names == ["self", "online", "momentum", "train_links", "calibration_links"]
    # ... and only links as a set count, not their order or where in the tensor they are.
    online, links = world()
    train, val = links[:, :30], links[:, 30:130]
    first, history = run(online, train, val)
    second, again = run(online, train.flip(1), val[:, torch.randperm(100)])
    assert torch.equal(first.pool.pairs, second.pool.pairs)
    assert json.dumps(history[-1][0]) == json.dumps(again[-1][0])


def test_renumbering_the_entities_renumbers_the_labels():
    online, links = world()
    calibrate, _ = run(online, links[:, :30], links[:, 30:130])
    order = [torch.randperm(NUM) for _ in range(2)]  # new -> old
    places = [x.argsort() for x in order]
    other = Calibrator()
    for i in range(3):
        rounds = (moved(online, i), moved(online, 100 + i))
        renumbered = [
            {
                side: {name: x[index] for name, x in part.items()}
                for index, (side, part) in zip(order, out.items(), strict=True)
            }
            for out in rounds
        ]
        new = torch.stack([place[ids] for place, ids in zip(places, links, strict=True)])
        other.round(*renumbered, new[:, :30], new[:, 30:130])
    back = torch.stack([index[ids] for index, ids in zip(order, other.pool.pairs, strict=True)])
    assert calibrate.pool.pairs.size(1) > 20
    assert set(map(tuple, back.t().tolist())) == set(map(tuple, calibrate.pool.pairs.t().tolist()))


def test_agreement_that_breaks_takes_labels_back():
    online, links = world()
    calibrate, _ = run(online, links[:, :30], links[:, 30:130])
    num_used = calibrate.pool.pairs.size(1)
    broken = {
        side: {name: x[torch.randperm(NUM)] for name, x in part.items()}
        for side, part in online.items()
    }
    entries = calibrate.round(broken, broken, links[:, :30], links[:, 30:130])
    drops = [entry for entry in entries if entry["decision"] == "drop"]
    assert len(drops) > 0.9 * num_used
    assert calibrate.pool.pairs.size(1) == num_used - len(drops)


def test_state_dict_round_trip_and_reset():
    online, links = world()
    train, val = links[:, :30], links[:, 30:130]
    first, _ = run(online, train, val)
    second = Calibrator()
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert torch.equal(second.pool.pairs, first.pool.pairs)
    # The next rounds are the same, one with too few cases to learn from included.
    for links_seen in (val[:, :2], val):
        rounds = [
            x.round(moved(online, 7), moved(online, 8), train, links_seen) for x in (first, second)
        ]
        assert json.dumps(rounds[0]) == json.dumps(rounds[1])
        assert rounds[0][0]["rule"] == "logistic regression"
    first.reset()
    assert first.pool.pairs.size() == (2, 0)
    assert first.confidence.rule == "agreement"


def test_examine_changes_nothing():
    online, links = world()
    calibrate, _ = run(online, links[:, :30], links[:, 30:130])
    before = calibrate.pool.pairs.clone()
    first = calibrate.examine(online, online, links[:, :30])
    assert isinstance(first, Examined)
    second = calibrate.examine(online, online, links[:, :30])
    assert torch.equal(first[0].pairs, second[0].pairs)
    assert torch.equal(calibrate.pool.pairs, before)


def test_without_calibration_links_or_momentum_encoder():
    online, links = world(noise=0.3)
    calibrate = Calibrator()
    for _ in range(2):
        summary, *_ = calibrate.round(online, None, links[:, :30], links[:, :0])
    assert summary["rule"] == "agreement"
    assert summary["selection"] == "majority"
    assert summary["threshold"] == 0.501
    assert summary["num_used"] > 50
    # More than half of the voters that do not abstain rank what is used first.
    candidates, votes, _ = calibrate.examine(online, None, links[:, :30])
    first = 2 * (votes.rank == 1).sum(dim=1) > (~votes.abstains).sum(dim=1)
    assert 0 < int(first.sum()) < first.numel()
    expected = candidates.pairs[:, first].t().tolist()
    assert sorted(calibrate.pool.pairs.t().tolist()) == sorted(expected)


@pytest.mark.parametrize(
    ("links", "message"),
    [
        (torch.zeros(3, 2, dtype=torch.long), "'train_links' needs to be integers of shape"),
        (torch.zeros(2, 3), "'train_links' needs to be integers of shape"),
        (torch.tensor([[0], [NUM]]), rf"'train_links' needs target ids in \[0, {NUM}\)"),
        (torch.tensor([[-1], [0]]), "'train_links' needs source ids"),
    ],
)
def test_links_are_checked(links, message):
    online, ids = world()
    with pytest.raises(ValueError, match=message):
        Calibrator().round(online, None, links, ids[:, :5])
    with pytest.raises(ValueError, match=message.replace("train", "calibration")):
        Calibrator().round(online, None, ids[:, :5], links)


def test_embeddings_may_have_gradients():
    online, links = world()
    for side in online.values():
        side["joint"].requires_grad_()
    calibrator = Calibrator()
    for _ in range(3):  # what was learned in a round is used in the next
        calibrator.round(online, None, links[:, :30], links[:, 30:130])
    assert calibrator.pool.num_used > 0


def test_the_joint_embedding_is_needed():
    online, links = world()
    del online["target"]["joint"]
    with pytest.raises(ValueError, match="'online' needs a 'joint' embedding"):
        Calibrator().round(online, None, links[:, :30], links[:, 30:130])


def test_without_candidates():
    online, links = world()
    everyone = torch.arange(NUM).repeat(2, 1)
    calibrate, _ = run(online, links[:, :30], links[:, 30:130])
    num_used = calibrate.pool.pairs.size(1)
    summary, *entries = calibrate.round(online, online, everyone, links[:, :0])
    assert summary["num_candidates"] == summary["num_used"] == 0
    assert summary["threshold"] is None
    assert len(entries) == num_used > 0
    json.dumps(summary, allow_nan=False)


def taught(held, right):
    """A calibrator whose confidence has these cases."""
    calibrate = Calibrator()
    state = {"weight": torch.zeros(1), "bias": torch.zeros(()), "held": held, "right": right}
    calibrate.confidence.load_state_dict(state)
    return calibrate


@pytest.mark.parametrize(
    ("num_cases", "precision", "rule"),
    [
        (18, 0.95, "expected precision"),
        (19, 0.95, "conformal selection"),
        (98, 0.99, "expected precision"),
        (99, 0.99, "conformal selection"),
        (99, 1.0, "expected precision"),
        (1, 0.0, "conformal selection"),
        (0, 0.0, "conformal selection"),
        (0, 0.5, "expected precision"),  # no case is like the pairs that are asked for
    ],
)
def test_threshold_by_the_number_of_cases(num_cases, precision, rule):
    held, right = torch.rand(num_cases).double(), torch.ones(num_cases, dtype=torch.bool)
    confidence = 0.99 + torch.rand(40).double() / 100
    found = taught(held, right).threshold(confidence, precision)
    assert isinstance(found, Threshold)
    assert found.rule == rule
    expected = {
        "conformal selection": precision_threshold(confidence, held, right, precision),
        "expected precision": expected_threshold(confidence, precision),
    }
    assert found.value == expected[rule]


def test_no_promise_is_below_the_expected_precision():
    # A hundred right cases would promise 0.9 for everything, half of which is hardly believed.
    held, right = torch.full((100,), 0.99).double(), torch.ones(100, dtype=torch.bool)
    confidence = torch.tensor([0.99] * 20 + [0.25] * 20, dtype=torch.double)
    assert precision_threshold(confidence, held, right, 0.9) == 0.25
    found = taught(held, right).threshold(confidence, 0.9)
    assert found == Threshold(0.99, "conformal selection")


def test_threshold_where_nothing_was_learned():
    confidence = torch.rand(5).double()
    assert Calibrator().threshold(confidence, 0.5) == Threshold(0.501, "majority")
    assert Calibrator().threshold(confidence, 1.0) == Threshold(1.0, "unanimity")
    everything = Threshold(float(confidence.min()), "conformal selection")
    assert Calibrator().threshold(confidence, 0.0) == everything


def test_rounds_use_the_precision_asked_for():
    online, links = world()
    train, val = links[:, :30], links[:, 30:130]
    num_used, thresholds = [], []
    for precision in (0.99, 0.9, 0.7, 0.0):
        calibrate = Calibrator(pool=PseudoLabelPool(min_votes=0, patience=1), precision=precision)
        summary, *_ = calibrate.round(online, online, train, val)
        num_used.append(summary["num_used"])
        thresholds.append(summary["threshold"])
        confidence = calibrate.pool.beliefs[1]
        expected = calibrate.threshold(confidence, precision).value
        assert num_used[-1] == int((confidence >= expected).sum())
        assert thresholds[-1] == (expected if num_used[-1] else None)
    assert num_used == sorted(num_used)
    assert num_used[-1] == summary["num_candidates"] > num_used[-2] > num_used[1] > 0


def test_survivors_are_compared_with_cases_that_survive():
    online, links = world()
    train, val = links[:, :30], links[:, 30:130]
    calibrate, history = run(online, train, val)
    candidates, votes, _ = calibrate.examine(moved(online, 9), online, train)
    survives = calibrate.pool.survivors(candidates, votes)
    judged, right = judge(candidates.pairs, val)
    calibrate.round(moved(online, 9), online, train, val)
    assert torch.equal(calibrate.confidence.cases[1], right[judged & survives])
    assert 0 < int((judged & survives).sum()) < int(judged.sum())
    assert [summary["num_survivors"] > 0 for summary, *_ in history] == [False, True, True]


def test_too_few_cases_for_a_promise_leave_an_estimate():
    online, links = world()
    calibrate = Calibrator(
        confidence=VoteConfidence(min_cases=5),
        pool=PseudoLabelPool(min_votes=0, patience=1),
        precision=0.9,
    )
    summary, *_ = calibrate.round(online, online, links[:, :30], links[:, 30:45])
    assert summary["selection"] == "expected precision"
    confidence = calibrate.pool.beliefs[1]
    chosen = confidence >= summary["threshold"]
    assert summary["num_used"] == int(chosen.sum()) > 0
    assert confidence[chosen].mean() >= 0.9 > confidence.mean()


def test_a_round_in_which_nothing_suffices_adds_nothing():
    online, links = world()
    generator = torch.Generator().manual_seed(1)
    noise = {
        side: {name: torch.randn(x.size(), generator=generator) for name, x in part.items()}
        for side, part in online.items()
    }
    calibrate = Calibrator(pool=PseudoLabelPool(min_votes=0, patience=1))
    summary, *entries = calibrate.round(noise, noise, links[:, :30], links[:, 30:])
    assert summary["rule"] == "logistic regression"
    assert summary["threshold"] is None
    assert summary["num_candidates"] > 20
    assert not entries


def test_what_people_decide_is_not_proposed_and_leaves_with_the_reason():
    online, links = world()
    train, val = links[:, :30], links[:, 30:130]
    calibrate, _ = run(online, train, val)
    used = calibrate.pool.pairs.clone()
    calibrate.rejected, accepted = used[:, :2], used[:, 2:4]
    train = torch.cat([train, accepted], dim=1)
    candidates, _, _ = calibrate.examine(online, online, train)
    assert not contains(candidates.pairs, used[:, :4]).any()
    before, left = calibrate.pool.pairs, calibrate.labels_beside(train)
    assert torch.equal(calibrate.pool.pairs, before)
    entries = calibrate.discard(train)
    assert torch.equal(calibrate.pool.pairs, left)
    assert not contains(calibrate.pool.pairs, used[:, :4]).any()
    assert calibrate.discard(train) == []
    reason = {tuple(entry["pair"]): entry["reason"] for entry in entries}
    reasons = ("rejected by hand", "an entity became a seed")
    for pairs, expected in zip((used[:, :2], accepted), reasons, strict=True):
        assert {reason[tuple(pair)] for pair in pairs.t().tolist()} == {expected}
    calibrate.round(online, online, train, val)
    assert not contains(calibrate.pool.pairs, used[:, :4]).any()
    assert calibrate.pool.pairs.size(1) > 20


def test_parts_can_be_replaced():
    class Some:
        def __call__(self, similarity):
            same = similarity.pairs[0] == similarity.pairs[1]
            place = same.nonzero().view(-1)
            ones = torch.ones(place.numel())
            return Candidates(similarity.pairs[:, place], ones, ones, place)

    online, links = world()
    for name, x in online["target"].items():
        x[0] = online["source"][name][0]
    confidence, pool = VoteConfidence(min_cases=3), PseudoLabelPool(0.0, 0, 1)
    calibrate = Calibrator(Some(), confidence, pool, vote_rank=1000)
    assert calibrate.confidence is confidence
    assert calibrate.pool is pool
    summary, *_ = calibrate.round(online, None, links[:, :0], links[:, :0])
    assert summary["num_candidates"] == pool.beliefs[0].size(1) > 10
    assert [0, 0] in pool.pairs.t().tolist()
    candidates, votes, _ = calibrate.examine(online, None, links[:, :0])
    assert (candidates.pairs[0] == candidates.pairs[1]).all()
    assert (votes.agrees | votes.abstains).all()
    assert isinstance(Calibrator().proposer, SinkhornProposer)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Calibrator(precision=-0.1), r"'precision' needs to be in \[0, 1\] \(got -0.1\)"),
        (lambda: Calibrator(precision=1.1), r"'precision' needs to be in \[0, 1\] \(got 1.1\)"),
        (lambda: Calibrator(vote_rank=0), r"'vote_rank' needs to be at least 1 \(got 0\)"),
        (lambda: Calibrator(num_neighbors=0), r"'num_neighbors' needs to be at least 1 \(got 0\)"),
        (lambda: Calibrator(search="fast"), "'search' needs to be one of"),
        (lambda: VoteConfidence(0), r"'min_cases' needs to be at least 1 \(got 0\)"),
        (lambda: MutualNearestProposer(-1), r"'csls_k' needs to be at least 0 \(got -1\)"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_neighbours_and_search_reach_the_similarity(monkeypatch):
    seen = {}
    build = SparseSimilarity.build

    def spy(*args, **kwargs):
        seen.update(kwargs)
        return build(*args, **kwargs)

    monkeypatch.setattr(SparseSimilarity, "build", spy)
    views = {side: {"joint": torch.randn(20, 4)} for side in ("source", "target")}
    links = torch.tensor([[0], [0]])
    Calibrator(num_neighbors=3, search="exact").examine(views, None, links)
    assert seen == {"k": 3, "search": "exact"}


def test_excluded_voters_have_no_say():
    online, links = world()
    calibrate = Calibrator(pool=PseudoLabelPool(min_votes=1), excluded_voters=["image", "momentum"])
    for i in range(3):
        views = moved(online, i), moved(online, 100 + i)
        entries = calibrate.round(*views, links[:, :30], links[:, 30:130])
        votes = [entry["votes"] for entry in entries[1:]]
        if votes:
            break
    assert votes
    assert all(set(vote) == {"structure"} for vote in votes)
