import math

import pytest
import torch

from pyg_mmea.loss import MomentumContrastLoss


def plain_loop(x_s, x_t, momentum_s, momentum_t, temperature, weight, index_s, index_t):
    total = 0.0
    for query, key in ((x_s, momentum_t), (x_t, momentum_s)):
        for i in range(query.size(0)):

            def delta(j, i=i, query=query, key=key):
                cos = torch.cosine_similarity(query[i], key[j], dim=0).item()
                return math.exp(cos / temperature)

            others = [
                j
                for j in range(query.size(0))
                if index_s[i] != index_s[j] and index_t[i] != index_t[j]
            ]
            denominator = delta(i) + sum(delta(j) for j in others)
            total -= weight[i].item() * math.log(delta(i) / denominator) / 2
    return total / weight.sum().item()


def random_inputs(num=5, dtype=torch.float64):
    return [torch.randn(num, 4, dtype=dtype, requires_grad=True) for _ in range(4)]


def test_momentum_contrast_by_hand():
    loss = MomentumContrastLoss(temperature=1.0)
    assert str(loss) == "MomentumContrastLoss(temperature=1.0)"
    x = torch.eye(3)
    assert loss(x, x, x, x).item() == pytest.approx(-math.log(math.e / (math.e + 2)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_momentum_contrast_equals_plain_loop(dtype):
    inputs = random_inputs(dtype=dtype)
    weight = torch.rand(5)
    index_s, index_t = torch.tensor([5, 6, 5, 1, 2]), torch.tensor([0, 1, 2, 3, 3])
    out = MomentumContrastLoss(0.5)(*inputs, weight, index_s, index_t)
    expected = plain_loop(*inputs, 0.5, weight, index_s, index_t)
    assert out.dtype == dtype
    assert out.item() == pytest.approx(expected, rel=1e-4)


def test_momentum_contrast_gives_the_momentum_side_no_gradient():
    x_s, x_t, momentum_s, momentum_t = inputs = random_inputs()
    MomentumContrastLoss()(*inputs).backward()
    assert momentum_s.grad is None
    assert momentum_t.grad is None
    assert x_s.grad.abs().sum() > 0
    assert x_t.grad.abs().sum() > 0


def test_momentum_contrast_is_symmetric_and_ignores_order():
    x_s, x_t, momentum_s, momentum_t = inputs = random_inputs()
    loss = MomentumContrastLoss()
    out = loss(*inputs)
    assert torch.allclose(out, loss(x_t, x_s, momentum_t, momentum_s))
    perm = torch.randperm(5)
    assert torch.allclose(out, loss(*(x[perm] for x in inputs)))


def test_momentum_contrast_is_finite_at_extreme_logits():
    inputs = random_inputs(dtype=torch.float32)
    out = MomentumContrastLoss(1e-6)(*inputs)
    out.backward()
    assert out.isfinite()
    assert inputs[0].grad.isfinite().all()


def test_momentum_contrast_without_pairs_is_zero_with_gradient_path():
    for num, weight in ((0, None), (1, None), (3, torch.zeros(3))):
        inputs = random_inputs(num)
        out = MomentumContrastLoss()(*inputs, weight)
        out.backward()
        assert out.item() == 0
        assert torch.equal(inputs[0].grad, torch.zeros_like(inputs[0]))


def test_momentum_contrast_rejects_bad_input():
    x_s, x_t, momentum_s, momentum_t = random_inputs()
    with pytest.raises(ValueError, match="'temperature' needs to be positive"):
        MomentumContrastLoss(temperature=0.0)
    with pytest.raises(ValueError, match="same shape"):
        MomentumContrastLoss()(x_s, x_t, momentum_s[:2], momentum_t)
