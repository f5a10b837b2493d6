import torch
from torch.autograd import gradcheck

from pyg_mmea.nn import CompGCNConv

# sender, receiver, relation (2 and 3 are inverse ones); one edge twice, node 4 has none
EDGES = [(0, 1, 2), (3, 1, 0), (0, 1, 2), (0, 1, 1), (2, 2, 1), (1, 0, 3), (4, 0, 2)]
EDGE_INDEX = torch.tensor([edge[:2] for edge in EDGES]).t().contiguous()
EDGE_TYPE = torch.tensor([edge[2] for edge in EDGES])


def plain_loop(conv, x, relation):
    """The formula edge by edge."""
    rows = []
    for i in range(x.size(0)):
        messages = []
        for src, dst, rel in sorted(set(EDGES)):
            if dst == i:
                lin = conv.lin_written if rel < 2 else conv.lin_inverse
                messages.append(lin.weight @ (x[src] - relation[rel]))
        out = conv.lin.weight @ x[i] + conv.lin.bias
        rows.append(out + sum(messages) / len(messages) if messages else out)
    return torch.stack(rows)


def inputs():
    x = torch.randn(5, 4, dtype=torch.double, requires_grad=True)
    return x, torch.randn(4, 4, dtype=torch.double, requires_grad=True)


def test_comp_gcn_conv_equals_plain_loop():
    conv = CompGCNConv(4).double()
    x, relation = inputs()
    out, expected = conv(x, relation, EDGE_INDEX, EDGE_TYPE), plain_loop(conv, x, relation)
    assert torch.allclose(out, expected)
    wanted, upstream = (x, relation, *conv.parameters()), torch.randn_like(out)
    grads = torch.autograd.grad(out, wanted, upstream)
    for grad, other in zip(grads, torch.autograd.grad(expected, wanted, upstream), strict=True):
        assert grad.abs().sum() > 0
        assert torch.allclose(grad, other)


def test_comp_gcn_conv_of_some_nodes_and_gradcheck():
    conv = CompGCNConv(4).double()
    x, relation = inputs()
    nodes = torch.tensor([4, 1])
    some = conv(x, relation, EDGE_INDEX, EDGE_TYPE, nodes)
    assert torch.allclose(some, conv(x, relation, EDGE_INDEX, EDGE_TYPE)[nodes])
    assert gradcheck(lambda x, relation: conv(x, relation, EDGE_INDEX, EDGE_TYPE), (x, relation))


def test_comp_gcn_conv_repr_and_reset():
    conv = CompGCNConv(4)
    assert str(conv) == "CompGCNConv(4)"
    before = conv.lin_inverse.weight.clone()
    conv.reset_parameters()
    assert not torch.equal(conv.lin_inverse.weight, before)
