import pytest
import torch

from pyg_mmea.nn.dropout import ByteDropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.75])
def test_byte_dropout_drops_that_share_and_keeps_the_mean(p):
    dropout = ByteDropout(p)
    assert str(dropout) == f"ByteDropout(p={p})"
    torch.manual_seed(0)
    x = torch.ones(1001, 101, requires_grad=True)
    out = dropout(x)
    dropped = out == 0
    assert float(dropped.float().mean()) == pytest.approx(p, abs=0.01)
    assert float(out.detach().mean()) == pytest.approx(1, abs=0.01)
    assert out.unique().numel() == 2
    # Neighbouring entries share a random word, and must not share their fate.
    both = (dropped[:, 1:] & dropped[:, :-1]).float().mean()
    assert float(both) == pytest.approx(p * p, abs=0.01)
    out.sum().backward()
    assert torch.equal(x.grad == 0, dropped)


def test_byte_dropout_follows_the_seed():
    dropout, x = ByteDropout(0.5), torch.ones(99)
    torch.manual_seed(1)
    first = dropout(x)
    assert not torch.equal(first, dropout(x))
    torch.manual_seed(1)
    assert torch.equal(first, dropout(x))


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_byte_dropout_at_the_ends(p):
    x = torch.ones(10, dtype=torch.float64)
    assert torch.equal(ByteDropout(p)(x), x * (1 - p))


def test_byte_dropout_in_evaluation_changes_nothing():
    x = torch.randn(10)
    assert torch.equal(ByteDropout(0.5).eval()(x), x)


def test_byte_dropout_rejects_what_is_no_probability():
    with pytest.raises(ValueError, match=r"'p' needs to be in \[0, 1\] \(got 1.5\)"):
        ByteDropout(1.5)
