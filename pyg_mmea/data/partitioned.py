"""Mini-batches made of parts of a pair of graphs."""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.data.storage import NodeStorage

from pyg_mmea.data.alignment_data import AlignmentData
from pyg_mmea.typing import ANCHOR_EDGE, RELATION_EDGE, SIDES, SPLIT_MASKS
from pyg_mmea.utils.ranges import list_ranges


class _Sorted(NamedTuple):
    """Things sorted by the part they belong to: which, and where each part begins."""

    order: Tensor
    ptr: list[int]

    @classmethod
    def by(cls, part: Tensor, num_parts: int) -> "_Sorted":
        count = torch.bincount(part, minlength=num_parts)
        return cls(part.argsort(stable=True), [0, *count.cumsum(0).tolist()])

    def of(self, parts: list[int]) -> Tensor:
        return torch.cat([self.order[self.ptr[p] : self.ptr[p + 1]] for p in parts])


class PartitionedPair:
    r"""A pair of graphs whose parts make up mini-batches, as in `"Cluster-GCN: An Efficient
    Algorithm for Training Deep and Large Graph Convolutional Networks"
    <https://arxiv.org/abs/1905.07953>`_: several parts joined, with the edges between them.

    Edges are sorted by part once; a mini-batch then costs time in proportion to its own entities,
    and the edges that begin there. Dense features that lie in a memory-mapped file are read for
    the entities of the mini-batch only.

    .. code-block:: python

        part = partition_pair(data, links, num_parts=100)
        pair = PartitionedPair(data, part)
        for parts in torch.randperm(pair.num_parts).split(4):
            batch = pair.batch(parts)
            out = model(batch)

    Args:
        data (HeteroData): The pair, on the CPU.
        part (dict[str, torch.Tensor]): For each side, the part of each entity :math:`(N)`, such as
            :func:`partition_pair` returns.

    Raises:
        ValueError: If :obj:`part` does not have one part for each entity.
    """

    def __init__(self, data: HeteroData, part: dict[str, Tensor]) -> None:
        for side in SIDES:
            if part[side].size() != (data[side].num_nodes,):
                raise ValueError(
                    f"'part' needs to have shape [{data[side].num_nodes}] for the {side} entities "
                    f"(got {list(part[side].size())})"
                )
        self.data, self.part = data, part
        self.num_parts = num_parts = 1 + max(int(part[side].max()) for side in SIDES)
        self._nodes: dict[str, _Sorted] = {
            side: _Sorted.by(part[side], num_parts) for side in SIDES
        }
        self._place: dict[str, Tensor] = {side: _places(self._nodes[side]) for side in SIDES}
        self._edges = {
            side: _Sorted.by(part[side][data[edge].edge_index[0]], num_parts)
            for side, edge in RELATION_EDGE.items()
        }
        anchors = data[ANCHOR_EDGE].edge_label_index
        self._anchors = _Sorted.by(part["source"][anchors[0]], num_parts)
        self._crow: dict[tuple[str, str], Tensor] = {}  # where the rows of sparse features begin

    def batch(self, parts: Tensor) -> AlignmentData:
        """Joins parts to a mini-batch.

        Entities have new ids; those of the whole pair are in :obj:`n_id`. Features, masks, edges
        and links are sliced. Lists, such as those of URIs and names, are left out: moving a batch
        to a device would go through all of their texts.

        Args:
            parts (torch.Tensor): Which parts.
        """
        chosen = sorted(parts.tolist())
        starts = self._all_starts(chosen)
        batch = AlignmentData()
        for key, value in self.data._global_store.items():
            batch[key] = value
        for side, edge in RELATION_EDGE.items():
            n_id = self._nodes[side].of(chosen)
            batch[side].update(self._columns(side, n_id))
            store = self.data[edge]
            kept = self._edges[side].of(chosen)
            ends, inside = self._local((side, side), store.edge_index[:, kept], starts)
            batch[edge].edge_index = ends[:, inside]
            batch[edge].edge_type = store.edge_type[kept[inside]]
            batch[edge].relation_uri = store.relation_uri
        anchors = self.data[ANCHOR_EDGE]
        kept = self._anchors.of(chosen)
        ends, inside = self._local(SIDES, anchors.edge_label_index[:, kept], starts)
        batch[ANCHOR_EDGE].edge_label_index = ends[:, inside]
        for name in SPLIT_MASKS:
            batch[ANCHOR_EDGE][name] = anchors[name][kept[inside]]
        return batch

    def group(self, links: Tensor, group: Tensor) -> Tensor:
        """Returns the group that both ends of each link are in, -1 if there is none.

        Args:
            links (torch.Tensor): Source and target ids :math:`(2, L)`.
            group (torch.Tensor): The group of each part :math:`(P)`.
        """
        source, target = (group[self.part[s][e]] for s, e in zip(SIDES, links, strict=True))
        return source.masked_fill(source != target, -1)

    def locate(self, links: Tensor, parts: Tensor) -> Tensor:
        """Returns links by the ids that their ends have in :meth:`batch` :math:`(2, L)`.

        Args:
            links (torch.Tensor): Source and target ids :math:`(2, L)`, all within the parts.
            parts (torch.Tensor): Which parts.
        """
        return self._local(SIDES, links, self._all_starts(sorted(parts.tolist())))[0]

    def _all_starts(self, chosen: list[int]) -> dict[str, Tensor]:
        """For each side, where each part begins in the mini-batch, -1 for the others ``[P]``."""
        starts: dict[str, Tensor] = {}
        for side, nodes in self._nodes.items():
            sizes = torch.tensor([nodes.ptr[p + 1] - nodes.ptr[p] for p in chosen])
            starts[side] = torch.full((self.num_parts,), -1)
            starts[side][chosen] = sizes.cumsum(0) - sizes
        return starts

    def _local(
        self, sides: tuple[str, str], ends: Tensor, starts: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Returns ids within the mini-batch, and which pairs have both ends there."""
        first = [starts[side][self.part[side][end]] for side, end in zip(sides, ends, strict=True)]
        local = [
            start + self._place[side][end]
            for side, start, end in zip(sides, first, ends, strict=True)
        ]
        return torch.stack(local), (first[0] >= 0) & (first[1] >= 0)

    def _columns(self, side: str, n_id: Tensor) -> dict[str, Any]:
        store = self.data[side]
        columns: dict[str, Any] = {"num_nodes": n_id.numel(), "n_id": n_id}
        for key, value in store.items():
            if key in columns or isinstance(value, list):
                continue
            if isinstance(value, Tensor) and value.dim() > 0 and value.size(0) == store.num_nodes:
                value = self._rows(store, side, key, n_id)
            columns[key] = value
        return columns

    def _rows(self, store: NodeStorage, side: str, key: str, n_id: Tensor) -> Tensor:
        x = store[key]
        if x.layout == torch.strided:
            return x[n_id]
        if (side, key) not in self._crow:
            count = torch.bincount(x.indices()[0], minlength=x.size(0))
            self._crow[side, key] = F.pad(count.cumsum(0), (1, 0))
        crow = self._crow[side, key]
        row, place = list_ranges(crow[n_id], crow[n_id + 1] - crow[n_id])
        index = torch.stack([row, x.indices()[1, place]])
        size = (n_id.numel(), *x.size()[1:])
        return torch.sparse_coo_tensor(
            index, x.values()[place], size, is_coalesced=True, check_invariants=False
        )


def _places(nodes: _Sorted) -> Tensor:
    """Returns for each entity its place within its part."""
    ptr = torch.tensor(nodes.ptr)
    place = torch.arange(nodes.order.numel()) - ptr[:-1].repeat_interleave(ptr.diff())
    return torch.empty_like(place).scatter_(0, nodes.order, place)
