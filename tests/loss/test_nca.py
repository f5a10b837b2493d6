import math

import pytest
import torch

from pyg_mmea.loss import NCALoss
from pyg_mmea.testing import check_loss


def plain_loop(x_s, x_t, alpha, beta, weight=None, index_s=None, index_t=None):
    """The formula link by link and negative by negative."""
    num = x_s.size(0)
    weight = torch.ones(num) if weight is None else weight
    index_s = torch.arange(num) if index_s is None else index_s
    index_t = torch.arange(num) if index_t is None else index_t
    total = 0.0
    for i in range(num):
        columns, rows = 0.0, 0.0
        for j in range(num):
            if i == j or index_s[i] == index_s[j] or index_t[i] == index_t[j]:
                continue
            columns += math.exp(alpha * torch.cosine_similarity(x_s[j], x_t[i], dim=0).item())
            rows += math.exp(alpha * torch.cosine_similarity(x_s[i], x_t[j], dim=0).item())
        own = torch.cosine_similarity(x_s[i], x_t[i], dim=0).item()
        loss = math.log(1 + columns) / alpha + math.log(1 + rows) / alpha
        total += weight[i].item() * (loss - beta * (math.log(1 + own) if own > 0 else own))
    return total / weight.sum().item()


def test_nca_by_hand():
    loss = NCALoss(alpha=2.0, beta=3.0)
    assert str(loss) == "NCALoss(alpha=2.0, beta=3.0)"
    # One negative at cosine 0 in each direction, the link itself at 1.
    expected = 2 * math.log(2) / 2 - 3 * math.log(2)
    assert loss(torch.eye(2), torch.eye(2)).item() == pytest.approx(expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nca_equals_plain_loop(dtype):
    x_s, x_t, weight = torch.randn(6, 4, dtype=dtype), torch.randn(6, 4, dtype=dtype), torch.rand(6)
    assert (torch.cosine_similarity(x_s, x_t) < 0).any()
    out = NCALoss(3.0, 2.0)(x_s, x_t, weight)
    assert out.dtype == dtype
    assert out.item() == pytest.approx(plain_loop(x_s, x_t, 3.0, 2.0, weight), rel=1e-4)


def test_nca_shared_entities_are_no_negatives():
    x_s, x_t = torch.randn(5, 4), torch.randn(5, 4)
    index = torch.tensor([7, 3, 7, 1, 2]), torch.tensor([0, 4, 2, 3, 4])
    out = NCALoss()(x_s, x_t, None, *index)
    assert out.item() == pytest.approx(plain_loop(x_s, x_t, 15.0, 10.0, None, *index), rel=1e-4)
    assert out < NCALoss()(x_s, x_t)


def test_nca_pulls_at_links_whose_ends_point_apart():
    x_s = torch.tensor([[1.0, 0.0], [1.0, 0.1]], requires_grad=True)
    x_t = torch.tensor([[-1.0, 0.5], [-1.0, 0.4]])
    before = torch.cosine_similarity(x_s, x_t)
    NCALoss()(x_s, x_t).backward()
    after = torch.cosine_similarity(x_s - 0.01 * x_s.grad, x_t)
    assert (after > before).all()


def test_nca_keeps_what_a_loss_has_to():
    check_loss(NCALoss())


def test_nca_extremes_and_no_link():
    loss = NCALoss(alpha=1e4)
    x = torch.randn(4, 3, requires_grad=True)
    loss(x, -x).backward()
    assert x.grad.isfinite().all()
    one = loss(x[:1], x[:1])  # no negative at all
    assert one.item() == pytest.approx(-10 * math.log(2), rel=1e-4)
    none = loss(x[:0], x[:0])
    none.backward()
    assert none.item() == 0


def test_nca_errors():
    with pytest.raises(ValueError, match=r"'alpha' needs to be positive \(got 0\)"):
        NCALoss(alpha=0)
    with pytest.raises(ValueError, match="same shape"):
        NCALoss()(torch.randn(2, 3), torch.randn(3, 3))
