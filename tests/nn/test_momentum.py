import copy
import pickle

import pytest
import torch
from torch.nn import BatchNorm1d, Dropout, Linear, Sequential

from pyg_mmea.nn.momentum import MomentumEncoder


def online_encoder():
    return Sequential(Linear(3, 4), BatchNorm1d(4), Dropout(0.5), Linear(4, 2))


def step(module):
    """Changes all parameters and the running statistics."""
    module.train()
    module(torch.randn(8, 3))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter))


def test_momentum_encoder_is_a_frozen_copy_in_evaluation_mode():
    online = online_encoder()
    step(online)
    momentum = MomentumEncoder(online)
    assert str(momentum).startswith("MomentumEncoder(Sequential(")
    assert str(momentum).endswith("momentum=0.999)")
    x = torch.randn(8, 3, requires_grad=True)
    assert online.training
    assert torch.equal(momentum(x), online.eval()(x))

    momentum.train()
    assert not any(module.training for module in momentum.modules())
    assert not any(parameter.requires_grad for parameter in momentum.parameters())
    assert not momentum(x).requires_grad
    assert torch.equal(momentum(x), momentum(x))  # no dropout


def test_momentum_encoder_stays_frozen_inside_a_training_module():
    parent = torch.nn.ModuleDict({"momentum": MomentumEncoder(online_encoder())})
    parent.train()
    assert parent.training
    assert not any(module.training for module in parent["momentum"].modules())


def test_momentum_encoder_shares_no_memory():
    online = online_encoder()
    momentum = MomentumEncoder(online)

    def pointers(module):
        return {x.untyped_storage().data_ptr() for x in (*module.parameters(), *module.buffers())}

    assert not pointers(online) & pointers(momentum)
    momentum.update(online)
    assert not pointers(online) & pointers(momentum)
    before = copy.deepcopy(momentum.state_dict())
    step(online)
    assert all(torch.equal(value, before[key]) for key, value in momentum.state_dict().items())


def test_momentum_encoder_follows_by_hand():
    online = Linear(1, 1, bias=False)
    torch.nn.init.constant_(online.weight, 8.0)
    momentum = MomentumEncoder(online, momentum=0.75)
    torch.nn.init.constant_(online.weight, 4.0)
    momentum.update(online)
    assert momentum.module.weight.item() == 7  # 0.75 * 8 + 0.25 * 4, from the first update on
    momentum.update(online)
    assert momentum.module.weight.item() == 6.25


def test_momentum_encoder_copies_buffers():
    online = online_encoder()
    momentum = MomentumEncoder(online)
    step(online)
    momentum.update(online)
    for (name, copied), value in zip(
        momentum.module.named_buffers(), online.buffers(), strict=True
    ):
        assert torch.equal(copied, value), name
    assert momentum.module[1].num_batches_tracked == 1


@pytest.mark.parametrize("momentum", [0.0, 1.0])
def test_momentum_encoder_extremes(momentum):
    online = online_encoder()
    encoder = MomentumEncoder(online, momentum)
    before = copy.deepcopy(list(encoder.parameters()))
    step(online)
    encoder.update(online)
    expected = before if momentum == 1.0 else online.parameters()
    for parameter, other in zip(encoder.parameters(), expected, strict=True):
        assert torch.allclose(parameter, other)


def test_momentum_encoder_state_dict_round_trip():
    online = online_encoder()
    momentum = MomentumEncoder(online, 0.5)
    step(online)
    momentum.update(online)
    other = MomentumEncoder(online_encoder(), 0.5)
    other.load_state_dict(momentum.state_dict())
    step(online)
    for encoder in (momentum, other):
        encoder.update(online)
    x = torch.randn(5, 3)
    assert torch.equal(momentum(x), other(x))


def test_momentum_encoder_rejects_bad_momentum():
    with pytest.raises(ValueError, match="'momentum' needs to be in"):
        MomentumEncoder(online_encoder(), momentum=1.5)


def test_momentum_may_follow_a_schedule():
    online = Linear(1, 1, bias=False)
    torch.nn.init.constant_(online.weight, 8.0)
    momentum = MomentumEncoder(online, momentum=1.0)
    torch.nn.init.constant_(online.weight, 4.0)
    momentum.momentum = 0.25
    momentum.update(online)
    assert momentum.module.weight.item() == 5  # 0.25 * 8 + 0.75 * 4


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_clone_follows_on_its_own(clone):
    online = online_encoder()
    momentum = MomentumEncoder(online, 0.5)
    other = clone(momentum)
    other.momentum = 1.0  # its own, not that of the first
    step(online)
    momentum.update(online)
    other.update(online)
    moved = next(iter(momentum.parameters()))
    assert not torch.equal(moved, next(iter(other.parameters())))
