"""Structure encoders: modules called as ``encoder(x, edge_index, edge_type)``."""

import copy
import inspect
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
import torch_geometric.nn.models
from torch import Tensor
from torch.nn import Linear, ModuleList, Parameter

from pyg_mmea.nn.attention import AdaptorSelfAttention
from pyg_mmea.nn.conv import DiagGATConv, RelationReflectionConv
from pyg_mmea.nn.encoder.relational import CompGCNEncoder, RGCNEncoder
from pyg_mmea.nn.message_graph import message_graph
from pyg_mmea.resolver import resolve
from pyg_mmea.utils.rows import by_rows
from pyg_mmea.utils.similarity import unit_rows
from pyg_mmea.utils.sparse import spmm


class GATEncoder(torch.nn.Module):
    r"""The structure encoder of `"Pseudo-Label Calibration Semi-supervised Multi-Modal Entity
    Alignment" <https://arxiv.org/abs/2403.01203>`_: graph attention with diagonal weights, then
    the adaptor self-attention module (ASM).

    The self-attention attends over the hops of one entity, that is over the input and the output
    of every layer, :math:`L + 1` tokens. It can so weigh near against far neighbourhoods entity
    by entity, and costs :math:`O(N L^2)`: nothing is :math:`N \times N`. The released code takes
    the softmax over an axis of size one, so its attention is a constant.

    Args:
        channels (int): Size of input and output. (paper: 300)
        num_layers (int, optional): Number of layers :math:`L`. (default: :obj:`2`)
        heads (int, optional): Heads of the graph attention and of the self-attention.
            (default: :obj:`2`)
        dropout (float, optional): Dropout probability between layers. (default: :obj:`0.0`)
        adaptor (bool, optional): If set to :obj:`False`, the output is that of the last layer, as
            in MCLEA and MEAformer. (default: :obj:`True`)

    Shapes:
        - **input:** entity vectors :math:`(N, D)`, edge indices :math:`(2, E)`
        - **output:** :math:`(N, D)`
    """

    def __init__(
        self,
        channels: int,
        num_layers: int = 2,
        heads: int = 2,
        dropout: float = 0.0,
        adaptor: bool = True,
    ) -> None:
        super().__init__()
        self.channels = self.out_channels = channels
        self.num_layers = num_layers
        self.dropout = dropout
        self.convs = ModuleList(DiagGATConv(channels, heads) for _ in range(num_layers))
        self.attention: AdaptorSelfAttention | None = None
        if not adaptor:
            return
        small = max(channels // 8 // heads, 1) * heads
        self.attention = AdaptorSelfAttention(
            channels, heads, hidden_channels=small, bottleneck_channels=small
        )

    def reset_parameters(self) -> None:
        """Resets all learnable parameters."""
        for conv in self.convs:
            conv.reset_parameters()  # type: ignore[operator]
        if self.attention is not None:
            self.attention.reset_parameters()

    def forward(self, x: Tensor, edge_index: Tensor, nodes: Tensor | None = None) -> Tensor:
        """Embeds all entities, or only :obj:`nodes`."""
        hops = [take(x, nodes)]
        for conv in self.convs[:-1]:
            x = F.dropout(F.elu(conv(x, edge_index)), self.dropout, self.training)
            hops.append(take(x, nodes))
        hops += [conv(x, edge_index, nodes) for conv in self.convs[-1:]]
        if self.attention is None:
            return hops[-1]
        return self.attention(torch.stack(hops, dim=1))[:, -1]  # [N, L + 1, D] -> [N, D]

    def __repr__(self) -> str:
        adaptor = "" if self.attention is not None else ", adaptor=False"
        return f"{self.__class__.__name__}({self.channels}, num_layers={self.num_layers}{adaptor})"


class RelationReflectionEncoder(torch.nn.Module):
    r"""The encoder of `"Boosting the Speed of Entity Alignment 10x: Dual Attention Matching Network
    with Normalized Hard Sample Mining" <https://arxiv.org/abs/2103.15452>`_ (Dual-AMN), for any
    features of entities.

    Input and layer outputs are concatenated, :math:`\mathbf{h}_i = \mathbf{x}^{(0)}_i \Vert \dots
    \Vert \mathbf{x}^{(L)}_i`, and compared with proxy vectors :math:`\mathbf{q}` that both graphs
    share (eq. 6-9), which lets entities of one graph feel the other one without a link:

    .. math::
        \mathbf{h}^p_i = \mathbf{h}_i - \sum_k \beta_{ik} \mathbf{q}_k, \quad
        \beta_{ik} = \mathrm{softmax}_k \cos(\mathbf{h}_i, \mathbf{q}_k), \quad
        \mathbf{g}_i = \sigma(\mathbf{W} \mathbf{h}^p_i + \mathbf{b}), \quad
        \mathbf{h}^{\prime}_i = \mathbf{g}_i \odot \mathbf{h}_i +
        (1 - \mathbf{g}_i) \odot \mathbf{h}^p_i

    An entity that nothing is known of, neither its input nor any edge, stays zero.

    Args:
        channels (int): Size :math:`D` of the input.
        num_relations (int): Number of relations, inverse ones included.
        num_layers (int, optional): Number of layers :math:`L`. (default: :obj:`2`)
        num_proxies (int, optional): Number of proxy vectors; zero leaves the gate out.
            (default: :obj:`64`)
        smooth_input (bool, optional): If set to :obj:`True`, the input is replaced by the mean
            over the neighbours, so that entities that have a vector of their own cannot be told
            apart by it. (default: :obj:`False`)

    Shapes:
        - **input:** features :math:`(N, D)`, edge indices :math:`(2, E)`, edge types :math:`(E)`
        - **output:** :math:`(N, (L + 1) D)`
    """

    def __init__(
        self,
        channels: int,
        num_relations: int,
        num_layers: int = 2,
        num_proxies: int = 64,
        smooth_input: bool = False,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.num_relations = num_relations
        self.num_layers = num_layers
        self.num_proxies = num_proxies
        self.smooth_input = smooth_input
        self.num_parts = num_layers + 1
        self.out_channels = channels * self.num_parts
        self.relation = Parameter(torch.empty(num_relations, channels))
        self.convs = ModuleList(RelationReflectionConv(channels) for _ in range(num_layers))
        if num_proxies > 0:
            self.proxy = Parameter(torch.empty(num_proxies, self.out_channels))
            self.gate = Linear(self.out_channels, self.out_channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Resets all learnable parameters."""
        torch.nn.init.xavier_uniform_(self.relation)
        for conv in self.convs:
            conv.reset_parameters()  # type: ignore[operator]
        if self.num_proxies > 0:
            torch.nn.init.xavier_uniform_(self.proxy)
            self.gate.reset_parameters()

    def forward(
        self, x: Tensor, edge_index: Tensor, edge_type: Tensor, nodes: Tensor | None = None
    ) -> Tensor:
        """Embeds all entities, or only :obj:`nodes`."""
        if self.smooth_input:
            graph = message_graph(edge_index, edge_type, x.size(0), self.num_relations)
            x = torch.tanh(spmm(graph.neighbors, graph.mean.to(x.dtype), x))
        hops = [take(x, nodes)]
        for conv in self.convs[:-1]:
            x = conv(x, self.relation, edge_index, edge_type)
            hops.append(take(x, nodes))
        # Nobody else needs the output of the last layer.
        hops += [conv(x, self.relation, edge_index, edge_type, nodes) for conv in self.convs[-1:]]
        return by_rows(self._join, *hops)

    def _join(self, *hops: Tensor) -> Tensor:
        out = torch.cat(hops, dim=1)  # [N, (L + 1) D]
        if self.num_proxies == 0:
            return out
        score = unit_rows(out) @ unit_rows(self.proxy).t()  # [N, P]
        apart = out - score.softmax(dim=-1) @ self.proxy
        gate = torch.sigmoid(self.gate(apart))
        # Proxies alone would make all entities alike that nothing is known of.
        known = out.detach().any(dim=1, keepdim=True)
        return (apart + gate * (out - apart)).masked_fill(~known, 0.0)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.channels}, num_relations={self.num_relations}, "
            f"num_layers={self.num_layers})"
        )


class StructureEncoder(torch.nn.Module):
    """Calls any encoder as ``encoder(x, edge_index, edge_type)``, or without the edge types where
    it has no argument of that name. The rows of :obj:`nodes` are taken by the encoder itself if it
    can, else from its output.

    Args:
        encoder (torch.nn.Module): A module such as :class:`torch_geometric.nn.GraphSAGE` or
            :class:`torch_geometric.nn.Sequential`, with an attribute :obj:`out_channels`, which
            the latter needs to be given. One whose output is a concatenation, such as of its
            layers, says by :obj:`num_parts` of how many parts of equal size.

    Raises:
        ValueError: If :obj:`encoder` does not say how large its output is, or if that is no
            multiple of its number of parts.
    """

    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        if not isinstance(getattr(encoder, "out_channels", None), int):
            raise ValueError(
                f"'encoder' needs an attribute 'out_channels' (got {type(encoder).__name__})"
            )
        self.encoder = encoder
        self.out_channels: int = encoder.out_channels  # type: ignore[assignment]
        self.num_parts: int = getattr(encoder, "num_parts", 1)
        if self.num_parts < 1 or self.out_channels % self.num_parts != 0:
            raise ValueError(
                f"'num_parts' of the encoder needs to divide its 'out_channels' "
                f"{self.out_channels} (got {self.num_parts})"
            )
        names = _argument_names(encoder)
        self.uses_edge_type = "edge_type" in names
        self.uses_nodes = "nodes" in names

    def reset_parameters(self) -> None:
        """Resets all learnable parameters, if the encoder can."""
        if hasattr(self.encoder, "reset_parameters"):
            self.encoder.reset_parameters()  # type: ignore[operator]

    def forward(
        self, x: Tensor, edge_index: Tensor, edge_type: Tensor, nodes: Tensor | None = None
    ) -> Tensor:
        """Embeds all entities, or only :obj:`nodes`."""
        kwargs = {"edge_type": edge_type} if self.uses_edge_type else {}
        if self.uses_nodes:
            return self.encoder(x, edge_index, **kwargs, nodes=nodes)
        return take(self.encoder(x, edge_index, **kwargs), nodes)


class ParallelEncoder(torch.nn.Module):
    r"""Puts the outputs of several structure encoders for the same input side by side: those that
    err in different places rank better together than alone, and their parts are weighed apart.

    Args:
        encoders (Sequence[StructureEncoder]): The encoders, whose parts all have one size.

    Shapes:
        - **input:** entity vectors :math:`(N, D)`, edge indices :math:`(2, E)`, edge types
          :math:`(E)`
        - **output:** :math:`(N, \sum_e D_e)`

    Raises:
        ValueError: If there is no encoder, or parts differ in size.
    """

    def __init__(self, encoders: Sequence[StructureEncoder]) -> None:
        super().__init__()
        sizes = [each.out_channels // each.num_parts for each in encoders]
        if len(set(sizes)) != 1:
            raise ValueError(f"'encoders' need to have parts of one size (got {sizes})")
        self.encoders = ModuleList(encoders)
        self.out_channels = sum(each.out_channels for each in encoders)
        self.num_parts = sum(each.num_parts for each in encoders)

    def reset_parameters(self) -> None:
        """Resets all learnable parameters."""
        for encoder in self.encoders:
            encoder.reset_parameters()  # type: ignore[operator]

    def forward(
        self, x: Tensor, edge_index: Tensor, edge_type: Tensor, nodes: Tensor | None = None
    ) -> Tensor:
        """Embeds all entities, or only :obj:`nodes`."""
        return torch.cat([each(x, edge_index, edge_type, nodes) for each in self.encoders], dim=1)


def take(x: Tensor, nodes: Tensor | None) -> Tensor:
    """Returns the rows of some nodes, all where :obj:`nodes` is :obj:`None`."""
    return x if nodes is None else x.index_select(0, nodes)


def _argument_names(encoder: torch.nn.Module) -> list[str]:
    signature = getattr(encoder, "signature", None)  # of torch_geometric.nn.Sequential
    if signature is not None:
        return list(signature.param_dict)
    return list(inspect.signature(encoder.forward).parameters)


def structure_encoder(
    query: str | torch.nn.Module, channels: int, num_relations: int, num_layers: int = 2
) -> StructureEncoder:
    """Returns the structure encoder that :obj:`query` stands for.

    Args:
        query (str or torch.nn.Module): A name: :obj:`"relation_reflection"`, :obj:`"gat"` and
            :obj:`"diag_gat"` (:class:`GATEncoder` with and without its adaptor), :obj:`"rgcn"`
            (:class:`RGCNEncoder`), :obj:`"compgcn"` (:class:`CompGCNEncoder`), or
            :obj:`"GATv2"`, :obj:`"GCN"`, :obj:`"GraphSAGE"`, :obj:`"GIN"`, :obj:`"EdgeCNN"` of
            :mod:`torch_geometric.nn.models`, whose messages are a tensor :math:`(E, D)`; the path
            of a class that takes :obj:`in_channels`, :obj:`hidden_channels`, :obj:`out_channels`
            and :obj:`num_layers` (such as :obj:`"torch_geometric.nn.GAT"`); several of these with
            plus signs between them (:class:`ParallelEncoder`); or a module, of which the model
            gets a copy. Names and paths draw new weights at every call. A module keeps
            those that it has, as it may be pretrained, so that every seed starts from the same.
        channels (int): Size of the entity vectors.
        num_relations (int): Number of relations, inverse ones included.
        num_layers (int, optional): Number of layers. (default: :obj:`2`)

    Raises:
        ValueError: If nothing matches.
    """
    if isinstance(query, torch.nn.Module):
        return StructureEncoder(copy.deepcopy(query))  # two models do not share it
    if isinstance(query, str) and "+" in query:
        sizes = channels, num_relations, num_layers
        encoders = [structure_encoder(each.strip(), *sizes) for each in query.split("+")]
        return StructureEncoder(ParallelEncoder(encoders))
    choices: dict[str, Callable[..., torch.nn.Module]] = {
        "relation_reflection": lambda **_: RelationReflectionEncoder(
            channels, num_relations, num_layers, smooth_input=True
        ),
        "gat": lambda **_: GATEncoder(channels, num_layers),
        "diag_gat": lambda **_: GATEncoder(channels, num_layers, adaptor=False),
        "rgcn": lambda **_: RGCNEncoder(channels, num_relations, num_layers),
        "compgcn": lambda **_: CompGCNEncoder(channels, num_relations, num_layers),
        "GATv2": partial(torch_geometric.nn.models.GAT, v2=True),
    }
    for name in ("GCN", "GraphSAGE", "GIN", "EdgeCNN"):
        choices[name] = getattr(torch_geometric.nn.models, name)
    encoder = resolve(
        query,
        choices,
        torch.nn.Module,
        in_channels=channels,
        hidden_channels=channels,
        out_channels=channels,
        num_layers=num_layers,
    )
    return StructureEncoder(encoder)
