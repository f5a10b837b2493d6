import math

import pytest
import torch

from pyg_mmea.loss import AlignmentKLLoss


def distribution(own, other, i, temperature, intra):
    score = [torch.cosine_similarity(own[i], x, dim=0) / temperature for x in other]
    if intra:
        score += [
            torch.cosine_similarity(own[i], x, dim=0) / temperature
            for j, x in enumerate(own)
            if j != i
        ]
    return torch.stack(score).softmax(dim=0)


def plain_loop(x_s, x_t, joint_s, joint_t, temperature, intra, weight):
    total = 0.0
    for i in range(x_s.size(0)):
        for x, joint in (((x_s, x_t), (joint_s, joint_t)), ((x_t, x_s), (joint_t, joint_s))):
            p = distribution(*x, i, temperature, intra)
            q = distribution(*joint, i, temperature, intra)
            total += weight[i] * (q * (q / p).log()).sum() / 2
    return total / weight.sum()


def random_inputs(num=5, dtype=torch.float64):
    return [torch.randn(num, size, dtype=dtype, requires_grad=True) for size in (3, 3, 7, 7)]


def test_alignment_kl_by_hand():
    loss = AlignmentKLLoss(temperature=2.0, intra=False)
    assert str(loss) == "AlignmentKLLoss(temperature=2.0, intra=False)"
    x, joint = torch.ones(2, 1), torch.eye(2)
    # The modality is uniform over 2, the joint has logits 1/2 and 0 (in either order).
    q = 1 / (1 + math.exp(-0.5))
    expected = q * math.log(2 * q) + (1 - q) * math.log(2 * (1 - q))
    assert loss(x, x, joint, joint).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("intra", [True, False])
def test_alignment_kl_equals_plain_loop(intra):
    inputs = random_inputs()
    weight = torch.rand(5, dtype=torch.float64)
    out = AlignmentKLLoss(0.5, intra)(*inputs, weight=weight)
    expected = plain_loop(*inputs, 0.5, intra, weight)
    assert torch.allclose(out, expected)
    grads = (torch.autograd.grad(value, inputs[:2]) for value in (out, expected))
    assert all(torch.allclose(*pair) for pair in zip(*grads, strict=True))


def test_alignment_kl_gives_the_joint_no_gradient():
    x_s, x_t, joint_s, joint_t = random_inputs()
    AlignmentKLLoss()(x_s, x_t, joint_s, joint_t).backward()
    assert joint_s.grad is None
    assert joint_t.grad is None
    assert x_s.grad.abs().sum() > 0
    assert x_t.grad.abs().sum() > 0


def test_alignment_kl_is_zero_for_equal_similarities_and_never_negative():
    x_s, x_t, joint_s, joint_t = random_inputs(dtype=torch.float32)
    loss = AlignmentKLLoss()
    assert loss(joint_s, joint_t, 2 * joint_s, joint_t).item() == pytest.approx(0, abs=1e-6)
    assert loss(x_s, x_t, joint_s, joint_t) > 0


def test_alignment_kl_is_symmetric_and_ignores_order():
    x_s, x_t, joint_s, joint_t = random_inputs()
    weight = torch.rand(5, dtype=torch.float64)
    loss = AlignmentKLLoss(0.5)
    out = loss(x_s, x_t, joint_s, joint_t, weight)
    assert torch.allclose(out, loss(x_t, x_s, joint_t, joint_s, weight))
    perm = torch.randperm(5)
    permuted = [value[perm] for value in (x_s, x_t, joint_s, joint_t, weight)]
    assert torch.allclose(out, loss(*permuted))


def test_alignment_kl_mask_drops_rows_everywhere():
    inputs = random_inputs()
    weight = torch.rand(5, dtype=torch.float64)
    mask = torch.tensor([True, False, True, True, False])
    loss = AlignmentKLLoss(0.5)
    expected = loss(*(value[mask] for value in inputs), weight[mask])
    assert torch.allclose(loss(*inputs, weight, mask), expected)


@pytest.mark.parametrize("temperature", [1e-6, 1e6])
def test_alignment_kl_is_finite_at_extreme_logits(temperature):
    inputs = random_inputs(dtype=torch.float32)
    out = AlignmentKLLoss(temperature)(*inputs)
    out.backward()
    assert out.isfinite()
    assert inputs[0].grad.isfinite().all()


@pytest.mark.parametrize("num", [0, 1])
def test_alignment_kl_without_any_choice_is_zero_with_gradient_path(num):
    inputs = random_inputs(num)
    out = AlignmentKLLoss()(*inputs)
    out.backward()
    assert out.item() == 0
    assert torch.equal(inputs[0].grad, torch.zeros_like(inputs[0]))

    inputs = random_inputs(2)
    out = AlignmentKLLoss()(*inputs, mask=torch.zeros(2, dtype=torch.bool))
    out.backward()
    assert out.item() == 0
    assert torch.equal(inputs[0].grad, torch.zeros_like(inputs[0]))


def test_alignment_kl_rejects_bad_input():
    x_s, x_t, joint_s, joint_t = random_inputs()
    with pytest.raises(ValueError, match="'temperature' needs to be positive"):
        AlignmentKLLoss(temperature=-1.0)
    with pytest.raises(ValueError, match="'joint_s' needs to have 5 rows"):
        AlignmentKLLoss()(x_s, x_t, joint_s[:3], joint_t[:3])
