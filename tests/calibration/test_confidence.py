import pytest
import torch

from pyg_mmea.calibration import Candidates, VoteConfidence, Votes
from pyg_mmea.calibration.confidence import judge


def synthetic(num=200, seed=0):
    """Candidates (i, i) and (i, i + 1): the first half is right, with better votes."""
    generator = torch.Generator().manual_seed(seed)
    right = torch.arange(num) < num // 2
    ids = torch.arange(num)
    pairs = torch.stack([ids, torch.where(right, ids, num + ids)])
    noise = torch.rand(num, 4, generator=generator)
    score = 0.4 * right + noise[:, 0]
    margin = 0.2 * right + noise[:, 1]
    rank = (1 + 20 * noise[:, 2:] * (1.5 - right.float()).view(-1, 1)).round()
    rank[::7, 1] = torch.nan
    abstains = rank.isnan()
    votes = Votes(["image", "momentum"], rank, (rank <= 5) & ~abstains, abstains)
    return Candidates(pairs, score, margin), votes, right


def calibration_links(num=200, every=3):
    ids = torch.arange(0, num, every)  # the true counterpart of source i is target i
    return torch.stack([ids, ids])


def auc(score, right):
    return (score[right].view(-1, 1) > score[~right]).double().mean().item()


def test_regression_separates_right_from_wrong():
    candidates, votes, right = synthetic()
    confidence = VoteConfidence(min_cases=33)
    assert str(confidence) == "VoteConfidence(min_cases=33)"
    assert confidence.rule == "agreement"
    info = confidence.fit(candidates, votes, calibration_links())
    assert info == {"rule": "logistic regression", "num_right": 34, "num_wrong": 33}
    out = confidence(candidates, votes)
    assert out.size() == (200,)
    assert ((out >= 0) & (out <= 1)).all()
    hidden = torch.arange(200) % 3 != 0  # never seen in the fit
    assert auc(out[hidden], right[hidden]) > 0.85
    assert auc(out[hidden], right[hidden]) > auc(candidates.score[hidden], right[hidden])
    # It is a probability: on average as high as the share of right ones.
    assert out.mean().item() == pytest.approx(0.5, abs=0.06)


def test_regression_equals_scikit_learn():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    candidates, votes, right = synthetic()
    votes = Votes(votes.voters, votes.rank.nan_to_num(3), votes.agrees, votes.abstains)
    judged = torch.zeros(200, dtype=torch.bool)
    judged[::3] = True
    columns = [candidates.score, candidates.margin, *votes.rank.log().t()]
    inputs = torch.stack(columns, dim=1).double().numpy()
    scaler = StandardScaler().fit(inputs)
    model = LogisticRegression().fit(scaler.transform(inputs[judged]), right[judged].numpy())
    expected = make_pipeline(scaler, model).predict_proba(inputs)[:, 1]
    confidence = VoteConfidence()
    confidence.fit(candidates, votes, calibration_links())
    assert torch.allclose(confidence(candidates, votes), torch.from_numpy(expected), atol=1e-6)


@pytest.mark.parametrize("case", ["no links", "few wrong", "few right"])
def test_rule_with_too_few_cases(case):
    candidates, votes, _ = synthetic()
    links = calibration_links()
    links = {"no links": links[:, :0], "few wrong": links[:, :40], "few right": links[:, 30:]}[case]
    confidence = VoteConfidence(min_cases=10)
    info = confidence.fit(candidates, votes, links)
    assert info["rule"] == "agreement"
    assert min(info["num_right"], info["num_wrong"]) < 10
    out = confidence(candidates, votes)
    for value, agrees, abstains in zip(out, votes.agrees, votes.abstains, strict=True):
        share = int(agrees.sum()) / int((~abstains).sum())
        assert value.item() == (1 if share == 1 else share / 2)
    assert not confidence.state_dict()

    # What an earlier round taught stays in force.
    confidence.fit(candidates, votes, calibration_links())
    out = confidence(candidates, votes)
    assert confidence.fit(candidates, votes, links)["rule"] == "logistic regression"
    assert torch.equal(confidence(candidates, votes), out)


def test_rule_where_all_abstain():
    candidates = Candidates(torch.tensor([[0], [1]]), torch.ones(1), torch.ones(1))
    yes = torch.ones(1, 2, dtype=torch.bool)
    votes = Votes(["image", "name"], torch.full((1, 2), torch.nan), ~yes, yes)
    assert VoteConfidence()(candidates, votes).tolist() == [0.0]


def test_no_candidates():
    candidates, votes, _ = synthetic()
    none = Candidates(candidates.pairs[:, :0], candidates.score[:0], candidates.margin[:0])
    no_votes = Votes(votes.voters, *(x[:0] for x in votes[1:]))
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
    perm = torch.randperm(200)
    mixed = Candidates(candidates.pairs[:, perm], candidates.score[perm], candidates.margin[perm])
    mixed_votes = Votes(votes.voters, *(x[perm] for x in votes[1:]))
    first, second = VoteConfidence(), VoteConfidence()
    first.fit(candidates, votes, calibration_links())
    second.fit(mixed, mixed_votes, calibration_links().flip(1))
    assert torch.allclose(first(candidates, votes)[perm], second(mixed, mixed_votes), atol=1e-6)


def test_state_dict_round_trip():
    candidates, votes, _ = synthetic()
    first, second = VoteConfidence(), VoteConfidence()
    first.fit(candidates, votes, calibration_links())
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(candidates, votes), second(candidates, votes))
    second.load_state_dict(VoteConfidence().state_dict())
    assert not torch.equal(first(candidates, votes), second(candidates, votes))


def test_judge():
    pairs = torch.tensor([[0, 1, 2, 3, 4], [0, 5, 1, 7, 9]])
    links = torch.tensor([[0, 1, 6], [0, 1, 9]])
    touched, right = judge(pairs, links)
    assert touched.tolist() == [True, True, True, False, True]
    assert right.tolist() == [True, False, False, False, False]
    for part in judge(pairs, links[:, :0]):
        assert not part.any()
