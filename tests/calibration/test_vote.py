import pytest
import torch

from pyg_mmea.calibration import Candidates, collect_votes

FREE_S, FREE_T = torch.tensor([0, 2, 3, 4, 5, 7]), torch.tensor([1, 2, 3, 4, 6])
PAIRS = torch.tensor([[0, 2, 5], [3, 1, 6]])


def embeddings():
    out = {
        side: {name: torch.randn(num, 3) for name in ("structure", "image", "joint")}
        for side, num in (("source", 8), ("target", 7))
    }
    out["source"]["image"][2] = 0  # has no picture
    return out


def candidates(pairs=PAIRS):
    num = pairs.size(1)
    return Candidates(pairs, torch.rand(num), torch.rand(num))


def worse_rank(x_s, x_t, s, t):
    """The worse of both ranks, counted one by one."""

    def cosine(i, j):
        return torch.cosine_similarity(x_s[i], x_t[j], dim=0)

    ahead_t = sum(bool(cosine(s, j) > cosine(s, t)) for j in FREE_T.tolist())
    ahead_s = sum(bool(cosine(i, t) > cosine(s, t)) for i in FREE_S.tolist())
    return 1 + max(ahead_s, ahead_t)


def test_votes_are_ranks_among_free_entities():
    online, momentum = embeddings(), embeddings()
    votes = collect_votes(candidates(), online, momentum, FREE_S, FREE_T, vote_rank=2)
    assert votes.voters == ["structure", "image", "momentum"]
    for column, name in enumerate(votes.voters):
        voter, view = (momentum, "joint") if name == "momentum" else (online, name)
        limit = 1 if name == "momentum" else 2
        for row, (s, t) in enumerate(PAIRS.t().tolist()):
            abstains = name == "image" and s == 2
            assert votes.abstains[row, column] == abstains
            if abstains:
                assert votes.rank[row, column].isnan()
                assert not votes.agrees[row, column]
                continue
            rank = worse_rank(voter["source"][view], voter["target"][view], s, t)
            assert votes.rank[row, column] == rank
            assert votes.agrees[row, column] == (rank <= limit)


def test_agreement_of_all():
    online = embeddings()
    x_s, x_t = online["source"], online["target"]
    for name in ("structure", "image", "joint"):
        x_t[name][PAIRS[1]] = x_s[name][PAIRS[0]]
    votes = collect_votes(candidates(), online, online, FREE_S, FREE_T)
    assert (votes.agrees ^ votes.abstains).all()
    assert votes.abstains.sum() == 1


def test_linked_entities_take_no_part():
    online = embeddings()
    before = collect_votes(candidates(), online, None, FREE_S, FREE_T)
    assert before.voters == ["structure", "image"]
    for name in ("structure", "image"):  # the linked ones now look like the candidates
        online["source"][name][[1, 6]] = online["target"][name][PAIRS[1, :2]]
        online["target"][name][[0, 5]] = online["source"][name][PAIRS[0, :2]]
    after = collect_votes(candidates(), online, None, FREE_S, FREE_T)
    assert torch.equal(after.rank.nan_to_num(-1), before.rank.nan_to_num(-1))


@pytest.mark.parametrize("momentum", [True, False])
def test_no_candidates(momentum):
    out = embeddings()
    none = candidates(PAIRS[:, :0])
    votes = collect_votes(none, out, out if momentum else None, FREE_S, FREE_T)
    assert votes.rank.size() == votes.agrees.size() == votes.abstains.size()
    assert votes.rank.size() == (0, len(votes.voters)) == (0, 3 if momentum else 2)
    assert votes.agrees.dtype == votes.abstains.dtype == torch.bool
