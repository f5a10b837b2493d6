import math

import pytest
import torch
from torch.autograd import gradcheck

from pyg_mmea.loss import SampledSoftmaxLoss, sampled_softmax


@pytest.fixture(params=[1024, 2])
def chunk_size(request, monkeypatch):
    monkeypatch.setattr(sampled_softmax, "_CHUNK_SIZE", request.param)


def plain(x_s, x_t, negatives_s, negatives_t, ids=None, weight=None, temperature=0.5):
    """The formula link by link and negative by negative, with gradients."""
    num = x_s.size(0)
    weight = x_s.new_ones(num) if weight is None else weight
    ids_s, ids_t, negative_ids_s, negative_ids_t = ids or (None, None, None, None)
    total = x_s.new_zeros(())
    for own, other, negatives, from_ids, to_ids, negative_ids in (
        (x_s, x_t, negatives_t, ids_s, ids_t, negative_ids_t),
        (x_t, x_s, negatives_s, ids_t, ids_s, negative_ids_s),
    ):
        for i in range(num):
            true = []
            if ids is not None:
                true = [int(to_ids[k]) for k in range(num) if from_ids[k] == from_ids[i]]

            def score(v, u=own[i]):
                return (torch.cosine_similarity(u, v, dim=0) / temperature).exp()

            gold = score(other[i])
            rest = [
                score(v)
                for n, v in enumerate(negatives)
                if ids is None or int(negative_ids[n]) not in true
            ]
            total = total - weight[i] * torch.log(gold / (gold + sum(rest))) / 2
    return total / weight.sum()


def make(dtype=torch.float64):
    return [torch.randn(n, 3, dtype=dtype, requires_grad=True) for n in (5, 5, 4, 6)]


IDS = (
    torch.tensor([7, 3, 7, 1, 2]),  # source entity 7 is in two links
    torch.tensor([0, 4, 2, 3, 5]),
    torch.tensor([7, 9, 2, 7]),  # drawn twice, never, once
    torch.tensor([8, 4, 3, 0, 9, 6]),
)


def test_sampled_softmax_by_hand():
    loss = SampledSoftmaxLoss(temperature=1.0)
    assert str(loss) == "SampledSoftmaxLoss(temperature=1.0)"
    x = torch.tensor([[2.0, 0.0]])
    # Source to target: e^1 against two of e^0. Target to source: e^1 against one of e^-1.
    negatives_t, negatives_s = torch.tensor([[0.0, 1.0], [0.0, 3.0]]), torch.tensor([[-1.0, 0.0]])
    expected = (math.log(1 + 2 / math.e) + math.log(1 + math.exp(-2))) / 2
    assert loss(x, x, negatives_s, negatives_t).item() == pytest.approx(expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("with_ids", [True, False])
@pytest.mark.parametrize("with_weight", [True, False])
@pytest.mark.usefixtures("chunk_size")
def test_sampled_softmax_equals_plain_version(dtype, with_ids, with_weight):
    inputs = make(dtype)
    ids = IDS if with_ids else None
    weight = torch.rand(5, dtype=dtype) if with_weight else None
    out = SampledSoftmaxLoss(0.5)(*inputs, *(ids or ()), weight=weight)
    expected = plain(*inputs, ids, weight)
    assert out.dtype == dtype
    assert torch.allclose(out, expected, rtol=1e-4)
    grads = torch.autograd.grad(3 * out, inputs)
    for grad, other in zip(grads, torch.autograd.grad(3 * expected, inputs), strict=True):
        assert torch.allclose(grad, other, rtol=1e-3, atol=1e-5)


@pytest.mark.usefixtures("chunk_size")
def test_sampled_softmax_gradcheck():
    loss, weight = SampledSoftmaxLoss(0.5), torch.rand(5).double()
    assert gradcheck(lambda *x: loss(*x, *IDS, weight=weight), make())


def test_own_ends_are_no_negatives():
    x_s, x_t, negatives_s, _ = make()
    loss = SampledSoftmaxLoss(0.05)
    ids = torch.arange(5)
    other = torch.arange(10, 14)
    out = loss(x_s, x_t, negatives_s, x_t, ids, ids, other, ids)
    assert torch.allclose(
        out, plain(x_s, x_t, negatives_s, x_t, (ids, ids, other, ids), None, 0.05)
    )
    assert out < loss(x_s, x_t, negatives_s, x_t)
    # Whatever stands for the own end, it gets no gradient from its link.
    negatives = x_t[:1].detach().clone().requires_grad_()
    loss(x_s[:1], x_t[:1], negatives_s, negatives, ids[:1], ids[:1], other, ids[:1]).backward()
    assert torch.equal(negatives.grad, torch.zeros_like(negatives))


def test_sampled_softmax_is_symmetric_and_ignores_order():
    x_s, x_t, negatives_s, negatives_t = make()
    loss, weight = SampledSoftmaxLoss(), torch.rand(5)
    out = loss(x_s, x_t, negatives_s, negatives_t, *IDS, weight=weight)
    ids_s, ids_t, negative_ids_s, negative_ids_t = IDS
    turned = (ids_t, ids_s, negative_ids_t, negative_ids_s)
    assert torch.allclose(out, loss(x_t, x_s, negatives_t, negatives_s, *turned, weight=weight))
    p, q = torch.randperm(5), torch.randperm(4)
    mixed = (ids_s[p], ids_t[p], negative_ids_s[q], negative_ids_t)
    moved = loss(x_s[p], x_t[p], negatives_s[q], negatives_t, *mixed, weight=weight[p])
    assert torch.allclose(out, moved)


@pytest.mark.parametrize("case", ["no links", "no negatives", "no weight"])
def test_sampled_softmax_of_nothing_is_zero_with_gradient_path(case):
    x_s, x_t, negatives_s, negatives_t = make()
    weight = torch.zeros(5) if case == "no weight" else None
    if case == "no links":
        x_s, x_t = (x[:0].detach().requires_grad_() for x in (x_s, x_t))
    if case == "no negatives":
        negatives_s, negatives_t = (x[:0].detach().requires_grad_() for x in (x_s, x_t))
    out = SampledSoftmaxLoss()(x_s, x_t, negatives_s, negatives_t, weight=weight)
    assert out.item() == 0
    out.backward()
    for x in (x_s, x_t, negatives_s, negatives_t):
        assert torch.equal(x.grad, torch.zeros_like(x))


def test_sampled_softmax_is_finite_at_extreme_logits():
    x_s = torch.randn(4, 3).mul(1e4).requires_grad_()
    negatives = torch.zeros(2, 3, requires_grad=True)
    out = SampledSoftmaxLoss(1e-6)(x_s, -x_s.detach(), negatives, x_s.detach())
    out.backward()
    assert out.isfinite()
    assert x_s.grad.isfinite().all()
    assert negatives.grad.isfinite().all()


def test_sampled_softmax_under_autocast_and_of_half_precision_is_computed_in_single():
    inputs = [x.detach().bfloat16().float() for x in make(torch.float32)]
    loss = SampledSoftmaxLoss()
    expected = loss(*inputs, *IDS)
    inputs[0].requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = loss(*inputs, *IDS)
    out.backward()
    assert torch.equal(out, expected)
    assert inputs[0].grad.abs().sum() > 0
    out = loss(*(x.bfloat16() for x in inputs), *IDS)
    assert out.dtype == torch.float32
    assert torch.equal(out, expected)


def test_sampled_softmax_rejects_bad_input():
    with pytest.raises(ValueError, match="'temperature' needs to be positive"):
        SampledSoftmaxLoss(temperature=-1)
    x_s, x_t, negatives_s, negatives_t = make()
    loss = SampledSoftmaxLoss()
    with pytest.raises(ValueError, match="need to have the same shape"):
        loss(x_s, x_t[:3], negatives_s, negatives_t)
    with pytest.raises(ValueError, match="'index_s' and 'negative_index_s' need to be given tog"):
        loss(x_s, x_t, negatives_s, negatives_t, index_s=IDS[0])
    with pytest.raises(ValueError, match="'negative_index_t' needs to have shape"):
        loss(x_s, x_t, negatives_s, negatives_t, *IDS[:3], IDS[3][:2])
    with pytest.raises(ValueError, match="'weight' needs to have shape"):
        loss(x_s, x_t, negatives_s, negatives_t, weight=torch.ones(2))
