import copy
import inspect
import json

import torch

from pyg_mmea.calibration import (
    Calibrator,
    Candidates,
    Ledger,
    MutualNearestProposer,
    PseudoLabelPool,
    VoteConfidence,
)

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


def calibrator(**kwargs):
    return Calibrator(pool=PseudoLabelPool(**kwargs))


def run(online, train_links, calibration_links, num_rounds=5):
    calibrate = calibrator()
    history = [
        calibrate.round(moved(online, i), moved(online, 100 + i), train_links, calibration_links)
        for i in range(num_rounds)
    ]
    return calibrate, history


def test_end_to_end(tmp_path):
    online, links = world()
    train, val, test = links[:, :30], links[:, 30:130], links[:, 130:]
    calibrate = calibrator()
    ledger = Ledger(tmp_path / "pseudo_labels.jsonl")
    gold = {tuple(pair) for pair in links.t().tolist()}
    replayed = set()
    for i in range(5):
        entries = calibrate.round(moved(online, i), moved(online, 100 + i), train, val)
        ledger.append({"epoch": i, **entry} for entry in entries)
        summary, *changes = entries
        assert summary["decision"] == "round"
        assert summary["rule"] == "logistic regression"
        assert summary["num_used"] == calibrate.pool.pairs.size(1) <= summary["num_candidates"]
        for entry in changes:
            change = replayed.add if entry["decision"] == "accept" else replayed.remove
            change(tuple(entry["pair"]))
        assert {tuple(pair) for pair in calibrate.pool.pairs.t().tolist()} == replayed
        assert i > 0 or not replayed  # one round proves nothing

    assert [entry for entry in ledger.read() if entry["decision"] == "round"][-1]["epoch"] == 4
    for source, target in replayed:
        assert source not in train[0]
        assert target not in train[1]
    for side in calibrate.pool.pairs:
        assert side.unique().numel() == side.numel()
    assert len(replayed) > 60
    candidates, _ = calibrate.examine(online, None, train)
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
    calibrate, _ = run(online, links[:, :30], links[:, 30:130], num_rounds=3)
    order = [torch.randperm(NUM) for _ in range(2)]  # new -> old
    places = [x.argsort() for x in order]
    other = calibrator()
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
    first, _ = run(online, train, val, num_rounds=3)
    second = calibrator()
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
    second = calibrate.examine(online, online, links[:, :30])
    assert torch.equal(first[0].pairs, second[0].pairs)
    assert torch.equal(calibrate.pool.pairs, before)


def test_without_calibration_links_or_momentum_encoder():
    online, links = world(noise=0.3)
    calibrate = Calibrator()
    for _ in range(2):
        summary, *_ = calibrate.round(online, None, links[:, :30], links[:, :0])
    assert summary["rule"] == "agreement"
    assert summary["num_used"] > 50


def test_without_candidates():
    online, links = world()
    everyone = torch.arange(NUM).repeat(2, 1)
    calibrate, _ = run(online, links[:, :30], links[:, 30:130])
    num_used = calibrate.pool.pairs.size(1)
    summary, *entries = calibrate.round(online, online, everyone, links[:, :0])
    assert summary["num_candidates"] == summary["num_used"] == 0
    assert len(entries) == num_used


def test_parts_can_be_replaced():
    class Fixed:
        def __call__(self, z_s, z_t, free_s, free_t):
            pairs = torch.stack([free_s[:1], free_t[:1]])
            return Candidates(pairs, torch.ones(1), torch.ones(1))

    online, links = world()
    confidence, pool = VoteConfidence(min_cases=3), PseudoLabelPool(0.0, 0.0, 0.0, 0, 1)
    calibrate = Calibrator(Fixed(), confidence, pool, vote_rank=1000)
    assert calibrate.confidence is confidence
    assert calibrate.pool is pool
    summary, entry = calibrate.round(online, None, links[:, :0], links[:, :0])
    assert summary["num_candidates"] == 1
    assert entry["pair"] == pool.pairs.view(-1).tolist() == [0, 0]
    assert isinstance(Calibrator().proposer, MutualNearestProposer)
