from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE, TransformerConv

from pyg_mmea.datasets import FakeMMKG
from pyg_mmea.loss import InfoNCELoss
from pyg_mmea.nn import PCMEA, GATEncoder, RelationReflectionEncoder
from pyg_mmea.testing import LargestTensor, check_loss, check_model, check_structure_encoder


class Gated(torch.nn.Module):
    """Begins as the identity, as low-rank adaptors do."""

    out_channels = 16

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = torch.nn.Linear(16, 4), torch.nn.Linear(4, 16)
        torch.nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return x + self.up(self.down(x))


class UnitLength(torch.nn.Module):
    """Whose squares always add up to the same."""

    out_channels = 16

    def __init__(self) -> None:
        super().__init__()
        self.lin = torch.nn.Linear(16, 16)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return F.normalize(self.lin(x), dim=1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: GATEncoder(16),
        lambda: RelationReflectionEncoder(16, 6),
        lambda: GCN(16, 16, 2),
        lambda: GraphSAGE(16, 16, 2),
        lambda: GAT(16, 16, 2, out_channels=16, v2=True),
        lambda: GIN(16, 16, 2, norm="batch_norm"),  # has biases that cancel out
        lambda: TransformerConv(16, 16),  # and one in its softmax
        lambda: Gated(),
        lambda: UnitLength(),
    ],
    ids=lambda make: type(make()).__name__,
)
def test_encoders_that_are_fine(make: Callable[[], torch.nn.Module]) -> None:
    torch.manual_seed(0)
    encoder = make()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    check_structure_encoder(encoder, channels=16)
    for name, value in encoder.state_dict().items():  # it was a copy that was made double
        assert value.dtype == before[name].dtype
        assert torch.equal(value, before[name])


class Base(torch.nn.Module):
    out_channels = 8

    def __init__(self) -> None:
        super().__init__()
        self.lin = torch.nn.Linear(8, 8)

    def mean(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return torch.zeros_like(x).index_add(0, edge_index[1], x[edge_index[0]])


class Dense(Base):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = self.lin(x)
        return (x @ x.t()).softmax(dim=1) @ x


class WideDense(Dense):
    """Whose linear part is as large as the matrix of the smaller graph."""

    out_channels = 2000

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(x, edge_index).repeat(1, 250)


class OrderMatters(Base):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.lin(x) + torch.arange(x.size(0), dtype=x.dtype).view(-1, 1)


class Unused(Base):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.mean(x, edge_index)


class CancelsOut(Base):
    """Whose gradient of the shift is zero but for rounding."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = torch.nn.Parameter(torch.zeros(8))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = self.lin(x) + self.shift
        return x - x.mean(dim=0)


class ConstantAttention(Base):
    """A softmax over one entry is one, whatever the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = torch.nn.Parameter(torch.randn(8, 1))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = self.lin(x)
        return (x @ self.attention).softmax(dim=1) * x


class DividesByDegree(Base):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        degree = torch.bincount(edge_index[1], minlength=x.size(0)).view(-1, 1)
        return self.mean(self.lin(x), edge_index) / degree


class Boasts(Base):
    out_channels = 9

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.lin(x)


class Pooled(Base):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.lin(x).mean(dim=0, keepdim=True)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (Dense, "grow with the nodes"),
        (WideDense, "grow with the nodes"),
        (OrderMatters, "renumbering the nodes"),
        (Unused, r"'encoder.lin.weight' needs to get a gradient"),
        (ConstantAttention, "'encoder.attention' needs a gradient that is not zero everywhere"),
        (CancelsOut, "'encoder.shift' needs a gradient that is not zero everywhere"),
        (DividesByDegree, "needs to be finite"),
        (Boasts, r"'out_channels' needs to be the size of the output, 8 \(got 9\)"),
        (Pooled, r"needs to have shape \[1500, D\] \(got \[1, 8\]\)"),
    ],
)
def test_encoders_that_are_broken(encoder: type[torch.nn.Module], message: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(AssertionError, match=message):
        check_structure_encoder(encoder(), channels=8)


def test_losses_that_are_fine() -> None:
    torch.manual_seed(0)
    check_loss(InfoNCELoss())
    check_loss(lambda x_s, x_t: F.mse_loss(x_s, x_t))


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda x_s, x_t: (x_s - x_t).square().sum(dim=1), "needs to be a scalar"),
        (lambda x_s, x_t: (x_s - x_t).square().sum() / 0, "needs to be finite"),
        (lambda x_s, x_t: (x_s - x_t.detach()).square().sum(), "'x_t' needs to get a gradient"),
        (lambda x_s, x_t: (x_s - x_t)[0].square().sum(), "order of links"),
        (lambda x_s, x_t: -(x_s - x_t).square().mean(), "alike need to cost less"),
    ],
)
def test_losses_that_are_broken(loss: Callable[[Tensor, Tensor], Tensor], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_loss(loss)


class WrongSizes(PCMEA):
    @property
    def out_channels(self) -> dict[str, int]:
        return {**super().out_channels, "joint": 1}


class OddParts(PCMEA):
    @property
    def num_parts(self) -> dict[str, int]:
        return {"structure": 7}


class IgnoresNodes(PCMEA):
    def forward(self, data, nodes=None):
        return super().forward(data)


def test_models() -> None:
    data = FakeMMKG()[0]
    torch.manual_seed(0)
    check_model(PCMEA.from_data(data, channels=8, modality_channels=8), data)
    for broken, message in (
        (WrongSizes, "'out_channels' needs"),
        (OddParts, "'num_parts' of 'structure' needs"),
        (IgnoresNodes, "nodes. needs"),
    ):
        with pytest.raises(AssertionError, match=message):
            check_model(broken.from_data(data, channels=8, modality_channels=8), data)


def test_largest_tensor_knows_backward_passes() -> None:
    x = torch.randn(3, 1, requires_grad=True)
    loss = x.expand(3, 50).square().sum()
    with LargestTensor() as largest:
        _ = x + 1
    assert largest.num_entries == 3
    with LargestTensor() as largest:
        loss.backward()
    assert largest.num_entries == 150
