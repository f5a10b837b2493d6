import pytest
import torch
from torch.autograd import gradcheck
from torch_geometric.nn import RGCNConv

from pyg_mmea.nn import BasisRGCNConv

# sender, receiver, relation; one twice, parallel ones of two relations, a loop, node 4 has none
EDGES = [(0, 1, 2), (3, 1, 0), (0, 1, 2), (0, 1, 1), (2, 2, 1), (1, 0, 2), (4, 0, 2)]
EDGE_INDEX = torch.tensor([edge[:2] for edge in EDGES]).t().contiguous()
EDGE_TYPE = torch.tensor([edge[2] for edge in EDGES])


def plain_loop(conv, x):
    """The formula edge by edge, with the weight of each relation written out."""
    rows = []
    for i in range(x.size(0)):
        messages = []
        for src, dst, rel in sorted(set(EDGES)):
            if dst == i:
                weight = sum(
                    a * v for a, v in zip(conv.coefficient[:, rel], conv.basis, strict=True)
                )
                messages.append(x[src] @ weight)
        out = conv.lin.weight @ x[i] + conv.lin.bias
        rows.append(out + sum(messages) / len(messages) if messages else out)
    return torch.stack(rows)


@pytest.mark.parametrize("num_bases", [1, 3])
def test_basis_rgcn_conv_equals_plain_loop(num_bases):
    conv = BasisRGCNConv(4, 3, num_bases).double()
    x = torch.randn(5, 4, dtype=torch.double, requires_grad=True)
    out, expected = conv(x, EDGE_INDEX, EDGE_TYPE), plain_loop(conv, x)
    assert torch.allclose(out, expected)
    wanted, upstream = (x, *conv.parameters()), torch.randn_like(out)
    grads = torch.autograd.grad(out, wanted, upstream)
    for grad, other in zip(grads, torch.autograd.grad(expected, wanted, upstream), strict=True):
        assert grad.abs().sum() > 0
        assert torch.allclose(grad, other)


def test_basis_rgcn_conv_equals_that_of_pyg():
    conv, other = BasisRGCNConv(4, 3, 2), RGCNConv(4, 4, 3, num_bases=2, aggr="add")
    with torch.no_grad():
        other.weight.copy_(conv.basis)
        other.comp.copy_(conv.coefficient.t())
        other.root.copy_(conv.lin.weight.t())
        other.bias.copy_(conv.lin.bias)
    x, edge_index = torch.randn(4, 4), torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])  # degree one
    edge_type = torch.tensor([0, 2, 1, 2])
    assert torch.allclose(
        conv(x, edge_index, edge_type), other(x, edge_index, edge_type), atol=1e-6
    )


def test_basis_rgcn_conv_of_some_nodes_and_gradcheck():
    conv = BasisRGCNConv(4, 3).double()
    x = torch.randn(5, 4, dtype=torch.double, requires_grad=True)
    nodes = torch.tensor([4, 1])
    some = conv(x, EDGE_INDEX, EDGE_TYPE, nodes)
    assert torch.allclose(some, conv(x, EDGE_INDEX, EDGE_TYPE)[nodes])
    assert gradcheck(lambda x, _: conv(x, EDGE_INDEX, EDGE_TYPE), (x, conv.coefficient))


def test_basis_rgcn_conv_has_no_weight_a_relation():
    conv = BasisRGCNConv(16, 3000)
    assert str(conv) == "BasisRGCNConv(16, num_relations=3000, num_bases=4)"
    assert max(parameter.numel() for parameter in conv.parameters()) <= 4 * 3000
    before = {name: value.clone() for name, value in conv.state_dict().items()}
    conv.reset_parameters()
    assert all(not torch.equal(value, before[name]) for name, value in conv.state_dict().items())
    with pytest.raises(ValueError, match=r"'num_bases' needs to be at least 1 \(got 0\)"):
        BasisRGCNConv(4, 3, 0)
