import pytest
import torch

from pyg_mmea.metrics.rerank import answer_ranks, score_ranks, sparse_ranks
from pyg_mmea.utils import SparseScores


def test_answer_ranks_by_hand():
    ranks = torch.tensor([[1.0, 3.0, 1.0], [2.5, 1.0, 1.0]])
    links = torch.tensor([[0, 1, 2], [0, 1, 2]])
    answers = torch.tensor([[0, 2, 3], [0, 1, 2]])
    expected = [[1, 3, 2], [1, 2, 2]]
    assert answer_ranks(ranks, links, answers).tolist() == expected


def test_sparse_ranks_by_hand():
    index = torch.tensor([[0, 0, 0, 1, 2, 2], [0, 1, 2, 1, 0, 1]])
    scores = SparseScores(index, torch.tensor([0.2, 0.5, 0.2, 0.9, 0.7, 0.1]))
    links = torch.tensor([[0, 1, 2], [0, 1, 2]])
    ranks = torch.tensor([[9.0, 9.0, 1.0], [9.0, 9.0, 9.0]])
    # source 0: one better, one tied; source 1: alone; source 2: not kept, two are before it
    # target 0: one better; target 1: best of three; target 2: not kept, rank 9 among all
    assert sparse_ranks(ranks, links, scores).tolist() == [[2.5, 1, 3], [2, 1, 9]]


def test_sparse_ranks_do_not_depend_on_order():
    generator = torch.Generator().manual_seed(0)
    index = torch.randint(10, (2, 60), generator=generator).unique(dim=1)
    score = torch.rand(index.size(1), generator=generator)
    links = torch.arange(10).repeat(2, 1)
    ranks = torch.full((2, 10), 6.0)
    expected = sparse_ranks(ranks, links, SparseScores(index, score))
    perm = torch.randperm(index.size(1))
    out = sparse_ranks(ranks, links, SparseScores(index[:, perm], score[perm]))
    assert torch.equal(out, expected)


@pytest.mark.parametrize("seed", range(5))
def test_sparse_ranks_against_loop(seed):
    generator = torch.Generator().manual_seed(seed)
    index = torch.randint(8, (2, 40), generator=generator).unique(dim=1)
    score = torch.randint(5, (index.size(1),), generator=generator).float()
    links = torch.randint(8, (2, 10), generator=generator).unique(dim=1)
    ranks = torch.randint(1, 9, (2, links.size(1)), generator=generator).float()
    kept = dict(zip(map(tuple, index.t().tolist()), score.tolist(), strict=True))
    gold = {tuple(pair) for pair in links.t().tolist()}
    out = sparse_ranks(ranks, links, SparseScores(index, score))
    for column, (s, t) in enumerate(links.t().tolist()):
        for row, wrong in enumerate(
            (
                [kept[p] for p in kept if p[0] == s and p not in gold],
                [kept[p] for p in kept if p[1] == t and p not in gold],
            )
        ):
            if (s, t) in kept:
                own = kept[s, t]
                expected = 1 + sum(v > own for v in wrong) + sum(v == own for v in wrong) / 2
            else:
                expected = max(float(ranks[row, column]), 1 + len(wrong))
            assert out[row, column] == expected


@pytest.mark.parametrize("seed", range(5))
def test_score_ranks_against_dense(seed):
    """All other pairs have the same score, lower than any."""
    generator = torch.Generator().manual_seed(seed)
    index = torch.randint(8, (2, 20), generator=generator).unique(dim=1)
    score = torch.randint(1, 5, (index.size(1),), generator=generator).float()
    links = torch.randint(8, (2, 10), generator=generator).unique(dim=1)
    dense = torch.zeros(8, 9).index_put_(tuple(index), score)
    gold = torch.zeros(8, 9, dtype=torch.bool)
    gold[links[0], links[1]] = True
    out = score_ranks(links, SparseScores(index, score), (9, 8))
    for column, (s, t) in enumerate(links.t().tolist()):
        for row, others in enumerate((dense[s][~gold[s]], dense[:, t][~gold[:, t]])):
            own = dense[s, t]
            expected = 1 + (others > own).sum() + (others == own).sum() / 2
            assert out[row, column] == expected


def test_score_ranks_without_any_score():
    scores = SparseScores(torch.empty(2, 0, dtype=torch.long), torch.empty(0))
    links = torch.tensor([[0, 1], [1, 0]])
    assert score_ranks(links, scores, (5, 3)).tolist() == [[3, 3], [2, 2]]  # chance


@pytest.mark.parametrize("extreme", [1e8, -1e8, torch.inf, -torch.inf])
def test_one_extreme_score_ties_no_others(extreme):
    """Its entities are of no link, so no rank changes."""
    index = torch.tensor([[0, 0, 1, 1, 2], [0, 1, 0, 1, 2]])
    score = torch.tensor([2.0, 1.0, 1.0, 2.0, extreme])
    links = torch.tensor([[0, 1], [0, 1]])
    assert score_ranks(links, SparseScores(index, score), (3, 3)).tolist() == [[1, 1], [1, 1]]


def test_infinite_scores_of_links():
    index = torch.tensor([[0, 0, 1, 1], [0, 1, 0, 1]])
    links = torch.tensor([[0, 1], [0, 1]])
    score = torch.tensor([-torch.inf, 0.0, -torch.inf, -torch.inf])
    expected = [[2, 1.5], [1.5, 2]]
    assert score_ranks(links, SparseScores(index, score), (2, 2)).tolist() == expected
