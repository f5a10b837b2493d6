import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck
from torch_geometric.nn import MessagePassing
from torch_geometric.utils import add_remaining_self_loops, coalesce, remove_self_loops, softmax

from pyg_mmea.nn import DiagGATConv

# (0, 1) occurs twice, node 2 has a loop of its own, node 4 has no edge.
EDGE_INDEX = torch.tensor([[0, 3, 0, 2, 1, 3], [1, 1, 1, 2, 0, 0]])


class PlainGAT(MessagePassing):
    """The same layer as ordinary message passing, with a message for every edge and head."""

    def __init__(self, conv):
        super().__init__(aggr="add", node_dim=0)
        self.conv = conv

    def forward(self, x, edge_index):
        edge_index, _ = remove_self_loops(coalesce(edge_index))
        edge_index, _ = add_remaining_self_loops(edge_index, num_nodes=x.size(0))
        weighted = x.unsqueeze(1) * self.conv.weight  # [N, H, D]
        return self.propagate(edge_index, x=weighted).mean(dim=1)

    def message(self, x_i, x_j, index):
        logit = (x_i * self.conv.att_dst).sum(-1) + (x_j * self.conv.att_src).sum(-1)
        alpha = softmax(F.leaky_relu(logit, self.conv.negative_slope), index)  # [E, H]
        return alpha.unsqueeze(-1) * x_j


def layer(dtype=torch.float64, **kwargs):
    conv = DiagGATConv(3, **kwargs).to(dtype)
    torch.nn.init.normal_(conv.weight)
    return conv


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_diag_gat_conv_equals_message_passing(heads, dtype):
    conv = layer(dtype, heads=heads, negative_slope=0.3)
    x = torch.randn(5, 3, dtype=dtype, requires_grad=True)
    out, expected = conv(x, EDGE_INDEX), PlainGAT(conv)(x, EDGE_INDEX)
    assert out.dtype == dtype
    assert out.size() == (5, 3)
    assert torch.allclose(out, expected, atol=1e-5)
    inputs = (x, *conv.parameters())
    upstream = torch.randn_like(out)
    grads = torch.autograd.grad(out, inputs, upstream)
    for grad, other in zip(grads, torch.autograd.grad(expected, inputs, upstream), strict=True):
        assert grad.abs().sum() > 0
        assert torch.allclose(grad, other, atol=1e-5)


def test_diag_gat_conv_gradcheck():
    conv = layer()
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x, *_: conv(x, EDGE_INDEX), (x, *conv.parameters()))


def test_diag_gat_conv_of_lonely_nodes_is_the_weighted_input():
    conv = layer()
    x = torch.randn(5, 3, dtype=torch.float64)
    none = torch.empty(2, 0, dtype=torch.long)
    assert torch.allclose(conv(x, none), x * conv.weight.mean(dim=0))


def test_diag_gat_conv_follows_a_permutation_of_the_nodes():
    conv = layer()
    x = torch.randn(5, 3, dtype=torch.float64)
    perm = torch.tensor([3, 0, 4, 2, 1])  # new -> old
    moved = conv(x[perm], perm.argsort()[EDGE_INDEX])
    assert torch.allclose(moved, conv(x, EDGE_INDEX)[perm])


def test_diag_gat_conv_dropout_acts_in_training_only():
    conv = layer(dropout=0.5)
    x = torch.randn(5, 3, dtype=torch.float64)
    assert not torch.equal(conv(x, EDGE_INDEX), conv(x, EDGE_INDEX))
    conv.eval()
    assert torch.equal(conv(x, EDGE_INDEX), conv(x, EDGE_INDEX))


def test_diag_gat_conv_state_dict_and_reset():
    conv, other = layer(), layer()
    assert str(conv) == "DiagGATConv(3, heads=2)"
    x = torch.randn(5, 3, dtype=torch.float64)
    assert not torch.equal(conv(x, EDGE_INDEX), other(x, EDGE_INDEX))
    other.load_state_dict(conv.state_dict())
    assert torch.equal(conv(x, EDGE_INDEX), other(x, EDGE_INDEX))
    other.reset_parameters()
    assert torch.equal(other.weight, torch.ones_like(other.weight))
    assert not torch.equal(other.att_src, conv.att_src)


def test_diag_gat_conv_of_some_nodes():
    conv = layer()
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    nodes = torch.tensor([4, 1, 2])
    some, whole = conv(x, EDGE_INDEX, nodes), conv(x, EDGE_INDEX)[nodes]
    assert torch.allclose(some, whole)
    inputs = (x, *conv.parameters())
    upstream = torch.randn_like(some)
    grads = torch.autograd.grad(some, inputs, upstream)
    for grad, other in zip(grads, torch.autograd.grad(whole, inputs, upstream), strict=True):
        assert torch.allclose(grad, other)
