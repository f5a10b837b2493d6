import math

import pytest
import torch
import torch.nn.functional as F

from pyg_mmea.loss import MLPCritic, MutualInformationLoss, SeparableCritic

BOUNDS = ["dv", "infonce", "jsd"]


class DotCritic(torch.nn.Module):
    """A critic without parameters, whose scores are easy to tell."""

    def forward(self, h, z):
        return (h * z).sum(dim=-1)

    def all_pairs(self, h, z):
        return h @ z.t()


def correlated_gaussians(num, rho, generator):
    h, noise = torch.randn(2, num, 1, generator=generator)
    return h, rho * h + (1 - rho**2) ** 0.5 * noise


def estimate(rho, num_steps=400, **kwargs):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    loss = MutualInformationLoss(1, 1, hidden_channels=32, **kwargs)
    optimizer = torch.optim.Adam(loss.parameters(), lr=5e-3)
    for _ in range(num_steps):
        optimizer.zero_grad()
        loss(*correlated_gaussians(256, rho, generator), generator=generator).backward()
        optimizer.step()
    loss.eval()
    with torch.no_grad():
        fresh = [correlated_gaussians(1000, rho, generator) for _ in range(20)]
        return -sum(loss(*pair, generator=generator).item() for pair in fresh) / 20


@pytest.mark.parametrize(
    "kwargs", [dict(bound="dv"), dict(bound="dv", ema_decay=0.9), dict(bound="infonce")]
)
def test_bound_approaches_the_mutual_information(kwargs):
    rho = 0.9
    exact = -0.5 * math.log(1 - rho**2)  # 0.83 nats
    assert estimate(rho, **kwargs) == pytest.approx(exact, abs=0.1)


@pytest.mark.parametrize("bound", BOUNDS)
def test_bound_of_independent_variables_is_zero(bound):
    assert estimate(0.0, num_steps=150, bound=bound) == pytest.approx(0, abs=0.03)


def test_jsd_bound_approaches_the_divergence():
    rho = 0.9
    generator = torch.Generator().manual_seed(1)
    h, z = correlated_gaussians(200_000, rho, generator)
    shuffled = z.roll(1, dims=0)

    def log_ratio(h, z):  # the best critic, log p(h, z) / (p(h) p(z))
        quadratic = (rho**2 * (h**2 + z**2) - 2 * rho * h * z) / (2 * (1 - rho**2))
        return -0.5 * math.log(1 - rho**2) - quadratic

    best = 2 * math.log(2) - F.softplus(-log_ratio(h, z)).mean()
    best = best - F.softplus(log_ratio(h, shuffled)).mean()
    assert estimate(rho, bound="jsd") == pytest.approx(best.item(), abs=0.05)


@pytest.mark.parametrize("bound", BOUNDS)
def test_loss_by_hand(bound):
    h = torch.tensor([[1.0], [2.0]])
    z = torch.tensor([[3.0], [5.0]])  # two entities can only swap: joint 3, 10; marginal 5, 6
    loss = MutualInformationLoss(1, 1, bound=bound, critic=DotCritic())

    def softplus(x):
        return math.log1p(math.exp(x))

    def log_add_exp(*x):
        return math.log(sum(math.exp(value) for value in x))

    expected = {
        "dv": 6.5 - (log_add_exp(5, 6) - math.log(2)),
        "infonce": math.log(2)
        + (3 + 10) / 2
        - (log_add_exp(3, 5) + log_add_exp(6, 10) + log_add_exp(3, 6) + log_add_exp(5, 10)) / 4,
        "jsd": 2 * math.log(2)
        - (softplus(-3) + softplus(-10)) / 2
        - (softplus(5) + softplus(6)) / 2,
    }[bound]
    assert loss(h, z).item() == pytest.approx(-expected, rel=1e-5)
    assert str(loss) == f"MutualInformationLoss(DotCritic(), bound='{bound}')"


def test_marginal_hands_everybody_the_z_of_somebody_else():
    seen = []

    class Spy(torch.nn.Module):
        def forward(self, h, z):
            seen.append((h.view(-1).tolist(), z.view(-1).tolist()))
            return (h * z).sum(dim=-1)

    ids = torch.arange(50.0).view(-1, 1)
    loss = MutualInformationLoss(1, 1, critic=Spy())
    for seed in (0, 0, 1):
        loss(ids, ids, generator=torch.Generator().manual_seed(seed))
    for joint, marginal in zip(seen[::2], seen[1::2], strict=True):
        assert joint[0] == joint[1]
        assert sorted(marginal[1]) == ids.view(-1).tolist()
        assert all(a != b for a, b in zip(*marginal, strict=True))
    assert seen[1] == seen[3]  # the generator decides
    assert seen[1] != seen[5]


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_backward_reaches_critic_and_inputs(bound, dtype):
    loss = MutualInformationLoss(3, 5, bound=bound).to(dtype)
    h = torch.randn(8, 3, dtype=dtype, requires_grad=True)
    z = torch.randn(8, 5, dtype=dtype, requires_grad=True)
    out = loss(h, z)
    assert out.dtype == dtype
    out.backward()
    for value in (h, z):
        assert value.grad.abs().sum() > 0
    parameters = dict(loss.named_parameters())
    assert parameters
    # A last bias shifts all scores, which these two bounds do not see.
    for name, parameter in parameters.items():
        assert parameter.grad is not None, name
        if name != "critic.mlp.2.bias" or bound == "jsd":
            assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("bound", BOUNDS)
def test_value_is_single_under_autocast(bound):
    loss = MutualInformationLoss(3, 5, bound=bound)
    h, z = torch.randn(8, 3), torch.randn(8, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = loss(h, z, generator=torch.Generator().manual_seed(0))
    assert out.dtype == torch.float32
    expected = loss(h, z, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(out, expected, atol=0.05)


@pytest.mark.parametrize("bound", BOUNDS)
def test_mask_and_number_of_samples(bound):
    calls = []

    class Spy(DotCritic):
        def forward(self, h, z):
            calls.append(h)
            return super().forward(h, z)

        def all_pairs(self, h, z):
            calls.append(h)
            return super().all_pairs(h, z)

    loss = MutualInformationLoss(1, 1, bound=bound, critic=Spy(), max_samples=4)
    x = torch.arange(10.0).view(-1, 1)
    mask = x.view(-1) > 2
    loss(x, x, mask)
    assert calls[0].size() == (4, 1)
    assert calls[0].min() > 2
    calls.clear()
    loss(x, x, x.view(-1) > 6)
    assert sorted(calls[0].view(-1).tolist()) == [7, 8, 9]


@pytest.mark.parametrize("bound", BOUNDS)
def test_loss_is_finite_at_extreme_scores(bound):
    h, z = torch.randn(6, 2).mul(1e3).requires_grad_(), torch.randn(6, 2) * 1e3
    kwargs = dict(ema_decay=0.9) if bound == "dv" else {}
    loss = MutualInformationLoss(2, 2, bound=bound, critic=DotCritic(), **kwargs)
    loss(torch.zeros(6, 2), z)  # a small moving average before a large batch
    out = loss(h, z)
    out.backward()
    assert out.isfinite()
    assert h.grad.isfinite().all()


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("num", [0, 1])
def test_loss_without_pairs_is_zero_with_gradient_path(bound, num):
    h, z = torch.randn(3, 2, requires_grad=True), torch.randn(3, 2)
    mask = torch.arange(3) < num
    out = MutualInformationLoss(2, 2, bound=bound)(h, z, mask)
    out.backward()
    assert out.item() == 0
    assert torch.equal(h.grad, torch.zeros(3, 2))


def test_moving_average_changes_the_gradient_only():
    h, z = torch.randn(2, 1, requires_grad=True), torch.randn(2, 1)
    plain = MutualInformationLoss(1, 1, critic=DotCritic())
    corrected = MutualInformationLoss(1, 1, critic=DotCritic(), ema_decay=0.75)
    (first,) = torch.autograd.grad(corrected(h, z), h)
    assert torch.allclose(first, torch.autograd.grad(plain(h, z), h)[0])  # nothing to average yet

    average = corrected.log_average.exp().item()
    z = z + 1
    out = corrected(h, z)
    assert torch.allclose(out, plain(h, z))
    marginal = (h * z.flip(0)).view(-1).exp().detach()  # two entities can only swap
    average = 0.75 * average + 0.25 * marginal.mean().item()
    assert corrected.log_average.exp().item() == pytest.approx(average, rel=1e-5)
    expected = marginal.view(-1, 1) * z.flip(0) / (2 * average) - z / 2
    assert torch.allclose(torch.autograd.grad(out, h)[0], expected, atol=1e-6)

    corrected.eval()
    corrected(h, z + 1)
    assert corrected.log_average.exp().item() == pytest.approx(average, rel=1e-5)
    state = corrected.state_dict()
    corrected.critic.reset_parameters = lambda: None
    corrected.reset_parameters()
    assert corrected.log_average.isinf()
    corrected.load_state_dict(state)


@pytest.mark.parametrize("make", [MLPCritic, SeparableCritic])
def test_critics(make):
    critic = make(3, 5, hidden_channels=8)
    assert str(critic) == f"{make.__name__}(3, 5)"
    h, z = torch.randn(4, 3), torch.randn(4, 5)
    out = critic(h, z)
    assert out.size() == (4,)
    perm = torch.randperm(4)
    assert torch.allclose(critic(h[perm], z[perm]), out[perm], atol=1e-6)
    other = make(3, 5, hidden_channels=8)
    other.load_state_dict(critic.state_dict())
    assert torch.equal(other(h, z), out)
    other.reset_parameters()
    assert not torch.allclose(other(h, z), out)


def test_separable_critic_all_pairs():
    critic = SeparableCritic(3, 5)
    h, z = torch.randn(4, 3), torch.randn(4, 5)
    score = critic.all_pairs(h, z)
    for i in range(4):
        for j in range(4):
            expected = critic(h[i : i + 1], z[j : j + 1])[0]
            assert torch.allclose(score[i, j], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(bound="mine"), "'bound' needs to be one of"),
        (dict(max_samples=1), "'max_samples' needs to be at least 2"),
        (dict(bound="jsd", ema_decay=0.9), "'ema_decay' needs to be in"),
        (dict(ema_decay=1.0), "'ema_decay' needs to be in"),
        (dict(bound="infonce", critic=MLPCritic(2, 2)), "needs a method 'all_pairs'"),
    ],
)
def test_loss_rejects_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        MutualInformationLoss(2, 2, **kwargs)


def test_loss_rejects_bad_input():
    loss = MutualInformationLoss(2, 2)
    with pytest.raises(ValueError, match="same number of rows"):
        loss(torch.randn(3, 2), torch.randn(4, 2))
