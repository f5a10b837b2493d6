import pytest
import torch
from torch.autograd import gradcheck

from pyg_mmea.nn import RelationReflectionConv

# sender, receiver, relation; one twice, parallel ones of two relations, a loop, node 4 has none
EDGES = [(0, 1, 2), (3, 1, 0), (0, 1, 2), (0, 1, 1), (2, 2, 1), (1, 0, 2), (4, 0, 2)]
EDGE_INDEX = torch.tensor([edge[:2] for edge in EDGES]).t().contiguous()
EDGE_TYPE = torch.tensor([edge[2] for edge in EDGES])


def plain_loop(conv, x, relation):
    """The formula edge by edge."""
    rows = []
    for i in range(x.size(0)):
        logits, messages = [], []
        for src, dst, rel in sorted(set(EDGES)):
            if dst == i:
                r = relation[rel] / relation[rel].norm()
                logits.append(conv.att @ r)
                messages.append(x[src] - 2 * (x[src] @ r) * r)
        total = sum(logit.exp() for logit in logits)
        mixed = [logit.exp() / total * m for logit, m in zip(logits, messages, strict=True)]
        rows.append(torch.tanh(sum(mixed, torch.zeros_like(x[0]))))
    return torch.stack(rows)


def inputs(dtype=torch.float64):
    x = torch.randn(5, 4, dtype=dtype, requires_grad=True)
    return x, torch.randn(3, 4, dtype=dtype, requires_grad=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_relation_reflection_conv_equals_plain_loop(dtype):
    conv = RelationReflectionConv(4).to(dtype)
    x, relation = inputs(dtype)
    out, expected = conv(x, relation, EDGE_INDEX, EDGE_TYPE), plain_loop(conv, x, relation)
    assert out.dtype == dtype
    assert torch.allclose(out, expected, atol=1e-5)
    assert torch.equal(out[4], torch.zeros(4, dtype=dtype))  # receives nothing
    wanted = (x, relation, conv.att)
    upstream = torch.randn_like(out)
    grads = torch.autograd.grad(out, wanted, upstream)
    for grad, other in zip(grads, torch.autograd.grad(expected, wanted, upstream), strict=True):
        assert grad.abs().sum() > 0
        assert torch.allclose(grad, other, atol=1e-5)


def test_relation_reflection_conv_gradcheck():
    conv = RelationReflectionConv(4).double()
    assert gradcheck(
        lambda x, relation, _: conv(x, relation, EDGE_INDEX, EDGE_TYPE), (*inputs(), conv.att)
    )


def test_relation_reflection_conv_without_edges():
    conv = RelationReflectionConv(4).double()
    x, relation = inputs()
    none = torch.empty(2, 0, dtype=torch.long)
    out = conv(x, relation, none, none[0])
    assert torch.equal(out, torch.zeros(5, 4, dtype=torch.float64))
    out.sum().backward()
    assert torch.equal(x.grad, torch.zeros_like(x))


def test_relation_reflection_conv_ignores_the_length_of_relations():
    conv = RelationReflectionConv(4).double()
    x, relation = inputs()
    out = conv(x, relation, EDGE_INDEX, EDGE_TYPE)
    assert torch.allclose(out, conv(x, 7 * relation, EDGE_INDEX, EDGE_TYPE))


def test_relation_reflection_conv_follows_permutations():
    conv = RelationReflectionConv(4).double()
    x, relation = inputs()
    out = conv(x, relation, EDGE_INDEX, EDGE_TYPE)
    perm = torch.tensor([3, 0, 4, 2, 1])  # new -> old
    moved = conv(x[perm], relation, perm.argsort()[EDGE_INDEX], EDGE_TYPE)
    assert torch.allclose(moved, out[perm])
    order = torch.randperm(len(EDGES))
    assert torch.allclose(conv(x, relation, EDGE_INDEX[:, order], EDGE_TYPE[order]), out)


def test_relation_reflection_conv_state_dict_and_reset():
    conv, other = RelationReflectionConv(4).double(), RelationReflectionConv(4).double()
    assert str(conv) == "RelationReflectionConv(4)"
    x, relation = inputs()
    args = (x, relation, EDGE_INDEX, EDGE_TYPE)
    assert not torch.equal(conv(*args), other(*args))
    other.load_state_dict(conv.state_dict())
    assert torch.equal(conv(*args), other(*args))
    other.reset_parameters()
    assert not torch.equal(conv(*args), other(*args))


def test_relation_reflection_conv_of_some_nodes():
    conv = RelationReflectionConv(4).double()
    x, relation = inputs()
    nodes = torch.tensor([2, 4, 1])
    some = conv(x, relation, EDGE_INDEX, EDGE_TYPE, nodes)
    whole = conv(x, relation, EDGE_INDEX, EDGE_TYPE)[nodes]
    assert torch.allclose(some, whole)
    wanted = (x, relation, conv.att)
    upstream = torch.randn_like(some)
    grads = torch.autograd.grad(some, wanted, upstream)
    for grad, other in zip(grads, torch.autograd.grad(whole, wanted, upstream), strict=True):
        assert torch.allclose(grad, other)
