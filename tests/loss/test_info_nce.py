import math

import pytest
import torch

from pyg_mmea.loss import InfoNCELoss


def plain_loop(x_s, x_t, temperature, intra, weight=None, index_s=None, index_t=None):
    """The formula entity by entity and negative by negative."""
    num = x_s.size(0)
    weight = torch.ones(num) if weight is None else weight
    index_s = torch.arange(num) if index_s is None else index_s
    index_t = torch.arange(num) if index_t is None else index_t
    total = 0.0
    for own, other in ((x_s, x_t), (x_t, x_s)):

        def delta(u, v):
            return math.exp(torch.cosine_similarity(u, v, dim=0).item() / temperature)

        for i in range(num):
            denominator = delta(own[i], other[i])
            for j in range(num):
                if i == j or index_s[i] == index_s[j] or index_t[i] == index_t[j]:
                    continue
                denominator += delta(own[i], other[j])
                denominator += delta(own[i], own[j]) if intra else 0.0
            total += -weight[i].item() * math.log(delta(own[i], other[i]) / denominator) / 2
    return total / weight.sum().item()


def test_info_nce_by_hand():
    x = torch.eye(2)
    loss = InfoNCELoss(temperature=1.0)
    assert str(loss) == "InfoNCELoss(temperature=1.0, intra=True)"
    # Positive e^1; one counterpart and one entity of the own side at cosine 0.
    assert loss(x, x).item() == pytest.approx(-math.log(math.e / (math.e + 2)))
    inter = InfoNCELoss(temperature=1.0, intra=False)
    assert inter(x, x).item() == pytest.approx(-math.log(math.e / (math.e + 1)))


@pytest.mark.parametrize("intra", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_info_nce_equals_plain_loop(intra, dtype):
    x_s, x_t = torch.randn(6, 4, dtype=dtype), torch.randn(6, 4, dtype=dtype)
    weight = torch.rand(6)
    out = InfoNCELoss(0.5, intra)(x_s, x_t, weight=weight)
    assert out.dtype == dtype
    assert out.item() == pytest.approx(plain_loop(x_s, x_t, 0.5, intra, weight), rel=1e-4)


def test_info_nce_shared_entities_are_no_negatives():
    x_s, x_t = torch.randn(5, 4), torch.randn(5, 4)
    index_s = torch.tensor([7, 3, 7, 1, 2])  # source entity 7 is in two links
    index_t = torch.tensor([0, 4, 2, 3, 4])  # target entity 4 is in two links
    x_s[2], x_t[4] = x_s[0], x_t[1]
    loss = InfoNCELoss(0.2)
    out = loss(x_s, x_t, index_s=index_s, index_t=index_t)
    expected = plain_loop(x_s, x_t, 0.2, True, index_s=index_s, index_t=index_t)
    assert out.item() == pytest.approx(expected, rel=1e-4)
    assert out < loss(x_s, x_t)


def test_info_nce_is_symmetric_and_ignores_order():
    x_s, x_t, weight = torch.randn(6, 4), torch.randn(6, 4), torch.rand(6)
    loss = InfoNCELoss()
    out = loss(x_s, x_t, weight)
    assert torch.allclose(out, loss(x_t, x_s, weight))
    perm = torch.randperm(6)
    assert torch.allclose(out, loss(x_s[perm], x_t[perm], weight[perm]))


def test_info_nce_mask_drops_rows_everywhere():
    x_s, x_t, weight = torch.randn(6, 4, requires_grad=True), torch.randn(6, 4), torch.rand(6)
    mask = torch.tensor([True, False, True, True, False, True])
    index = torch.arange(6)
    loss = InfoNCELoss()
    out = loss(x_s, x_t, weight, mask, index, index)
    assert torch.allclose(out, loss(x_s[mask], x_t[mask], weight[mask]))
    out.backward()
    assert torch.equal(x_s.grad.abs().sum(1) > 0, mask)


def test_info_nce_is_finite_at_extreme_logits():
    loss = InfoNCELoss(temperature=1e-6)
    x_s = torch.randn(4, 3).mul(1e4).requires_grad_()
    out = loss(x_s, -x_s.detach())
    out.backward()
    assert out.isfinite()
    assert x_s.grad.isfinite().all()


def test_info_nce_of_zero_rows_and_single_links():
    loss = InfoNCELoss()
    x_s = torch.zeros(3, 4, requires_grad=True)
    loss(x_s, torch.randn(3, 4)).backward()
    assert x_s.grad.isfinite().all()
    assert x_s.grad.abs().max() < 100

    x_s = torch.randn(1, 4, requires_grad=True)  # a single link has no negatives
    out = loss(x_s, torch.randn(1, 4))
    out.backward()
    assert out.item() == 0
    assert torch.equal(x_s.grad, torch.zeros(1, 4))


@pytest.mark.parametrize("case", ["no rows", "no mask", "no weight"])
def test_info_nce_without_pairs_is_zero_with_gradient_path(case):
    num = 0 if case == "no rows" else 3
    x_s = torch.randn(num, 4, requires_grad=True)
    mask = torch.zeros(num, dtype=torch.bool) if case == "no mask" else None
    weight = torch.zeros(num) if case == "no weight" else None
    out = InfoNCELoss()(x_s, torch.randn(num, 4), weight, mask)
    assert out.item() == 0
    out.backward()
    assert torch.equal(x_s.grad, torch.zeros(num, 4))


def test_info_nce_rejects_bad_input():
    with pytest.raises(ValueError, match="'temperature' needs to be positive"):
        InfoNCELoss(temperature=0.0)
    with pytest.raises(ValueError, match="need to have the same shape"):
        InfoNCELoss()(torch.randn(3, 4), torch.randn(2, 4))
    with pytest.raises(ValueError, match="'weight' needs to have shape"):
        InfoNCELoss()(torch.randn(3, 4), torch.randn(3, 4), weight=torch.ones(2))


def test_info_nce_of_half_precision_is_computed_in_single():
    x_s, x_t = torch.randn(6, 4).bfloat16(), torch.randn(6, 4).bfloat16()
    out = InfoNCELoss()(x_s, x_t)
    assert out.dtype == torch.float32
    assert torch.equal(out, InfoNCELoss()(x_s.float(), x_t.float()))


def test_info_nce_under_autocast_is_computed_in_single():
    x_s, x_t = torch.randn(6, 4, requires_grad=True), torch.randn(6, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = InfoNCELoss()(x_s, x_t)
    assert torch.equal(out, InfoNCELoss()(x_s, x_t))
    out.backward()
    assert x_s.grad.abs().sum() > 0
