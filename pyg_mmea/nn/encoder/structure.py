"""Structure encoders: modules called as ``encoder(x, edge_index, edge_type)``."""

import copy
import inspect
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch_geometric.nn.models
from torch import Tensor
from torch.nn import ModuleList
from torch_geometric.nn.inits import reset

from pyg_mmea.nn.encoder.gat import GATEncoder
from pyg_mmea.nn.encoder.relation_reflection import RelationReflectionEncoder
from pyg_mmea.nn.encoder.relational import CompGCNEncoder, RGCNEncoder
from pyg_mmea.resolver import resolve
from pyg_mmea.utils.rows import take


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
        """Resets all learnable parameters; of an encoder without such a method, those of its
        layers."""
        reset(self.encoder)

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
            reset(encoder)

    def forward(
        self, x: Tensor, edge_index: Tensor, edge_type: Tensor, nodes: Tensor | None = None
    ) -> Tensor:
        """Embeds all entities, or only :obj:`nodes`."""
        return torch.cat([each(x, edge_index, edge_type, nodes) for each in self.encoders], dim=1)


def _argument_names(encoder: torch.nn.Module) -> list[str]:
    signature = getattr(encoder, "signature", None)  # of torch_geometric.nn.Sequential
    if signature is not None:
        return list(signature.param_dict)
    compiled = getattr(encoder, "_orig_mod", encoder)  # torch.compile hides the arguments
    return list(inspect.signature(compiled.forward).parameters)


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
