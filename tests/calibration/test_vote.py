import math

import pytest
import torch

from pyg_mmea.calibration import Candidates, SparseSimilarity, Votes, collect_votes

FREE_S, FREE_T = torch.tensor([0, 2, 3, 4, 5, 7]), torch.tensor([1, 2, 3, 4, 6])
PAIRS = torch.tensor([[0, 2, 5], [3, 1, 6]])


def embeddings():
    out = {
        side: {name: torch.randn(num, 3) for name in ("structure", "image", "joint")}
        for side, num in (("source", 8), ("target", 7))
    }
    out["source"]["image"][[2, 7]] = 0  # have no picture
    return out


def build(online, momentum=None, k=50):
    return SparseSimilarity.build(online, momentum, FREE_S, FREE_T, k=k)


def candidates(similarity, pairs=PAIRS):
    """The pairs, wherever the similarity has them."""
    known = similarity.pairs.t().tolist()
    place = torch.tensor([known.index(pair) for pair in pairs.t().tolist()], dtype=torch.long)
    num = pairs.size(1)
    return Candidates(pairs, torch.rand(num), torch.rand(num), place)


def evidence(x_s, x_t, s, t, similar):
    """The worse rank, the smaller margin and the smaller probability, rival by rival."""

    def cosine(i, j):
        return float(torch.cosine_similarity(x_s[i].double(), x_t[j].double(), dim=0))

    def absent(i, j):
        return not (x_s[i].any() and x_t[j].any())

    own, ranks, gaps, probabilities = cosine(s, t), [], [], []
    for end in (0, 1):
        others = [p for p in similar if p[end] == (s, t)[end] and p != [s, t] and not absent(*p)]
        scores = [cosine(*pair) for pair in others]
        ranks.append(1 + sum(score > own for score in scores))
        gaps.append(min([own - score for score in scores], default=2.0))
        odds = [math.exp(score / 0.05) for score in [own, *scores]]
        probabilities.append(odds[0] / sum(odds))
    return max(ranks), min(gaps), min(probabilities)


@pytest.mark.parametrize("k", [3, 50])
def test_votes_against_a_loop(k):
    online, momentum = embeddings(), embeddings()
    for x in (online, momentum):
        x["target"]["joint"][PAIRS[1]] = x["source"]["joint"][PAIRS[0]] + 0.3 * torch.randn(3, 3)
    similarity = build(online, momentum, k=k)
    similar = similarity.pairs.t().tolist()
    assert (len(similar) == 30) == (k == 50)
    votes = collect_votes(similarity, candidates(similarity), vote_rank=2)
    assert isinstance(votes, Votes)
    assert votes.voters == ["structure", "image", "momentum"]
    for column, name in enumerate(votes.voters):
        voter, view = (momentum, "joint") if name == "momentum" else (online, name)
        limit = 1 if name == "momentum" else 2
        for row, (s, t) in enumerate(PAIRS.t().tolist()):
            numbers = [float(x[row, column]) for x in (votes.rank, votes.margin, votes.probability)]
            abstains = name == "image" and s == 2
            assert votes.abstains[row, column] == abstains
            if abstains:
                assert all(map(math.isnan, numbers))
                assert not votes.agrees[row, column]
                continue
            expected = evidence(voter["source"][view], voter["target"][view], s, t, similar)
            assert numbers == pytest.approx(list(expected), rel=1e-4, abs=1e-6)
            assert votes.agrees[row, column] == (expected[0] <= limit)
    assert votes.agrees.any()
    assert not (votes.agrees | votes.abstains).all()


def test_ties_are_realistic_and_no_agreement_of_the_momentum_encoder():
    pairs = torch.tensor([[0, 0, 0, 1, 2], [0, 1, 2, 0, 0]])
    cosine = {
        "joint": torch.zeros(5),
        "image": torch.tensor([0.5, 0.5, 0.6, 0.4, torch.nan]),
        "momentum": torch.tensor([0.5, 0.5, 0.1, 0.1, 0.1]),
    }
    similarity = SparseSimilarity(pairs, cosine)
    one = Candidates(pairs[:, :1], torch.ones(1), torch.ones(1), torch.tensor([0]))
    votes = collect_votes(similarity, one)
    # The picture: one target is better and one equal. The absent one of source 2 is no rival.
    assert votes.rank.tolist() == [[2.5, 1.5]]
    assert votes.margin[0].tolist() == pytest.approx([-0.1, 0.0])
    odds = 1 + 1 + math.exp(2)
    assert votes.probability[0].tolist() == pytest.approx([1 / odds, 1 / (2 + math.exp(-8))])
    assert votes.agrees.tolist() == [[True, False]]


def test_agreement_of_all():
    online = embeddings()
    x_s, x_t = online["source"], online["target"]
    for name in ("structure", "image", "joint"):
        x_t[name][PAIRS[1]] = x_s[name][PAIRS[0]]
    similarity = build(online, online)
    votes = collect_votes(similarity, candidates(similarity))
    assert (votes.agrees ^ votes.abstains).all()
    assert votes.abstains.sum() == 1
    assert (votes.rank[~votes.abstains] == 1).all()
    assert (votes.margin[~votes.abstains] > 0).all()


def test_without_a_rival():
    pairs = torch.tensor([[4], [2]])
    similarity = SparseSimilarity(
        pairs,
        {
            "joint": torch.zeros(1),
            "image": torch.tensor([-0.3]),
            "name": torch.full((1,), torch.nan),
        },
    )
    one = Candidates(pairs, torch.ones(1), torch.ones(1), torch.tensor([0]))
    votes = collect_votes(similarity, one)
    assert [x[0, 0] for x in (votes.rank, votes.margin, votes.probability)] == [1, 2, 1]
    assert votes.agrees.tolist() == [[True, False]]
    assert votes.abstains.tolist() == [[False, True]]


def test_without_voters():
    online = embeddings()
    joint = {side: {"joint": views["joint"]} for side, views in online.items()}
    similarity = build(joint)
    votes = collect_votes(similarity, candidates(similarity))
    assert votes.voters == []
    assert all(x.size() == (3, 0) for x in votes[1:])


def test_linked_entities_take_no_part():
    online = embeddings()
    similarity = build(online)
    before = collect_votes(similarity, candidates(similarity))
    assert before.voters == ["structure", "image"]
    for name in ("structure", "image"):  # the linked ones now look like the candidates
        online["source"][name][[1, 6]] = online["target"][name][PAIRS[1, :2]]
        online["target"][name][[0, 5]] = online["source"][name][PAIRS[0, :2]]
    similarity = build(online)
    after = collect_votes(similarity, candidates(similarity))
    for first, second in zip(before[1:], after[1:], strict=True):
        torch.testing.assert_close(first, second, equal_nan=True)


def test_the_order_of_candidates_does_not_matter():
    similarity = build(embeddings(), embeddings())
    votes = collect_votes(similarity, candidates(similarity))
    order = torch.tensor([2, 0, 1])
    moved = collect_votes(similarity, candidates(similarity, PAIRS[:, order]))
    for first, second in zip(votes.select(order)[1:], moved[1:], strict=True):
        assert torch.equal(first.nan_to_num(-9.0), second.nan_to_num(-9.0))
    assert votes.select(order).voters == votes.cpu().voters == votes.voters
    assert torch.equal(votes.cpu().agrees, votes.agrees)


@pytest.mark.parametrize("momentum", [True, False])
@pytest.mark.parametrize("anybody", [True, False])
def test_no_candidates(momentum, anybody):
    out = embeddings()
    free_s = FREE_S if anybody else FREE_S[:0]
    similarity = SparseSimilarity.build(out, out if momentum else None, free_s, FREE_T)
    votes = collect_votes(similarity, candidates(similarity, PAIRS[:, :0]))
    size = (0, len(votes.voters))
    assert size == (0, 3 if momentum else 2)
    assert all(x.size() == size for x in votes[1:])
    assert votes.agrees.dtype == votes.abstains.dtype == torch.bool


def test_excluded_voters_are_not_asked():
    similarity = build(embeddings(), embeddings())
    chosen = candidates(similarity)
    everybody = collect_votes(similarity, chosen)
    some = collect_votes(similarity, chosen, excluded_voters=["momentum", "image"])
    assert everybody.voters == ["structure", "image", "momentum"]
    assert some.voters == ["structure"]
    assert torch.equal(some.rank[:, 0], everybody.rank[:, 0])
    with pytest.raises(ValueError, match=r"'excluded_voters' needs to be among .* \(got 'name'\)"):
        collect_votes(similarity, chosen, excluded_voters=["name"])
