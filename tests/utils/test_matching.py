import itertools

import pytest
import torch

from pyg_mmea.utils import (
    Matches,
    csls_terms,
    greedy_one_to_one,
    hungarian,
    matching,
    mutual_nearest,
    sinkhorn_topk,
)

CHUNKS = [1, 4, 1000]


def random_pair(seed, num_s=12, num_t=15, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    x_s = torch.randn(num_s, 6, generator=generator, dtype=dtype)
    x_t = torch.randn(num_t, 6, generator=generator, dtype=dtype)
    return x_s, x_t


def dense_scores(x_s, x_t, csls_k):
    cosine = torch.nn.functional.normalize(x_s) @ torch.nn.functional.normalize(x_t).t()
    if csls_k == 0:
        return cosine
    r_s = cosine.topk(min(csls_k, x_t.size(0)), dim=1).values.mean(dim=1)
    r_t = cosine.topk(min(csls_k, x_s.size(0)), dim=0).values.mean(dim=0)
    return 2 * cosine - r_s[:, None] - r_t


def gap_to_runner_up(scores, i, j):
    others = [scores[i, b] for b in range(scores.size(1)) if b != j]
    others += [scores[a, j] for a in range(scores.size(0)) if a != i]
    return float(scores[i, j] - max(others))


def test_mutual_nearest_by_hand():
    x_s = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6]])
    x_t = torch.tensor([[0.0, 2.0], [3.0, 0.0]])
    # cosines: [[0, 1], [1, 0], [0.6, 0.8]]; the third source prefers a taken target
    found = mutual_nearest(x_s, x_t, csls_k=0)
    assert isinstance(found, Matches)
    index, score, margin = found
    assert index.tolist() == [[0, 1], [1, 0]]
    torch.testing.assert_close(score, torch.tensor([1.0, 1.0]))
    torch.testing.assert_close(margin, torch.tensor([0.2, 0.4]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("chunk_size", CHUNKS)
@pytest.mark.parametrize("csls_k", [0, 1, 4, 100])
def test_mutual_nearest_against_loop(csls_k, chunk_size, dtype):
    x_s, x_t = random_pair(csls_k, dtype=dtype)
    scores = dense_scores(x_s, x_t, csls_k)
    index, score, margin = mutual_nearest(x_s, x_t, csls_k, chunk_size)
    expected = {
        (i, j)
        for i, j in itertools.product(range(12), range(15))
        if scores[i].argmax() == j and scores[:, j].argmax() == i
    }
    assert {tuple(pair) for pair in index.t().tolist()} == expected
    assert score.tolist() == sorted(score.tolist(), reverse=True)
    torch.testing.assert_close(score, scores[index[0], index[1]])
    for i, j, gap in zip(*index.tolist(), margin.tolist(), strict=True):
        assert gap == pytest.approx(gap_to_runner_up(scores, i, j), abs=1e-5)
    assert (margin > 0).all()


def test_mutual_nearest_does_not_depend_on_order():
    x_s, x_t = random_pair(3)
    perm_s, perm_t = torch.randperm(12), torch.randperm(15)
    index = mutual_nearest(x_s, x_t, 3).index
    moved = mutual_nearest(x_s[perm_s], x_t[perm_t], 3, chunk_size=5).index
    moved = torch.stack([perm_s[moved[0]], perm_t[moved[1]]])
    assert sorted(index.t().tolist()) == sorted(moved.t().tolist())


@pytest.mark.parametrize("chunk_size", CHUNKS)
def test_mutual_nearest_of_a_collapsed_model(chunk_size):
    matches = mutual_nearest(torch.ones(9, 4), torch.ones(9, 4), 3, chunk_size)
    assert matches.index.size(1) <= 9
    assert matches.margin.abs().max() < 1e-5
    assert matches.index[0].unique().numel() == matches.index.size(1)
    assert matches.index[1].unique().numel() == matches.index.size(1)


def test_mutual_nearest_without_choice():
    matches = mutual_nearest(torch.ones(1, 2), torch.ones(1, 2), csls_k=0)
    assert matches.index.tolist() == [[0], [0]]
    assert matches.margin.tolist() == [torch.inf]


def test_sinkhorn_by_hand():
    # Two sources want the first target; the second source has the weaker claim.
    x_s = torch.tensor([[1.0, 0.0], [0.8, 0.6]])
    x_t = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    index, score = sinkhorn_topk(x_s, x_t, k=2, temperature=1.0, num_iters=200)
    assert index.tolist() == [[0, 0, 1, 1], [0, 1, 0, 1]]
    # A 2x2 plan [[p, q], [q, p]] keeps the odds ratio: (p / q)^2 = e^(1 + 0.6 - 0 - 0.8)
    odds = torch.tensor(0.8).exp().sqrt()
    p = odds / (1 + odds)
    torch.testing.assert_close(score.exp(), torch.stack([p, 1 - p, 1 - p, p]))


@pytest.mark.parametrize("temperature", [1e-4, 0.02, 1.0, 1e4])
@pytest.mark.parametrize("sizes", [(12, 15), (15, 12), (1, 4)])
def test_sinkhorn_sums(sizes, temperature):
    x_s, x_t = random_pair(0, *sizes, dtype=torch.float64)
    index, score = sinkhorn_topk(x_s, x_t, k=4, temperature=temperature, num_iters=3)
    assert torch.isfinite(score).all()
    rows = torch.zeros(sizes[0], dtype=torch.float64).index_add(0, index[0], score.exp())
    torch.testing.assert_close(rows, torch.ones_like(rows))


@pytest.mark.parametrize("chunk_size", CHUNKS)
def test_sinkhorn_full_equals_dense_iteration(chunk_size):
    x_s, x_t = random_pair(1, dtype=torch.float64)
    plan = (dense_scores(x_s, x_t, 0) / 0.1).exp()
    for _ in range(7):
        plan = plan / plan.sum(dim=0) * (12 / 15)
        plan = plan / plan.sum(dim=1, keepdim=True)
    index, score = sinkhorn_topk(x_s, x_t, 99, 0.1, num_iters=7, chunk_size=chunk_size)
    torch.testing.assert_close(score.view(12, 15), plan.log())
    assert index.size(1) == 12 * 15


def test_sinkhorn_converges_to_both_marginals():
    x_s, x_t = random_pair(2, dtype=torch.float64)
    index, score = sinkhorn_topk(x_s, x_t, 15, temperature=0.2, num_iters=500)
    columns = torch.zeros(15, dtype=torch.float64).index_add(0, index[1], score.exp())
    torch.testing.assert_close(columns, torch.full_like(columns, 12 / 15))


def test_sinkhorn_keeps_neighbours_of_both_sides():
    x_s, x_t = random_pair(4)
    cosine = dense_scores(x_s, x_t, 0)
    expected = {(i, int(j)) for i in range(12) for j in cosine[i].topk(2).indices}
    expected |= {(int(i), j) for j in range(15) for i in cosine[:, j].topk(2).indices}
    pairs = sinkhorn_topk(x_s, x_t, k=2).index.t().tolist()
    assert pairs == sorted([i, j] for i, j in expected)


def test_sinkhorn_ignores_csls_like_offsets():
    # Any term of rows or columns alone cancels, so hubs lose their advantage.
    x_s, x_t = random_pair(5, 8, 8, dtype=torch.float64)
    cosine = dense_scores(x_s, x_t, 0)
    r_s, r_t = csls_terms(x_s, x_t, 3)
    plan = ((cosine - r_s[:, None] / 2 - r_t / 2) / 0.3).exp()
    for _ in range(300):
        plan = plan / plan.sum(dim=0)
        plan = plan / plan.sum(dim=1, keepdim=True)
    _, score = sinkhorn_topk(x_s, x_t, 8, 0.3, num_iters=300)
    torch.testing.assert_close(score.view(8, 8).exp(), plan)


def test_sinkhorn_of_some_pairs_by_hand():
    # Two sources share target 0, and target 1 is for the second one alone.
    source, target = torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1])
    score = matching.sinkhorn(torch.tensor([0.3, 2.0, -1.0]), source, target, 2, 2, 500)
    # Columns and rows sum to one, so nothing is left for the pair in the middle.
    torch.testing.assert_close(score.exp(), torch.tensor([1.0, 0.0, 1.0]), atol=5e-3, rtol=0)
    once = matching.sinkhorn(torch.zeros(3), source, target, 2, 2, 1)
    torch.testing.assert_close(once.exp(), torch.tensor([1.0, 1 / 3, 2 / 3]))


@pytest.mark.parametrize("argument", ["k", "temperature", "num_iters"])
def test_sinkhorn_bad_arguments(argument):
    with pytest.raises(ValueError, match=f"'{argument}'"):
        sinkhorn_topk(*random_pair(0), **{argument: 0})


@pytest.mark.parametrize("csls_k", [0, 2])
@pytest.mark.parametrize("sizes", [(4, 5), (5, 4), (5, 5)])
def test_hungarian_is_optimal(sizes, csls_k):
    x_s, x_t = random_pair(csls_k, *sizes)
    scores = dense_scores(x_s, x_t, csls_k)
    wide = scores if sizes[0] <= sizes[1] else scores.t()
    best = max(
        sum(float(wide[i, j]) for i, j in enumerate(columns))
        for columns in itertools.permutations(range(wide.size(1)), wide.size(0))
    )
    index, score, margin = hungarian(x_s, x_t, csls_k)
    assert index.size(1) == min(sizes)
    assert index[0].unique().numel() == index[1].unique().numel() == min(sizes)
    assert float(score.sum()) == pytest.approx(best, abs=1e-5)
    torch.testing.assert_close(score, scores[index[0], index[1]])
    for i, j, gap in zip(*index.tolist(), margin.tolist(), strict=True):
        assert gap == pytest.approx(gap_to_runner_up(scores, i, j), abs=1e-5)


def test_hungarian_refuses_large_input(monkeypatch):
    monkeypatch.setattr(matching, "HUNGARIAN_LIMIT", 5)
    assert hungarian(torch.eye(5), torch.eye(5)).index.size(1) == 5
    with pytest.raises(ValueError, match="at most 5 entities a side"):
        hungarian(torch.eye(6), torch.eye(6))


def test_greedy_one_to_one_by_hand():
    pairs = torch.tensor([[0, 0, 1, 2, 2], [0, 1, 1, 1, 2]])
    scores = torch.tensor([0.5, 0.9, 0.8, 0.7, 0.1])
    kept, kept_scores = greedy_one_to_one(pairs, scores)
    assert kept.tolist() == [[0, 2], [1, 2]]
    torch.testing.assert_close(kept_scores, torch.tensor([0.9, 0.1]))


def test_greedy_one_to_one_ties_and_nothing():
    kept, _ = greedy_one_to_one(torch.tensor([[3, 4], [7, 7]]), torch.tensor([0.5, 0.5]))
    assert kept.tolist() == [[3], [7]]
    kept, scores = greedy_one_to_one(torch.empty(2, 0, dtype=torch.long), torch.empty(0))
    assert kept.shape == (2, 0)
    assert scores.shape == (0,)


def test_greedy_one_to_one_is_maximal():
    generator = torch.Generator().manual_seed(0)
    pairs = torch.randint(20, (2, 200), generator=generator)
    kept, _ = greedy_one_to_one(pairs, torch.rand(200, generator=generator))
    assert kept[0].unique().numel() == kept[1].unique().numel() == kept.size(1)
    blocked = torch.isin(pairs[0], kept[0]) | torch.isin(pairs[1], kept[1])
    assert blocked.all()


def test_greedy_one_to_one_bad_shapes():
    with pytest.raises(ValueError, match=r"\[2, P\] and \[P\]"):
        greedy_one_to_one(torch.zeros(2, 3, dtype=torch.long), torch.zeros(2))
