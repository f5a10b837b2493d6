"""The edges that structure encoders pass messages over, in the forms that need sorting once."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from pyg_mmea.utils.sparse import SparsePattern

_CACHE = WeakTensorKeyDictionary()  # edge_index -> (version, edge_type, sizes, graph)


@dataclass
class MessageGraph:
    """Typed edges, sorted by the node that receives, with their sparse patterns.

    Args:
        neighbors (SparsePattern): Receiving node by sending node :math:`(N, N)`.
        relations (SparsePattern): Receiving node by relation :math:`(N, R)`, same order of edges.
        senders (SparsePattern): Each (sending node, relation) once :math:`(N, R)`.
        sender_index (torch.Tensor): For each edge, its place in :obj:`senders` :math:`(E)`.
        mean (torch.Tensor): One over the number of edges of the receiving node :math:`(E)`.
    """

    neighbors: SparsePattern
    relations: SparsePattern
    senders: SparsePattern
    sender_index: Tensor
    mean: Tensor

    @property
    def edge_type(self) -> Tensor:
        """Relation of each edge, in the order of the patterns."""
        return self.relations.col

    @cached_property
    def looped(self) -> SparsePattern:
        """Each pair of neighbours once, and each node with itself :math:`(N, N)`."""
        num_nodes = self.neighbors.size[0]
        loop = torch.arange(num_nodes, device=self.neighbors.row.device)
        dst = torch.cat([self.neighbors.row, loop])
        key = torch.unique(dst * num_nodes + torch.cat([self.neighbors.col, loop]))
        return SparsePattern(key // num_nodes, key % num_nodes, self.neighbors.size)

    @classmethod
    def build(
        cls, edge_index: Tensor, edge_type: Tensor, num_nodes: int, num_relations: int
    ) -> "MessageGraph":
        """Sorts the edges; an edge that occurs more than once counts once."""
        src, dst = edge_index
        key = torch.unique((dst * num_nodes + src) * num_relations + edge_type)
        rel = key % num_relations
        dst, src = key // num_relations // num_nodes, key // num_relations % num_nodes
        sender, sender_index = torch.unique(src * num_relations + rel, return_inverse=True)
        degree = torch.bincount(dst, minlength=num_nodes)
        by_relation = (num_nodes, num_relations)
        return cls(
            neighbors=SparsePattern(dst, src, (num_nodes, num_nodes)),
            relations=SparsePattern(dst, rel, by_relation),
            senders=SparsePattern(sender // num_relations, sender % num_relations, by_relation),
            sender_index=sender_index,
            mean=1 / degree[dst].float(),
        )


def message_graph(
    edge_index: Tensor, edge_type: Tensor | None, num_nodes: int, num_relations: int = 1
) -> MessageGraph:
    """Returns the sorted form of a graph, built once for as long as :obj:`edge_index` lives.

    Args:
        edge_index (torch.Tensor): Sending and receiving nodes :math:`(2, E)`.
        edge_type (torch.Tensor, optional): Relations :math:`(E)`; all the same if :obj:`None`.
        num_nodes (int): Number of nodes :math:`N`.
        num_relations (int, optional): Number of relations :math:`R`. (default: :obj:`1`)

    Raises:
        ValueError: If an edge names a relation or a node that does not exist.
    """
    version = None if edge_type is None else edge_type._version
    state = (edge_index._version, version, num_nodes, num_relations)
    cached = _CACHE.get(edge_index)
    if cached is not None and cached[0] == state and cached[1] is edge_type:
        return cached[2]
    given_type = edge_type
    if edge_type is None:
        edge_type = edge_index.new_zeros(edge_index.size(1))
    for name, index, size in (
        ("edge_type", edge_type, num_relations),
        ("edge_index", edge_index, num_nodes),
    ):
        if index.numel() > 0 and not 0 <= int(index.min()) <= int(index.max()) < size:
            raise ValueError(f"'{name}' needs to be in [0, {size})")
    graph = MessageGraph.build(edge_index, edge_type, num_nodes, num_relations)
    _CACHE[edge_index] = (state, given_type, graph)
    return graph


def bidirectional(
    edge_index: Tensor, edge_type: Tensor, num_relations: int
) -> tuple[Tensor, Tensor]:
    """Adds the inverse of each triple, with relation :obj:`edge_type + num_relations`.

    Shapes:
        - **input:** :math:`(2, E)`, :math:`(E)`
        - **output:** :math:`(2, 2E)`, :math:`(2E)`
    """
    edge_index = torch.cat([edge_index, edge_index.flip(0)], dim=1)
    return edge_index, torch.cat([edge_type, edge_type + num_relations])
