import itertools

import pytest
import torch

from pyg_mmea.calibration import SparseSimilarity
from pyg_mmea.utils import csls_terms
from pyg_mmea.utils.pairs import contains

NUM_S, NUM_T = 12, 10
FREE_S, FREE_T = torch.tensor([0, 2, 3, 4, 7, 8, 11]), torch.tensor([1, 2, 3, 5, 9])
VOTERS = ["structure", "image", "joint", "momentum"]


def embeddings(dtype=torch.float32):
    out = {
        side: {name: torch.randn(num, 4, dtype=dtype) for name in ("structure", "image", "joint")}
        for side, num in (("source", NUM_S), ("target", NUM_T))
    }
    out["source"]["image"][2] = 0  # has no picture
    out["target"]["image"][[3, 5]] = 0
    return out


def cosine(x, y):
    return float(x.double() @ y.double() / x.double().norm() / y.double().norm())


def nearest(online, k):
    """The pairs of free entities in which one is among the k nearest of the other, by loops."""
    x_s, x_t = online["source"]["joint"], online["target"]["joint"]
    sources, targets = FREE_S.tolist(), FREE_T.tolist()
    pairs = set()
    for s in sources:
        best = sorted(targets, key=lambda t: -cosine(x_s[s], x_t[t]))[:k]
        pairs |= {(s, t) for t in best}
    for t in targets:
        best = sorted(sources, key=lambda s: -cosine(x_s[s], x_t[t]))[:k]
        pairs |= {(s, t) for s in best}
    return sorted(pairs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("k", [1, 2, 50])
def test_cosines_of_the_nearest_against_a_loop(k, dtype):
    online, momentum = embeddings(dtype), embeddings(dtype)
    similarity = SparseSimilarity.build(online, momentum, FREE_S, FREE_T, k=k)
    pairs = nearest(online, k)
    assert similarity.pairs.t().tolist() == [list(pair) for pair in pairs]
    assert similarity.num_pairs == len(pairs)
    assert str(similarity) == f"SparseSimilarity({len(pairs)}, voters={VOTERS})"
    assert list(similarity.cosine) == VOTERS
    for name, found in similarity.cosine.items():
        voter, view = (momentum, "joint") if name == "momentum" else (online, name)
        x_s, x_t = voter["source"][view], voter["target"][view]
        # Zero rows divide zero by zero, so NaN is what the loop expects of absent modalities.
        expected = torch.tensor([cosine(x_s[s], x_t[t]) for s, t in pairs], dtype=dtype)
        assert bool(expected.isnan().any()) == (name == "image")
        torch.testing.assert_close(found, expected, equal_nan=True)


def test_without_momentum_encoder():
    similarity = SparseSimilarity.build(embeddings(), None, FREE_S, FREE_T)
    assert list(similarity.cosine) == VOTERS[:3]


def test_linked_entities_take_no_part():
    online = embeddings()
    before = SparseSimilarity.build(online, online, FREE_S, FREE_T, k=2)
    for side, free, num in (("source", FREE_S, NUM_S), ("target", FREE_T, NUM_T)):
        linked = [i for i in range(num) if i not in free]
        for x in online[side].values():
            x[linked] = 5.0
    after = SparseSimilarity.build(online, online, FREE_S, FREE_T, k=2)
    assert torch.equal(after.pairs, before.pairs)
    for name in VOTERS:
        torch.testing.assert_close(after.cosine[name], before.cosine[name], equal_nan=True)


def test_excluded_pairs_are_left_out_and_nothing_else():
    online = embeddings()
    every = SparseSimilarity.build(online, online, FREE_S, FREE_T, k=3)
    excluded = torch.cat([every.pairs[:, ::4], torch.tensor([[0, 99], [0, 1]])], dim=1)
    some = SparseSimilarity.build(online, online, FREE_S, FREE_T, excluded, k=3)
    kept = torch.arange(every.num_pairs) % 4 != 0
    assert torch.equal(some.pairs, every.pairs[:, kept])
    for name in VOTERS:
        torch.testing.assert_close(some.cosine[name], every.cosine[name][kept], equal_nan=True)
    none = SparseSimilarity.build(online, None, FREE_S, FREE_T, every.pairs, k=3)
    assert none.num_pairs == none.csls().numel() == 0


def test_entities_without_a_joint_embedding_have_no_pairs():
    online = embeddings()
    online["source"]["joint"][FREE_S[1]] = 0
    online["target"]["joint"][FREE_T[0]] = 0
    similarity = SparseSimilarity.build(online, None, FREE_S, FREE_T)
    expected = [[s, t] for s in (0, 3, 4, 7, 8, 11) for t in (2, 3, 5, 9)]
    assert similarity.pairs.t().tolist() == expected
    assert not similarity.cosine["joint"].isnan().any()


def test_contains():
    pairs, wanted = torch.tensor([[0, 1, 7], [2, 5, 0]]), torch.tensor([[1, 0, 7, 2], [5, 5, 0, 0]])
    assert contains(pairs, wanted).tolist() == [True, False, True, False]
    assert contains(pairs[:, :0], wanted).tolist() == [False] * 4
    assert contains(pairs, wanted[:, :0]).size() == (0,)


def test_neighbours_are_compared_by_all_channels():
    online = embeddings()
    similarity = SparseSimilarity.build(online, None, FREE_S, FREE_T, k=2, channels=2)
    x_s, x_t = online["source"]["joint"], online["target"]["joint"]
    expected = torch.tensor([cosine(x_s[s], x_t[t]) for s, t in similarity.pairs.t().tolist()])
    torch.testing.assert_close(similarity.cosine["joint"], expected)


@pytest.mark.parametrize("csls_k", [0, 1, 3, 10])
def test_csls_over_all_pairs_equals_the_dense_one(csls_k):
    online = embeddings(torch.float64)
    similarity = SparseSimilarity.build(online, None, FREE_S, FREE_T)
    assert similarity.num_pairs == 35
    x_s, x_t = online["source"]["joint"][FREE_S], online["target"]["joint"][FREE_T]
    dense = torch.cosine_similarity(x_s[:, None], x_t, dim=-1)
    if csls_k > 0:
        r_s, r_t = csls_terms(x_s, x_t, csls_k)
        dense = 2 * dense - r_s.view(-1, 1) - r_t
    torch.testing.assert_close(similarity.csls(csls_k), dense.view(-1))


def sparse(*cells):
    """A similarity with a joint cosine for some pairs."""
    pairs = torch.tensor([cell[:2] for cell in cells]).t()
    return SparseSimilarity(pairs, {"joint": torch.tensor([cell[2] for cell in cells])})


def test_csls_by_hand_counts_the_pairs_there_are():
    similarity = sparse((3, 7, 0.9), (3, 9, 0.5), (3, 8, 0.1), (6, 7, 0.4))
    # Two nearest: source 3 has 0.9 and 0.5, source 6 only 0.4; target 7 has 0.9 and 0.4.
    expected = [1.8 - 0.7 - 0.65, 1.0 - 0.7 - 0.5, 0.2 - 0.7 - 0.1, 0.8 - 0.4 - 0.65]
    assert similarity.csls(2).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("k", [1, 3])
def test_mutual_best_and_rivals_against_a_loop(k):
    online = embeddings()
    similarity = SparseSimilarity.build(online, None, FREE_S, FREE_T, k=k)
    pairs, score = similarity.pairs.t().tolist(), torch.rand(similarity.num_pairs)
    places = range(len(pairs))
    rivals = [
        [(i, j) for i, j in itertools.permutations(places, 2) if pairs[i][end] == pairs[j][end]]
        for end in (0, 1)
    ]
    beaten = {i for of_all in rivals for i, j in of_all if score[i] < score[j]}
    expected = [i for i in places if i not in beaten]
    assert similarity.mutual_best(score).tolist() == expected

    wanted = torch.randperm(len(pairs))[: len(pairs) // 2]
    for (which, rival), of_all in zip(similarity.rivals(wanted), rivals, strict=True):
        found = zip(wanted[which].tolist(), rival.tolist(), strict=True)
        assert sorted(found) == [(i, j) for i, j in of_all if i in wanted]


def test_mutual_best_takes_none_of_equal_ones():
    similarity = sparse((0, 0, 0.5), (0, 1, 0.5), (2, 1, 0.2), (2, 3, 0.4))
    assert similarity.mutual_best(similarity.cosine["joint"]).tolist() == [3]


def test_equal_embeddings_do_not_multiply():
    same = {side: {"joint": torch.ones(300, 4)} for side in ("source", "target")}
    everyone = torch.arange(300)
    similarity = SparseSimilarity.build(same, None, everyone, everyone, k=20)
    assert similarity.num_pairs <= 20 * 600
    assert similarity.mutual_best(similarity.csls()).numel() == 0


@pytest.mark.parametrize("sides", [(0,), (1,), (0, 1)])
def test_no_free_entities(sides):
    free = [FREE[:0] if side in sides else FREE for side, FREE in enumerate((FREE_S, FREE_T))]
    similarity = SparseSimilarity.build(embeddings(), embeddings(), *free)
    assert similarity.pairs.size() == (2, 0)
    assert similarity.pairs.dtype == torch.long
    assert similarity.num_pairs == 0
    assert list(similarity.cosine) == VOTERS
    score = similarity.csls()
    assert score.size() == similarity.csls(0).size() == (0,)
    places = similarity.mutual_best(score)
    assert places.size() == (0,)
    for which, rival in similarity.rivals(places):
        assert which.size() == rival.size() == (0,)


@pytest.mark.parametrize("name", ["image", "momentum"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_views_need_to_be_finite(name, value):
    views = [
        {side: {n: torch.randn(20, 4) for n in ("image", "joint")} for side in ("source", "target")}
        for _ in range(2)
    ]
    broken = views[0]["target"]["image"] if name == "image" else views[1]["target"]["joint"]
    broken[3, 1] = value
    everybody = torch.arange(20)
    with pytest.raises(ValueError, match=f"embeddings of '{name}' need to be finite"):
        SparseSimilarity.build(*views, everybody, everybody)


def test_small_embeddings_keep_their_pairs():
    views = {side: {"joint": 1e-15 * torch.randn(20, 4)} for side in ("source", "target")}
    everybody = torch.arange(20)
    similarity = SparseSimilarity.build(views, None, everybody, everybody, k=3)
    assert similarity.num_pairs >= 60
    ends = zip(views.values(), similarity.pairs, strict=True)
    x_s, x_t = (view["joint"][ids] for view, ids in ends)
    expected = torch.cosine_similarity(1e15 * x_s, 1e15 * x_t)
    assert torch.allclose(similarity.cosine["joint"], expected, atol=1e-5)
