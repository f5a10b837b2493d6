"""Structure encoders that know relations, of layers whose parameters thousands of them can have."""

import torch
from torch import Tensor
from torch.nn import Linear, ModuleList, Parameter

from pyg_mmea.nn.conv import BasisRGCNConv, CompGCNConv


class RGCNEncoder(torch.nn.Module):
    r"""Layers of :class:`~pyg_mmea.nn.BasisRGCNConv`, with a tanh between two of them.

    Args:
        channels (int): Size :math:`D` of input and output.
        num_relations (int): Number of relations, inverse ones included.
        num_layers (int, optional): Number of layers. (default: :obj:`2`)
        num_bases (int, optional): Number of bases. (default: :obj:`4`)

    Shapes:
        - **input:** features :math:`(N, D)`, edge indices :math:`(2, E)`, edge types :math:`(E)`
        - **output:** :math:`(N, D)`
    """

    def __init__(
        self, channels: int, num_relations: int, num_layers: int = 2, num_bases: int = 4
    ) -> None:
        super().__init__()
        self.channels = self.out_channels = channels
        self.num_relations = num_relations
        self.num_layers = num_layers
        self.convs = ModuleList(
            BasisRGCNConv(channels, num_relations, num_bases) for _ in range(num_layers)
        )

    def reset_parameters(self) -> None:
        """Resets all learnable parameters."""
        for conv in self.convs:
            conv.reset_parameters()  # type: ignore[operator]

    def forward(
        self, x: Tensor, edge_index: Tensor, edge_type: Tensor, nodes: Tensor | None = None
    ) -> Tensor:
        """Embeds all entities, or only :obj:`nodes`."""
        for conv in self.convs[:-1]:
            x = torch.tanh(conv(x, edge_index, edge_type))
        return self.convs[-1](x, edge_index, edge_type, nodes)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.channels}, num_relations={self.num_relations}, "
            f"num_layers={self.num_layers})"
        )


class CompGCNEncoder(torch.nn.Module):
    r"""Layers of :class:`~pyg_mmea.nn.CompGCNConv`, with a tanh between two of them; relations go
    from layer to layer by a linear map.

    Args:
        channels (int): Size :math:`D` of input, output and relations.
        num_relations (int): Number of relations, inverse ones included.
        num_layers (int, optional): Number of layers. (default: :obj:`2`)

    Shapes:
        - **input:** features :math:`(N, D)`, edge indices :math:`(2, E)`, edge types :math:`(E)`
        - **output:** :math:`(N, D)`
    """

    def __init__(self, channels: int, num_relations: int, num_layers: int = 2) -> None:
        super().__init__()
        self.channels = self.out_channels = channels
        self.num_relations = num_relations
        self.num_layers = num_layers
        self.relation = Parameter(torch.empty(num_relations, channels))
        self.convs = ModuleList(CompGCNConv(channels) for _ in range(num_layers))
        self.lins = ModuleList(
            Linear(channels, channels, bias=False) for _ in range(num_layers - 1)
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Resets all learnable parameters."""
        torch.nn.init.xavier_uniform_(self.relation)
        for layer in (*self.convs, *self.lins):
            layer.reset_parameters()

    def forward(
        self, x: Tensor, edge_index: Tensor, edge_type: Tensor, nodes: Tensor | None = None
    ) -> Tensor:
        """Embeds all entities, or only :obj:`nodes`."""
        relation: Tensor = self.relation
        for conv, lin in zip(self.convs[:-1], self.lins, strict=True):
            x = torch.tanh(conv(x, relation, edge_index, edge_type))
            relation = lin(relation)
        return self.convs[-1](x, relation, edge_index, edge_type, nodes)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.channels}, num_relations={self.num_relations}, "
            f"num_layers={self.num_layers})"
        )
