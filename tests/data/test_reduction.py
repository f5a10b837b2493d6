import pytest
import torch

from pyg_mmea.data.reduction import reduce_features


def test_reduce_features() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 40, generator=generator) * torch.linspace(5, 0.1, 40)
    mask = torch.arange(60) % 5 != 0
    out = reduce_features(x, mask, dim=8)
    assert out.shape == (60, 8)
    assert out[~mask].abs().sum() == 0
    torch.testing.assert_close(out[mask].norm(dim=1), torch.ones(48))
    # The same by the eigenvectors of the covariance; their signs are free.
    centred = x[mask].double() - x[mask].double().mean(dim=0)
    values, vectors = torch.linalg.eigh(centred.t() @ centred / 47)
    expected = (centred @ vectors[:, -8:]) * values[-8:] ** -0.25
    expected = torch.nn.functional.normalize(expected, dim=1).flip(1)
    torch.testing.assert_close(out[mask].abs(), expected.abs().float(), rtol=1e-2, atol=1e-2)


def test_reduce_features_does_not_depend_on_hidden_rows() -> None:
    x = torch.randn(30, 12, generator=torch.Generator().manual_seed(1))
    mask = torch.arange(30) < 20
    changed = torch.where(mask[:, None], x, 99.0)
    assert torch.equal(reduce_features(x, mask, 4), reduce_features(changed, mask, 4))


@pytest.mark.parametrize("num_rows", [0, 1, 2, 5])
def test_reduce_few_rows(num_rows: int) -> None:
    x, mask = torch.rand(6, 20), torch.arange(6) < num_rows
    out = reduce_features(x, mask, dim=10)
    assert out.shape == (6, 10)
    assert out.isfinite().all()
    assert (out.abs().sum(dim=1) > 0).sum() == (num_rows if num_rows > 1 else 0)


def test_reduce_equal_rows() -> None:
    assert reduce_features(torch.ones(9, 5), torch.ones(9, dtype=torch.bool), 3).isfinite().all()
