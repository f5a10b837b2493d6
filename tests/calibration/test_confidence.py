import pytest
import torch

from pyg_mmea.calibration import Candidates, VoteConfidence, Votes
from pyg_mmea.calibration.confidence import judge


def make_votes(rank, margin, probability):
    abstains = rank.isnan()
    margin, probability = (x.masked_fill(abstains, torch.nan) for x in (margin, probability))
    return Votes(
        ["image", "momentum"], rank, margin, probability, (rank <= 5) & ~abstains, abstains
    )


def synthetic(num=200, seed=0, skill=1.0):
    """Candidates (i, i) and (i, num + i): the first half is right, with better votes."""
    generator = torch.Generator().manual_seed(seed)
    right = torch.arange(num) < num // 2
    ids = torch.arange(num)
    pairs = torch.stack([ids, torch.where(right, ids, num + ids)])
    noise = torch.rand(num, 8, generator=generator)
    good = skill * right.view(-1, 1)
    score, margin = (0.4 * good[:, 0] + noise[:, 0], 0.2 * good[:, 0] + noise[:, 1])
    rank = (1 + 20 * noise[:, 2:4] * (1.5 - good)).round()
    rank[::7, 1] = torch.nan
    votes = make_votes(rank, noise[:, 4:6] + 0.3 * good, (noise[:, 6:] + 0.1 * good) / 2)
    return Candidates(pairs, score, margin, ids), votes, right


def calibration_links(num=200, every=3):
    ids = torch.arange(0, num, every)  # the true counterpart of source i is target i
    return torch.stack([ids, ids])


def select(candidates, index):
    return Candidates(candidates.pairs[:, index], *(x[index] for x in candidates[1:]))


def auc(score, right):
    return (score[right].view(-1, 1) > score[~right]).double().mean().item()


def regress(inputs, target):
    """Logistic regression with half the squared norm of the weights as penalty, by Newton steps."""
    x = torch.cat([inputs, torch.ones(len(inputs), 1, dtype=torch.double)], dim=1)
    penalty = torch.ones(x.size(1), dtype=torch.double)
    penalty[-1] = 0  # of the bias
    weight = torch.zeros(x.size(1), dtype=torch.double)
    for _ in range(30):
        p = (x @ weight).sigmoid()
        hessian = (x.t() * (p * (1 - p))) @ x + penalty.diag()
        weight = weight - torch.linalg.solve(hessian, x.t() @ (p - target) + penalty * weight)
    return lambda new: (new @ weight[:-1] + weight[-1]).sigmoid()


def test_regression_separates_right_from_wrong():
    candidates, votes, right = synthetic()
    confidence = VoteConfidence(min_cases=67)
    assert str(confidence) == "VoteConfidence(min_cases=67)"
    assert confidence.rule == "agreement"
    info = confidence.fit(candidates, votes, calibration_links())
    assert info == {"rule": "logistic regression", "num_right": 34, "num_wrong": 33}
    out = confidence(candidates, votes)
    assert out.size() == (200,)
    assert ((out > 0) & (out < 1)).all()
    hidden = torch.arange(200) % 3 != 0  # never seen in the fit
    assert auc(out[hidden], right[hidden]) > 0.85
    assert auc(out[hidden], right[hidden]) > auc(candidates.score[hidden], right[hidden])
    # It is a probability: on average as high as the share of right ones.
    assert out.mean().item() == pytest.approx(0.5, abs=0.06)


def test_regression_and_its_cases_against_newton_steps():
    candidates, votes, right = synthetic()
    links = calibration_links()[:, :50]  # 34 right and 16 wrong cases
    confidence = VoteConfidence()
    confidence.fit(candidates, votes, links)

    numbers = (votes.rank.log(), votes.margin, votes.probability.log())
    parts = [
        candidates.score.view(-1, 1),
        candidates.margin.log1p().view(-1, 1),
        *(torch.where(votes.abstains, x.nanmean(dim=0), x) for x in numbers),
        votes.abstains,
    ]
    inputs = torch.cat([part.double() for part in parts], dim=1)
    scale = inputs.std(dim=0, correction=0)
    inputs = (inputs - inputs.mean(dim=0)) / torch.where(scale > 0, scale, 1.0)
    cases, right = inputs[links[0]], right[links[0]]
    target = torch.where(right, 35 / 36, 1 / 18).double()
    expected = regress(cases, target)(inputs)
    torch.testing.assert_close(confidence(candidates, votes), expected, atol=1e-3, rtol=0)

    held, found = confidence.cases
    assert torch.equal(found, right)
    place = cases[:, 0].argsort().argsort()
    for case in range(50):
        rest = place % 5 != place[case] % 5
        expected = regress(cases[rest], target[rest])(cases[case])
        assert float(held[case]) == pytest.approx(float(expected), abs=1e-3)


def test_cases_are_judged_by_a_regression_that_did_not_see_them():
    candidates, votes, right = synthetic(120, skill=0.0)  # noise alone
    confidence = VoteConfidence()
    assert all(x.numel() == 0 for x in confidence.cases)
    confidence.fit(candidates, votes, calibration_links(120))
    held, found = confidence.cases
    judged = torch.arange(0, 120, 3)
    assert torch.equal(found, right[judged])
    assert ((held > 0) & (held < 1)).all()
    seen = confidence(candidates, votes)[judged]
    assert auc(seen, found) > 0.65 > auc(held, found) + 0.05


def test_cases_are_those_that_are_eligible():
    candidates, votes, right = synthetic()
    links = calibration_links()
    some, every = VoteConfidence(), VoteConfidence()
    eligible = torch.arange(200) % 2 == 0
    info = some.fit(candidates, votes, links, eligible)
    assert info == every.fit(candidates, votes, links)
    # All cases teach.
    assert torch.equal(some(candidates, votes), every(candidates, votes))
    kept = eligible[links[0]]
    assert torch.equal(some.cases[0], every.cases[0][kept])
    assert torch.equal(some.cases[1], right[links[0]][kept])
    none = torch.zeros(200, dtype=torch.bool)
    assert some.fit(candidates, votes, links, none)["rule"] == "logistic regression"
    assert some.cases[0].size() == some.cases[1].size() == (0,)


@pytest.mark.parametrize("kind", ["right", "wrong"])
def test_cases_of_one_kind_make_nothing_certain(kind):
    candidates, votes, _ = synthetic()
    half = torch.arange(0, 20) + (0 if kind == "right" else 100)
    confidence = VoteConfidence()
    info = confidence.fit(candidates, votes, half.repeat(2, 1))
    num_right = 20 if kind == "right" else 0
    assert info == {
        "rule": "logistic regression",
        "num_right": num_right,
        "num_wrong": 20 - num_right,
    }
    # A regression with a bias is right on average, here over the smoothed targets.
    average = float(confidence(candidates, votes)[half].mean())
    assert average == pytest.approx(21 / 22 if kind == "right" else 1 / 22, abs=1e-3)


@pytest.mark.parametrize(("min_cases", "num_cases"), [(20, 19), (10, 0), (1, 4)])
def test_rule_with_too_few_cases(min_cases, num_cases):
    candidates, votes, _ = synthetic()
    links = calibration_links()
    confidence = VoteConfidence(min_cases)
    info = confidence.fit(candidates, votes, links[:, :num_cases])
    assert info == {"rule": "agreement", "num_right": num_cases, "num_wrong": 0}
    assert not confidence.state_dict()
    assert all(x.numel() == 0 for x in confidence.cases)

    # What an earlier round taught stays in force.
    enough = max(min_cases, 5)
    assert confidence.fit(candidates, votes, links[:, :enough])["rule"] == "logistic regression"
    out, cases = confidence(candidates, votes), confidence.cases
    info = confidence.fit(candidates, votes, links[:, :num_cases])
    assert info["rule"] == "logistic regression"
    assert torch.equal(confidence(candidates, votes), out)
    assert torch.equal(confidence.cases[0], cases[0])


@pytest.mark.parametrize(
    ("ranks", "expected"),
    [
        ((1, 1), 1.0),
        ((1, None), 1.0),  # who abstains does not count
        ((None, None), 0.0),
        ((1, 1.5), 0.5),  # a tie is not the first rank
        ((1, 9), 0.5),
        ((3, None), 0.0),
        ((8, 9), 0.0),
    ],
)
def test_rule_by_hand(ranks, expected):
    rank = torch.tensor([[torch.nan if rank is None else rank for rank in ranks]])
    votes = make_votes(rank, torch.ones(1, 2), torch.ones(1, 2))
    one = Candidates(torch.tensor([[0], [1]]), torch.ones(1), torch.ones(1), torch.tensor([0]))
    assert VoteConfidence()(one, votes).tolist() == [expected]


def test_a_voter_that_always_abstains_does_no_harm():
    candidates, votes, right = synthetic()
    rank = votes.rank.clone()
    rank[:, 0] = torch.nan
    votes = make_votes(rank, votes.margin, votes.probability)
    confidence = VoteConfidence()
    confidence.fit(candidates, votes, calibration_links())
    out = confidence(candidates, votes)
    assert torch.isfinite(out).all()
    assert auc(out, right) > 0.7


def test_equal_votes_give_equal_confidence_whatever_else_is_asked():
    candidates, votes, _ = synthetic()
    confidence = VoteConfidence()
    confidence.fit(candidates, votes, calibration_links())
    out = confidence(candidates, votes)
    for index in (slice(0, 1), slice(7, 8), slice(100, 200)):  # 0 and 7 have an abstention
        part = confidence(select(candidates, index), votes.select(index))
        torch.testing.assert_close(part, out[index])


def test_no_candidates():
    candidates, votes, _ = synthetic()
    none, no_votes = select(candidates, slice(0)), votes.select(slice(0))
    confidence = VoteConfidence()
    confidence.fit(candidates, votes, calibration_links())
    assert confidence(none, no_votes).size() == (0,)
    info = confidence.fit(none, no_votes, calibration_links())
    assert info == {"rule": "logistic regression", "num_right": 0, "num_wrong": 0}
    confidence = VoteConfidence()
    info = confidence.fit(none, no_votes, calibration_links())
    assert info == {"rule": "agreement", "num_right": 0, "num_wrong": 0}
    assert confidence(none, no_votes).size() == (0,)


def test_order_of_candidates_does_not_matter():
    candidates, votes, _ = synthetic()
    order = torch.randperm(200)
    first, second = VoteConfidence(), VoteConfidence()
    first.fit(candidates, votes, calibration_links())
    mixed, mixed_votes = select(candidates, order), votes.select(order)
    second.fit(mixed, mixed_votes, calibration_links().flip(1))
    expected = first(candidates, votes)[order]
    torch.testing.assert_close(second(mixed, mixed_votes), expected, atol=1e-5, rtol=0)
    held = [confidence.cases[0].sort().values for confidence in (first, second)]
    torch.testing.assert_close(*held, atol=1e-5, rtol=0)


def test_state_dict_round_trip():
    candidates, votes, _ = synthetic()
    first, second = VoteConfidence(), VoteConfidence()
    first.fit(candidates, votes, calibration_links())
    second.load_state_dict(first.state_dict())
    assert second.rule == "logistic regression"
    assert torch.equal(first(candidates, votes), second(candidates, votes))
    for one, other in zip(first.cases, second.cases, strict=True):
        assert torch.equal(one, other)
    second.load_state_dict(VoteConfidence().state_dict())
    assert second.rule == "agreement"
    assert not torch.equal(first(candidates, votes), second(candidates, votes))


def test_judge():
    pairs = torch.tensor([[0, 1, 2, 3, 4], [0, 5, 1, 7, 9]])
    links = torch.tensor([[0, 1, 6], [0, 1, 9]])
    touched, right = judge(pairs, links)
    assert touched.tolist() == [True, True, True, False, True]
    assert right.tolist() == [True, False, False, False, False]
    for part in judge(pairs, links[:, :0]):
        assert not part.any()
