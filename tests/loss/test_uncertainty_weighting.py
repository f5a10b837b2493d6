import math

import pytest
import torch

from pyg_mmea.loss import UncertaintyWeighting


def test_uncertainty_weighting_by_hand():
    weighting = UncertaintyWeighting(["structure", "image"])
    assert str(weighting) == "UncertaintyWeighting(structure, image)"
    losses = {"image": torch.tensor(3.0), "structure": torch.tensor(2.0)}
    assert weighting(losses).item() == 5
    with torch.no_grad():
        weighting.log_variance.copy_(torch.tensor([math.log(2), -1.0]))
    expected = 2 / 2 + math.log(2) + 3 * math.e - 1
    assert weighting(losses).item() == pytest.approx(expected)
    assert weighting({"structure": torch.tensor(2.0)}).item() == pytest.approx(1 + math.log(2))


def test_uncertainty_weighting_finds_the_log_of_the_losses():
    weighting = UncertaintyWeighting(["a", "b"])
    optimizer = torch.optim.SGD(weighting.parameters(), lr=0.2)
    for _ in range(200):
        optimizer.zero_grad()
        weighting({"a": torch.tensor(0.5), "b": torch.tensor(4.0)}).backward()
        optimizer.step()
    expected = torch.tensor([0.5, 4.0]).log()
    assert torch.allclose(weighting.log_variance, expected, atol=1e-4)


def test_uncertainty_weighting_gradients_state_and_dtype():
    weighting = UncertaintyWeighting(["a", "b"]).double()
    loss = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    out = weighting({"a": loss})
    assert out.dtype == torch.float64
    out.backward()
    assert loss.grad == 1
    assert weighting.log_variance.grad.tolist() == [-1, 0]  # absent losses stay as they are

    with torch.no_grad():
        weighting.log_variance.fill_(3.0)
    other = UncertaintyWeighting(["a", "b"])
    other.load_state_dict(weighting.state_dict())
    assert other.log_variance.tolist() == [3, 3]
    other.reset_parameters()
    assert other.log_variance.tolist() == [0, 0]


def test_uncertainty_weighting_rejects_bad_input():
    with pytest.raises(ValueError, match="distinct names"):
        UncertaintyWeighting([])
    with pytest.raises(ValueError, match="distinct names"):
        UncertaintyWeighting(["a", "a"])
    weighting = UncertaintyWeighting(["a"])
    for losses in ({}, {"c": torch.tensor(1.0)}):
        with pytest.raises(ValueError, match="needs to hold some of"):
            weighting(losses)
