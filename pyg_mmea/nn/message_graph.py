"""The edges that structure encoders pass messages over, in the forms that need sorting once."""

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from pyg_mmea.utils.sparse import SparsePattern

# edge_index -> for typed and untyped edges, what the graph was built of, and the graph
_CACHE = WeakTensorKeyDictionary()


@dataclass
class MessageGraph:
    """Typed edges, sorted by the node that receives, with their sparse patterns.

    All :math:`N` nodes receive, or the :math:`K` nodes that :meth:`at` was called with.

    Args:
        neighbors (SparsePattern): Receiving node by sending node :math:`(N, N)`.
        relations (SparsePattern): Receiving node by relation :math:`(N, R)`, same order of edges.
        senders (SparsePattern): Each (sending node, relation) once :math:`(N, R)`.
        sender_index (torch.Tensor): For each edge, its place in :obj:`senders` :math:`(E)`.
        mean (torch.Tensor): One over the number of edges of the receiving node, in double
            precision :math:`(E)`.
    """

    neighbors: SparsePattern
    relations: SparsePattern
    senders: SparsePattern
    sender_index: Tensor
    mean: Tensor
    _parts: WeakTensorKeyDictionary = field(default_factory=WeakTensorKeyDictionary, repr=False)

    @property
    def edge_type(self) -> Tensor:
        """Relation of each edge, in the order of the patterns."""
        return self.relations.col

    @cached_property
    @torch.inference_mode(False)  # or what a validation builds could not be trained with
    def looped(self) -> SparsePattern:
        """Each pair of neighbours once, and each node with itself :math:`(N, N)`."""
        num_nodes = self.neighbors.size[0]
        loop = torch.arange(num_nodes, device=self.neighbors.row.device)
        dst = torch.cat([self.neighbors.row, loop])
        key = torch.unique(dst * num_nodes + torch.cat([self.neighbors.col, loop]))
        return SparsePattern(key // num_nodes, key % num_nodes, self.neighbors.size)

    @cached_property
    @torch.inference_mode(False)
    def members(self) -> SparsePattern:
        """Relation by node that sends along it, the transpose of :obj:`senders` :math:`(R, N)`."""
        order = self.senders.order
        return SparsePattern(
            self.senders.col[order], self.senders.row[order], self.senders.size[::-1]
        )

    def at(self, nodes: Tensor | None) -> "MessageGraph":
        """Returns the edges that some nodes receive, who are numbered anew, kept for as long as
        :obj:`nodes` lives; all edges where it is :obj:`None`.

        Args:
            nodes (torch.Tensor, optional): Distinct nodes, not to be changed in place :math:`(K)`.
        """
        if nodes is None:
            return self
        part = self._parts.get(nodes)
        if part is None:
            part = self._parts[nodes] = self._at(nodes)
        return part

    @torch.inference_mode(False)
    def _at(self, nodes: Tensor) -> "MessageGraph":
        neighbors, place = self.neighbors.select_rows(nodes)
        relations, _ = self.relations.select_rows(nodes)
        used = torch.zeros(self.senders.num_entries, dtype=torch.bool, device=nodes.device)
        used[self.sender_index[place]] = True
        index = (used.cumsum(0) - 1)[self.sender_index[place]]
        senders = SparsePattern(self.senders.row[used], self.senders.col[used], self.senders.size)
        return MessageGraph(neighbors, relations, senders, index, self.mean[place])

    def looped_at(self, nodes: Tensor | None) -> SparsePattern:
        """Returns :attr:`looped` for some receiving nodes, as :meth:`at` does."""
        return self.looped if nodes is None else self.looped.select_rows(nodes)[0]

    @classmethod
    @torch.inference_mode(False)
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
            mean=1 / degree[dst].double(),
        )


def message_graph(
    edge_index: Tensor, edge_type: Tensor | None, num_nodes: int, num_relations: int = 1
) -> MessageGraph:
    """Returns the sorted form of a graph, built once for as long as :obj:`edge_index` lives.

    It is built again when the edges change in place, and kept apart for edges with and without
    types, so that layers of both kinds can share a graph. Tensors that are made in inference mode
    cannot tell that they changed; their graphs are built at each call.

    Args:
        edge_index (torch.Tensor): Sending and receiving nodes :math:`(2, E)`.
        edge_type (torch.Tensor, optional): Relations :math:`(E)`; all the same if :obj:`None`.
        num_nodes (int): Number of nodes :math:`N`.
        num_relations (int, optional): Number of relations :math:`R`. (default: :obj:`1`)

    Raises:
        ValueError: If an edge names a relation or a node that does not exist.
    """
    state = versions(edge_index, edge_type)
    if state is None:
        return _checked(edge_index, edge_type, num_nodes, num_relations)
    state = (*state, num_nodes, num_relations)
    slots = _CACHE.setdefault(edge_index, {})
    cached = slots.get(edge_type is None)
    if cached is not None and cached[0] == state and cached[1] is edge_type:
        return cached[2]
    graph = _checked(edge_index, edge_type, num_nodes, num_relations)
    slots[edge_type is None] = (state, edge_type, graph)
    return graph


def versions(*tensors: Tensor | None) -> tuple[int, ...] | None:
    """Returns how often each tensor was changed in place, :obj:`None` if one does not count."""
    given = [x for x in tensors if x is not None]
    if any(x.is_inference() for x in given):
        return None
    return tuple(x._version for x in given)


def _checked(
    edge_index: Tensor, edge_type: Tensor | None, num_nodes: int, num_relations: int
) -> MessageGraph:
    if edge_type is None:
        edge_type = edge_index.new_zeros(edge_index.size(1))
    for name, index, size in (
        ("edge_type", edge_type, num_relations),
        ("edge_index", edge_index, num_nodes),
    ):
        if index.numel() > 0 and not 0 <= int(index.min()) <= int(index.max()) < size:
            raise ValueError(f"'{name}' needs to be in [0, {size})")
    # Keys of edges outgrow 32 bits.
    return MessageGraph.build(edge_index.long(), edge_type.long(), num_nodes, num_relations)


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
