import math

import pytest
import torch

from pyg_mmea.loss import HardNegativeLoss, hard_negative


def random_inputs(num=5, num_negatives=7, channels=4, dtype=torch.float64):
    shapes = (num, num, num_negatives, num_negatives + 1)
    return [torch.randn(n, channels, dtype=dtype, requires_grad=True) for n in shapes]


def autograd_loss(x_s, x_t, candidates_s, candidates_t, scale, own=None, weight=None):
    """One link and one direction at a time, by autograd, with detached mean and std.

    ``own`` holds two lists of (link, negative) to leave out.
    """
    unit = torch.nn.functional.normalize
    x_s, x_t, candidates_s, candidates_t = map(unit, (x_s, x_t, candidates_s, candidates_t))
    own = own or ([], [])
    weight = torch.ones(x_s.size(0)) if weight is None else weight
    total = 0.0
    for x, y, candidates, left_out in (
        (x_t, x_s, candidates_s, own[0]),
        (x_s, x_t, candidates_t, own[1]),
    ):
        for i in range(x.size(0)):
            keep = [n for n in range(len(candidates)) if (i, n) not in left_out]
            score = (x[i] - y[i]).square().sum() - (x[i] - candidates[keep]).square().sum(1)
            mean, std = score.detach().mean(), score.detach().std(unbiased=False)
            total = total + weight[i] * torch.logsumexp(scale * (score - mean) / std, dim=0)
    return total / weight.sum()


def test_hard_negative_by_hand():
    x = torch.tensor([[1.0, 0.0]])
    negatives = torch.tensor([[0.0, 2.0], [-3.0, 0.0]])  # squared distances 2 and 4
    loss = HardNegativeLoss(scale=2.0)
    assert str(loss) == "HardNegativeLoss(scale=2.0, intra=False)"
    # Scores -2 and -4, mean -3, std 1: z = 1 and -1, in both directions.
    expected = 2 * math.log(math.exp(2.0) + math.exp(-2.0))
    assert loss(x, x, negatives, negatives).item() == pytest.approx(expected)


@pytest.mark.parametrize("chunk_size", [2, 1024])
@pytest.mark.parametrize("weighted", [True, False])
def test_hard_negative_equals_plain_loop(monkeypatch, chunk_size, weighted):
    monkeypatch.setattr(hard_negative, "_CHUNK_SIZE", chunk_size)
    inputs = random_inputs()
    weight = torch.rand(5, dtype=torch.float64) if weighted else None
    out = HardNegativeLoss(scale=3.0)(*inputs, weight=weight)
    expected = autograd_loss(*inputs, scale=3.0, weight=weight)
    assert torch.allclose(out, expected)
    for grad, other in zip(
        torch.autograd.grad(2 * out, inputs),
        torch.autograd.grad(2 * expected, inputs),
        strict=True,
    ):
        assert torch.allclose(grad, other)


def test_hard_negative_leaves_out_the_true_ends(monkeypatch):
    monkeypatch.setattr(hard_negative, "_CHUNK_SIZE", 2)
    inputs = random_inputs()
    index_s, index_t = torch.tensor([4, 8, 15, 16, 4]), torch.tensor([0, 1, 2, 3, 2])
    negative_s = torch.tensor([4, 99, 16, 4, 3, 50, 1])  # entity 4 was drawn twice
    negative_t = torch.tensor([7, 2, 9, 9, 9, 0, 9, 10])
    own = (
        [(0, 0), (0, 3), (2, 0), (2, 3), (3, 2), (4, 0), (4, 3)],  # target 2 has two sources
        [(0, 1), (0, 5), (2, 1), (4, 1), (4, 5)],  # and source 4 two targets
    )
    loss = HardNegativeLoss(scale=3.0)
    out = loss(*inputs, index_s, index_t, negative_s, negative_t)
    expected = autograd_loss(*inputs, scale=3.0, own=own)
    assert torch.allclose(out, expected)
    grads = torch.autograd.grad(out, inputs), torch.autograd.grad(expected, inputs)
    assert all(torch.allclose(*pair) for pair in zip(*grads, strict=True))


def test_hard_negative_intra():
    x_s, x_t, negatives_s, negatives_t = inputs = random_inputs()
    index = torch.arange(5)
    negative_s, negative_t = torch.arange(7) + 3, torch.arange(8) + 4
    out = HardNegativeLoss(scale=3.0, intra=True)(*inputs, index, index, negative_s, negative_t)
    # Own ends of link 3: source candidate 0; of link 4: source candidate 1, target candidate 0.
    own = ([(3, 0), (4, 1), (4, 7)], [(4, 0), (3, 8), (4, 9)])
    both_s, both_t = torch.cat([negatives_s, negatives_t]), torch.cat([negatives_t, negatives_s])
    expected = autograd_loss(x_s, x_t, both_s, both_t, scale=3.0, own=own)
    assert torch.allclose(out, expected)


def test_hard_negative_gradcheck(monkeypatch):
    inputs = random_inputs(num=3, num_negatives=4)
    index = torch.arange(3)
    negative_s, negative_t = torch.tensor([0, 5, 6, 7]), torch.tensor([9, 1, 2, 8, 7])
    ids = (index, index, negative_s, negative_t)
    center, statistics = hard_negative._center_, []

    def record(score, row, col):
        before = score.clone()
        std = center(score, row, col)
        kept = torch.ones_like(score, dtype=torch.bool).index_put((row, col), torch.tensor(False))
        statistics.append(((before - score)[kept].view(-1).clone(), kept, std.clone()))
        return std

    # Finite differences must see mean and std as constants, as the loss does.
    monkeypatch.setattr(hard_negative, "_center_", record)
    HardNegativeLoss(scale=2.0)(*inputs, *ids)
    calls = iter(range(10**6))

    def frozen(score, row, col):
        mean, kept, std = statistics[next(calls) % 2]
        score[kept] -= mean
        return std

    monkeypatch.setattr(hard_negative, "_center_", frozen)
    weight = torch.tensor([0.2, 0.5, 1.0])

    def function(*x):
        return HardNegativeLoss(scale=2.0)(*x, *ids, weight=weight)

    assert torch.autograd.gradcheck(function, inputs)


def test_hard_negative_pulls_links_together():
    torch.manual_seed(0)
    x_s = torch.randn(20, 8, requires_grad=True)
    x_t = torch.randn(20, 8, requires_grad=True)
    index = torch.arange(20)
    optimizer = torch.optim.Adam([x_s, x_t], lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        HardNegativeLoss()(x_s, x_t, x_s, x_t, index, index, index, index).backward()
        optimizer.step()
    unit = torch.nn.functional.normalize
    assert torch.equal((unit(x_s) @ unit(x_t).t()).argmax(dim=1), index)


def test_hard_negative_is_symmetric_and_ignores_order_and_scale():
    x_s, x_t, negatives_s, negatives_t = random_inputs()
    loss = HardNegativeLoss()
    out = loss(x_s, x_t, negatives_s, negatives_t)
    assert torch.allclose(out, loss(x_t, x_s, negatives_t, negatives_s))
    perm = torch.randperm(5)
    other = loss(x_s[perm], 7 * x_t[perm], negatives_s.flip(0), negatives_t.flip(0))
    assert torch.allclose(out, other)


@pytest.mark.parametrize("scale", [1e4, 1e-4])
def test_hard_negative_is_finite_at_extreme_scores(scale):
    inputs = random_inputs(dtype=torch.float32)
    loss = HardNegativeLoss(scale)
    out = loss(*inputs)
    assert out.dtype == torch.float32
    assert out.isfinite()
    equal = torch.ones(6, 4)  # all negatives equally far: no spread to normalise with
    out = out + loss(inputs[0], inputs[1], equal, equal)
    assert all(grad.isfinite().all() for grad in torch.autograd.grad(out, inputs))


def test_hard_negative_without_pairs_or_negatives_is_zero_with_gradient_path():
    loss = HardNegativeLoss()
    x_s, x_t, negatives_s, negatives_t = random_inputs()
    index, same = torch.arange(5), torch.zeros(1, dtype=torch.long)
    for out in (
        loss(x_s[:0], x_t[:0], negatives_s, negatives_t),
        loss(x_s, x_t, negatives_s[:0], negatives_t[:0]),
        loss(x_s, x_t, negatives_s, negatives_t, weight=torch.zeros(5)),
        # The only negative of the only link is its own end.
        loss(x_s[:1], x_t[:1], x_s[:1], x_t[:1], index[:1], index[:1], same, same),
    ):
        assert out.item() == 0
        assert torch.equal(torch.autograd.grad(out, x_s)[0], torch.zeros_like(x_s))


def test_hard_negative_rejects_bad_input():
    inputs = random_inputs()
    loss = HardNegativeLoss()
    with pytest.raises(ValueError, match="'scale' needs to be positive"):
        HardNegativeLoss(scale=-1.0)
    with pytest.raises(ValueError, match="need to be given together"):
        loss(*inputs, index_s=torch.arange(5))
    with pytest.raises(ValueError, match="'negative_index_t' needs to have shape"):
        loss(*inputs, index_t=torch.arange(5), negative_index_t=torch.arange(5))


def test_hard_negative_under_autocast_is_computed_in_single():
    inputs = random_inputs(dtype=torch.float32)
    expected = HardNegativeLoss()(*inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = HardNegativeLoss()(*inputs)
    assert out.dtype == torch.float32
    assert torch.allclose(out, expected)
    assert all(grad.isfinite().all() for grad in torch.autograd.grad(out, inputs))
