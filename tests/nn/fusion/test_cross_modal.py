import math

import pytest
import torch
import torch.nn.functional as F

from pyg_mmea.nn import CrossModalTransformer

N, M, D = 5, 3, 8


def layer(heads=2):
    module = CrossModalTransformer(D, heads, feedforward_channels=6).double().eval()
    for parameter in module.parameters():  # biases, too
        torch.nn.init.normal_(parameter, std=0.5)
    return module


def inputs():
    mask = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 1, 0]]).bool()
    return torch.randn(N, M, D, dtype=torch.double), mask


def plain_loop(module, x, mask):
    """The formulas entity by entity, head by head and modality by modality."""
    weight = module.attention.in_proj_weight.chunk(3)
    bias = module.attention.in_proj_bias.chunk(3)
    size = D // module.heads
    hidden = torch.zeros_like(x)
    weights = torch.zeros(x.size()[:2], dtype=x.dtype)
    for i in range(x.size(0)):
        there = [m for m in range(x.size(1)) if mask[i, m]]
        query, key, value = (
            {m: w @ x[i, m] + b for m in there} for w, b in zip(weight, bias, strict=True)
        )
        received = dict.fromkeys(there, 0.0)
        for n in there:
            mixed = []
            for h in range(module.heads):
                part = slice(h * size, (h + 1) * size)
                score = {m: (query[n][part] @ key[m][part]) / math.sqrt(size) for m in there}
                total = sum(s.exp() for s in score.values())
                beta = {m: s.exp() / total for m, s in score.items()}
                for m in there:
                    received[m] = received[m] + beta[m]
                mixed.append(sum(beta[m] * value[m][part] for m in there))
            out = module.attention.out_proj(torch.cat(mixed))
            state = module.norm_attention(x[i, n] + out)
            first, second = module.feedforward[0], module.feedforward[2]
            hidden[i, n] = module.norm_feedforward(state + second(F.gelu(first(state))))
        score = {m: r / math.sqrt(x.size(1) * module.heads) for m, r in received.items()}
        for m in there:
            weights[i, m] = score[m].exp() / sum(s.exp() for s in score.values())
    return hidden, weights


@pytest.mark.parametrize("heads", [1, 2])
def test_cross_modal_transformer_equals_plain_loop(heads):
    module, (x, mask) = layer(heads), inputs()
    hidden, weight = module(x, mask)
    expected, expected_weight = plain_loop(module, x, mask)
    assert torch.allclose(hidden, expected)
    assert torch.allclose(weight, expected_weight)
    assert torch.allclose(weight.sum(dim=1), mask.any(dim=1).double())
    assert weight[0].std() > 0  # dynamic: no constant


def test_absent_modalities_do_not_matter():
    module, (x, mask) = layer(), inputs()
    hidden, weight = module(x, mask)
    other = x.masked_fill(~mask.unsqueeze(-1), 7.0)
    for out, expected in zip(module(other, mask), (hidden, weight), strict=True):
        assert torch.allclose(out, expected)
    assert not hidden[~mask].any()
    assert not weight[~mask].any()


def test_order_of_modalities_and_entities_does_not_matter():
    module, (x, mask) = layer(), inputs()
    hidden, weight = module(x, mask)
    rows, columns = torch.randperm(N), torch.randperm(M)
    moved, moved_weight = module(x[rows][:, columns], mask[rows][:, columns])
    assert torch.allclose(moved, hidden[rows][:, columns])
    assert torch.allclose(moved_weight, weight[rows][:, columns])


def test_gradients_reach_everything():
    module, (x, mask) = layer().train(), inputs()
    x.requires_grad_()
    hidden, weight = module(x, mask)
    (hidden.pow(3).sum() + weight.pow(2).sum()).backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name
    assert x.grad.isfinite().all()
    assert not x.grad[~mask].any()
    x.grad = None
    module(x, mask)[1].pow(2).sum().backward()
    assert x.grad.abs().sum() > 0  # the weights are learned, too


def test_dropout_acts_in_training_only_and_state_dict_round_trip():
    module, (x, mask) = layer(), inputs()
    assert torch.equal(module(x, mask)[0], module(x, mask)[0])
    other = CrossModalTransformer(D, 2, 6).double().eval()
    assert not torch.equal(other(x, mask)[1], module(x, mask)[1])
    other.load_state_dict(module.state_dict())
    assert torch.equal(other(x, mask)[1], module(x, mask)[1])
    other.reset_parameters()
    assert not torch.equal(other(x, mask)[1], module(x, mask)[1])
    module.train()
    assert not torch.equal(module(x, mask)[0], module(x, mask)[0])


def test_repr_and_errors():
    module = CrossModalTransformer(8, heads=2)
    assert str(module) == "CrossModalTransformer(8, heads=2, feedforward_channels=400)"
    with pytest.raises(ValueError, match=r"'heads' needs to divide the size 8 \(got 3\)"):
        CrossModalTransformer(8, heads=3)
    with pytest.raises(ValueError, match=r"'x' needs to have shape \[N, M, 8\]"):
        module(torch.randn(2, 3, 7), torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="'mask'"):
        module(torch.randn(2, 3, 8), torch.ones(2, 2, dtype=torch.bool))
