import json

import pytest
import torch

from pyg_mmea.metrics import (
    AlignmentMetric,
    evaluate_alignment,
    evaluate_scores,
    hits_at_k,
    link_ranks,
    mean_rank,
    mean_reciprocal_rank,
    pseudo_label_precision,
)
from pyg_mmea.utils import SparseScores, hungarian, matching, mutual_nearest

MATCHINGS = ["none", "mutual", "sinkhorn", "hungarian"]


def noisy_pair(num=60, dtype=torch.float32, noise=0.7):
    generator = torch.Generator().manual_seed(0)
    x_s = torch.randn(num, 8, generator=generator, dtype=dtype)
    x_t = x_s + noise * torch.randn(num, 8, generator=generator, dtype=dtype)
    return x_s, x_t, torch.arange(num).repeat(2, 1)


def test_metrics_by_hand():
    ranks = torch.tensor([1.0, 1.5, 4.0, 11.0])
    assert hits_at_k(ranks, 1) == 0.25
    assert hits_at_k(ranks, 5) == 0.75
    assert hits_at_k(ranks, 10) == 0.75
    assert mean_rank(ranks) == 4.375
    assert mean_reciprocal_rank(ranks) == pytest.approx((1 + 2 / 3 + 1 / 4 + 1 / 11) / 4)


@pytest.mark.parametrize("function", [mean_rank, mean_reciprocal_rank, lambda r: hits_at_k(r, 1)])
def test_metrics_without_ranks(function):
    with pytest.raises(ValueError, match="at least one rank"):
        function(torch.empty(0))


def test_hits_at_bad_k():
    with pytest.raises(ValueError, match="'k' needs to be at least 1"):
        hits_at_k(torch.ones(1), 0)


def test_alignment_metric_in_batches_equals_at_once():
    x_s, x_t, links = noisy_pair()
    once, batched = AlignmentMetric(), AlignmentMetric()
    once.update(*link_ranks(x_s, x_t, links, "all"))
    for batch in links.split(7, dim=1):
        batched.update(*link_ranks(x_s, x_t, batch, "all"))
    assert str(batched) == "AlignmentMetric(num_links=60)"
    assert batched.compute() == once.compute()
    assert batched.compute() == batched.compute()


def test_alignment_metric_reset_and_errors():
    metric = AlignmentMetric()
    metric.update(torch.tensor([5.0]), torch.tensor([7.0]))
    metric.reset()
    with pytest.raises(ValueError, match="at least one rank"):
        metric.compute()
    with pytest.raises(ValueError, match="one rank a link"):
        metric.update(torch.ones(2), torch.ones(3))
    metric.update(torch.tensor([1.0]), torch.tensor([4.0]))
    result = metric.compute()
    assert result["source_to_target"]["mr"] == 1
    assert result["target_to_source"]["mr"] == 4
    assert result["mean"] == {"hits@1": 0.5, "hits@5": 1, "hits@10": 1, "mrr": 0.625, "mr": 2.5}


@pytest.mark.parametrize("matching_name", MATCHINGS)
@pytest.mark.parametrize("candidates", ["test", "all"])
def test_layout(candidates, matching_name):
    x_s, x_t, links = noisy_pair()
    out = evaluate_alignment(x_s, x_t, links[:, 5:25], candidates, 3, matching_name)
    assert list(out) == [
        "candidates",
        "csls_k",
        "matching",
        "num_links",
        "source_to_target",
        "target_to_source",
        "mean",
    ]
    assert (out["candidates"], out["csls_k"]) == (candidates, 3)
    assert (out["matching"], out["num_links"]) == (matching_name, 20)
    for key in ("source_to_target", "target_to_source", "mean"):
        assert list(out[key]) == ["hits@1", "hits@5", "hits@10", "mrr", "mr"]
        assert all(type(value) is float for value in out[key].values())
        assert 0 <= out[key]["hits@1"] <= out[key]["hits@5"] <= out[key]["hits@10"] <= 1
        assert out[key]["mr"] >= 1
    assert json.loads(json.dumps(out)) == out


@pytest.mark.parametrize("matching_name", MATCHINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_perfect_model(dtype, matching_name):
    x = torch.randn(30, 8, generator=torch.Generator().manual_seed(0), dtype=dtype)
    links = torch.stack([torch.randperm(30), torch.arange(30)])
    out = evaluate_alignment(x, x[links[0]], links, "all", 5, matching_name)
    assert out["mean"] == {"hits@1": 1, "hits@5": 1, "hits@10": 1, "mrr": 1, "mr": 1}


@pytest.mark.parametrize("matching_name", ["none", "sinkhorn"])
def test_collapsed_model_is_at_chance(matching_name):
    x, links = torch.ones(101, 8), torch.arange(101).repeat(2, 1)
    out = evaluate_alignment(x, x, links, matching=matching_name)
    assert out["mean"]["mr"] == pytest.approx(51, abs=1.5)
    assert out["mean"]["hits@1"] <= 0.05


def test_collapsed_model_finds_little_by_matching():
    x = torch.ones(101, 8)
    links = torch.arange(101).repeat(2, 1)  # ties must not fall in the order of the ids
    for matching_name in ("mutual", "hungarian"):
        out = evaluate_alignment(x, x, links, matching=matching_name)
        assert out["mean"]["hits@1"] <= 0.05


@pytest.mark.parametrize("chunk_size", [1, 9, 1000])
@pytest.mark.parametrize("matching_name", MATCHINGS)
def test_chunked_equals_full(matching_name, chunk_size):
    x_s, x_t, links = noisy_pair(dtype=torch.float64)
    full = evaluate_alignment(x_s, x_t, links[:, 10:40], "all", 4, matching_name)
    out = evaluate_alignment(x_s, x_t, links[:, 10:40], "all", 4, matching_name, chunk_size)
    assert out == full


@pytest.mark.parametrize("name", ["mutual", "hungarian"])
def test_one_answer_matchings(name):
    x_s, x_t, links = noisy_pair()
    index = {"mutual": mutual_nearest, "hungarian": hungarian}[name](x_s, x_t, 10).index
    found = float((index[0] == index[1]).sum()) / 60
    out = evaluate_alignment(x_s, x_t, links, "all", 10, name)
    base = evaluate_alignment(x_s, x_t, links, "all", 10)
    assert 0 < found < 1
    for direction in ("source_to_target", "target_to_source", "mean"):
        assert out[direction]["hits@1"] == pytest.approx(found)
        assert out[direction]["hits@5"] >= base[direction]["hits@5"]


def test_competition_helps_on_one_to_one_data():
    x_s, x_t, links = noisy_pair(300, noise=0.5)
    hits = {
        name: evaluate_alignment(x_s, x_t, links, matching=name)["mean"]["hits@1"]
        for name in MATCHINGS
    }
    assert hits["none"] < hits["sinkhorn"]
    assert hits["none"] < hits["hungarian"]
    assert hits["mutual"] <= hits["none"]


def test_matching_only_among_candidates():
    # The third target takes the first source unless only linked entities compete.
    x_s = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    x_t = torch.tensor([[0.8, 0.6], [0.0, 1.0], [1.0, 0.0]])
    links = torch.tensor([[0, 1], [0, 1]])
    test = evaluate_alignment(x_s, x_t, links, "test", 0, "mutual")
    everything = evaluate_alignment(x_s, x_t, links, "all", 0, "mutual")
    given = (torch.tensor([0]), torch.tensor([2]))
    assert test["mean"]["hits@1"] == 1
    assert everything["mean"]["hits@1"] == 0.5
    out = evaluate_alignment(x_s, x_t, links, given, 0, "mutual")
    assert out == {**everything, "candidates": "given"}


def test_bad_arguments(monkeypatch):
    x_s, x_t, links = noisy_pair()
    with pytest.raises(ValueError, match="'matching' needs to be one of"):
        evaluate_alignment(x_s, x_t, links, matching="greedy")
    with pytest.raises(ValueError, match="at least one link"):
        evaluate_alignment(x_s, x_t, links[:, :0])
    monkeypatch.setattr(matching, "HUNGARIAN_LIMIT", 59)
    with pytest.raises(ValueError, match="use 'sinkhorn' instead"):
        evaluate_alignment(x_s, x_t, links, matching="hungarian")


def test_pseudo_label_precision_by_hand():
    gold = torch.tensor([[0, 1, 2], [5, 6, 7]])
    pairs = torch.tensor([[0, 1, 8, 9], [5, 7, 6, 9]])
    # right; both known, wrong; target known, wrong; neither known
    assert pseudo_label_precision(pairs, gold) == {
        "num": 4,
        "num_known": 3,
        "num_correct": 1,
        "precision": 1 / 3,
    }


def test_pseudo_label_precision_of_nothing():
    gold, none = torch.tensor([[0], [1]]), torch.empty(2, 0, dtype=torch.long)
    assert pseudo_label_precision(none, gold)["precision"] is None
    assert pseudo_label_precision(torch.tensor([[3], [4]]), gold)["precision"] is None
    assert pseudo_label_precision(gold, none)["num_known"] == 0
    with pytest.raises(ValueError, match="'gold_links'"):
        pseudo_label_precision(gold, gold[0])


def scored(num=12, num_pairs=50):
    """Some pairs with a positive score, and the matrix with zeros elsewhere."""
    generator = torch.Generator().manual_seed(0)
    index = torch.randint(num, (2, num_pairs), generator=generator).unique(dim=1)
    score = 3 * torch.rand(index.size(1), generator=generator, dtype=torch.double)
    dense = torch.zeros(num, num + 1, dtype=torch.double).index_put_(tuple(index), score)
    return SparseScores(index, score), dense


@pytest.mark.parametrize("candidates", ["test", "all"])
def test_scores_equal_dense_matrix(candidates):
    scores, dense = scored()
    links = torch.tensor([[0, 3, 5, 7], [2, 3, 1, 12]])
    out = evaluate_scores(scores, (12, 13), links, candidates)
    assert out["csls_k"] == 0
    assert out["num_links"] == 4
    seen = links if candidates == "test" else (torch.arange(12), torch.arange(13))
    for direction, table, ends in (
        ("source_to_target", dense[:, seen[1]], links),
        ("target_to_source", dense.t()[:, seen[0]], links.flip(0)),
    ):
        rows = table[ends[0]]
        own = (dense if direction[0] == "s" else dense.t())[ends[0], ends[1]].view(-1, 1)
        rank = 1 + (rows > own).sum(dim=1) + ((rows == own).sum(dim=1) - 1) / 2
        assert out[direction]["mr"] == pytest.approx(float(rank.mean()))


def test_scores_compete_as_in_a_dense_matrix():
    scores, dense = scored()
    links = torch.arange(12).repeat(2, 1)
    out = evaluate_scores(scores, (12, 13), links, "all", "sinkhorn")
    table = dense.clone()
    for _ in range(10):
        table -= table.logsumexp(dim=0, keepdim=True)
        table -= table.logsumexp(dim=1, keepdim=True)
    table[dense == 0] = -1e9  # pairs without a score stay behind, tied
    own = table.diagonal().view(-1, 1)
    forth = 1 + (table > own).sum(dim=1) + ((table == own).sum(dim=1) - 1) / 2
    assert out["source_to_target"]["mr"] == pytest.approx(float(forth.mean()))
    back = table[:, :12].t()
    rank = 1 + (back > own).sum(dim=1) + ((back == own).sum(dim=1) - 1) / 2
    assert out["target_to_source"]["mr"] == pytest.approx(float(rank.mean()))
    assert out["mean"] != evaluate_scores(scores, (12, 13), links, "all")["mean"]


def test_scores_of_pairs_that_are_each_others_best():
    index = torch.tensor([[0, 0, 1, 2], [0, 1, 1, 0]])
    scores = SparseScores(index, torch.tensor([0.5, 0.7, 0.6, 0.4]))
    out = evaluate_scores(scores, (3, 3), torch.arange(3).repeat(2, 1), matching="mutual")
    assert out["mean"]["hits@1"] == 0  # only (0, 1) is an answer
    out = evaluate_scores(scores, (3, 3), torch.tensor([[0, 1], [1, 2]]), matching="mutual")
    assert out["mean"]["hits@1"] == 0.5
    with pytest.raises(ValueError, match="'matching' needs to be one of"):
        evaluate_scores(scores, (3, 3), index, matching="hungarian")
    with pytest.raises(ValueError, match="'scores' need to be positive"):
        evaluate_scores(SparseScores(index, -scores.score), (3, 3), index, matching="sinkhorn")
