"""Propagation of known links over both graphs, without anything learned."""

from collections.abc import Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_mmea.nn.message_graph import MessageGraph, message_graph
from pyg_mmea.typing import SIDES
from pyg_mmea.utils.rows import by_rows
from pyg_mmea.utils.similarity import at_least_single
from pyg_mmea.utils.sparse import spmm

Edges = tuple[Tensor, Tensor]

_NOISE = 1e-4


class LinkPropagation(torch.nn.Module):
    r"""Describes an entity by the known links around it, in the manner of `"LightEA: A Scalable,
    Robust, and Interpretable Entity Alignment Framework via Three-view Label Propagation"
    <https://arxiv.org/abs/2210.10436>`_.

    Both ends of a link get the same random vector, as long as the link's weight, all other entities
    zeros. Then vectors travel, each view scaled to length one:

    .. math::
        \mathbf{e}_i = \sum_{(j, r) \in \mathcal{N}(i)} \log \frac{|E|}{|E_r|} \,
        \mathbf{x}_j, \qquad
        \mathbf{r} = \sum_{j \, \text{sends along} \, r} \mathbf{x}_j, \qquad
        \mathbf{f}_i = \sum_{(j, r) \in \mathcal{N}(i)} \mathbf{r}, \qquad
        \mathbf{x}_i \leftarrow \mathbf{e}_i + \tfrac{1}{2} \mathbf{f}_i

    The embedding is the concatenation of :math:`\mathbf{e}` and :math:`\mathbf{f}` of all hops,
    each without its component along the entity's own vector: what comes back to where it started
    would make a link evidence for itself. It takes no training, so its mistakes are not those of a
    trained encoder. Unlike LightEA there is no Sinkhorn iteration here: see
    :func:`~pyg_mmea.utils.sinkhorn_topk`.

    Args:
        num_relations (int): Number of relations, inverse ones included.
        channels (int): Size :math:`D` of the random vectors; the inner products of different links
            are noise of size :math:`1 / \sqrt{D}`. (default: :obj:`512`)
        num_layers (int): Number of hops :math:`L`. (default: :obj:`2`)

    Shapes:
        - **input:** edge indices :math:`(2, E)` and edge types :math:`(E)` of each graph, links
          :math:`(2, A)`
        - **output:** :math:`(N, 2 L D)` for each graph, rows of length one, or zeros where no link
          is near
    """

    def __init__(self, num_relations: int, channels: int = 512, num_layers: int = 2) -> None:
        super().__init__()
        self.num_relations = num_relations
        self.channels = channels
        self.num_layers = num_layers
        self.num_parts = 2 * num_layers
        self.out_channels = self.num_parts * channels

    @torch.no_grad()
    def forward(
        self,
        edges: Mapping[str, Edges],
        num_nodes: Mapping[str, int],
        links: Tensor,
        weight: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Embeds the entities of both graphs.

        Args:
            edges (dict): Edge indices and edge types of each graph.
            num_nodes (dict): Number of entities of each graph.
            links (torch.Tensor): Source and target ids :math:`(2, A)`.
            weight (torch.Tensor, optional): How sure each link is, in [0, 1] :math:`(A)`.
                (default: :obj:`None`, which means one)
        """
        generator = torch.Generator().manual_seed(0)  # any two calls agree on the vectors
        codes = torch.randn(links.size(1), self.channels, generator=generator)
        device = edges["source"][0].device
        links, codes = links.to(device), F.normalize(codes, dim=1).to(device)
        if weight is not None:
            codes = codes * weight.to(codes).view(-1, 1)
        labels: dict[str, Tensor] = {}
        for ends, side in zip(links, SIDES, strict=True):
            zeros = codes.new_zeros(num_nodes[side], self.channels)
            labels[side] = zeros.index_add_(0, ends, codes)
        return self.spread(edges, labels)

    @torch.no_grad()
    def spread(
        self, edges: Mapping[str, Edges], labels: Mapping[str, Tensor], keep_own: bool = False
    ) -> dict[str, Tensor]:
        """Sends any vectors over both graphs, such as features that entities of both have.

        Args:
            edges (dict): Edge indices and edge types of each graph.
            labels (dict): One vector an entity, zeros where there is none :math:`(N, D)`.
            keep_own (bool): Puts the entity's own vector beside what reaches it, which keeps its
                component along that vector; the output is :math:`(N, (2 L + 1) D)` then.
                (default: :obj:`False`)
        """
        out = {}
        for side, (edge_index, edge_type) in edges.items():
            x = at_least_single(labels[side])
            graph = message_graph(edge_index, edge_type, x.size(0), self.num_relations)
            out[side] = self._walk(graph, x, F.normalize(x, dim=1), keep_own)
        return out

    def _walk(self, graph: MessageGraph, x: Tensor, own: Tensor, keep_own: bool) -> Tensor:
        count = torch.bincount(graph.edge_type, minlength=self.num_relations).clamp(min=1)
        rarity = torch.log(graph.edge_type.numel() / count.to(x.dtype))[graph.edge_type]
        one = x.new_ones(max(graph.edge_type.numel(), graph.members.num_entries))
        views = []
        for _ in range(self.num_layers):
            near = spmm(graph.neighbors, rarity, x)
            relation = spmm(graph.members, one[: graph.members.num_entries], x)  # [R, D]
            relation = F.normalize(relation, dim=1)
            along = spmm(graph.relations, one[: graph.edge_type.numel()], relation)
            views += [near, along]
            x = by_rows(_next, near, along)
        return by_rows(partial(_joined, keep_own), own, *views)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.num_relations}, channels={self.channels}, "
            f"num_layers={self.num_layers})"
        )


def _next(near: Tensor, along: Tensor) -> Tensor:
    return F.normalize(F.normalize(near, dim=1) + F.normalize(along, dim=1) / 2, dim=1)


def _joined(keep_own: bool, own: Tensor, *views: Tensor) -> Tensor:
    views = tuple(F.normalize(view, dim=1) for view in views)
    parts = [own, *views] if keep_own else [_without(view, own) for view in views]
    return F.normalize(torch.cat(parts, dim=1), dim=1)


def _without(x: Tensor, direction: Tensor) -> Tensor:
    """Takes the component along a direction out of each row of length one."""
    rest = x - (x * direction).sum(dim=1, keepdim=True) * direction
    # Where nothing else was there, float noise is left, and scaling would make it a view.
    return rest.masked_fill(rest.norm(dim=1, keepdim=True) < _NOISE, 0.0)
