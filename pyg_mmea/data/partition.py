"""Parts of a pair of graphs that few edges connect, and mini-batches made of them."""

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.data.storage import NodeStorage

from pyg_mmea.data.alignment_data import AlignmentData
from pyg_mmea.typing import ANCHOR_EDGE, RELATION_EDGE, SIDES, SPLIT_MASKS

_MAX_LEAN = 0.3  # of the difference of the shares of both graphs in a part


def partition_pair(data: HeteroData, links: Tensor, num_parts: int) -> dict[str, Tensor]:
    """Splits both graphs into parts of similar size that few edges connect, with the ends of each
    link in the same part.

    Both graphs together, with linked entities as one node, are partitioned by METIS, as in
    `"LargeEA: Aligning Entities for Large-scale Knowledge Graphs"
    <https://arxiv.org/abs/2108.05211>`_ and `"ClusterEA: Scalable Entity Alignment with Stochastic
    Training and Normalized Mini-batch Similarities" <https://arxiv.org/abs/2205.10312>`_. Where
    links are so few that parts would be of one graph or the other, there are twice as many at
    first, and the most one-sided ones of both kinds are joined. Entities that no edge connects to
    others fill up the parts that have the fewest of their side. The same arguments give the same
    parts.

    Args:
        data (HeteroData): The pair.
        links (torch.Tensor): Source and target ids :math:`(2, L)`, such as the seed alignment.
        num_parts (int): Number of parts :math:`P`.

    Shapes:
        - **output:** for each side, the part of each entity :math:`(N)`, in :math:`[0, P)`

    Raises:
        ImportError: If pymetis is not installed.
        ValueError: If :obj:`num_parts` is below 1 or above the entities of the smaller graph.
    """
    sizes = [data[side].num_nodes for side in SIDES]
    if not 1 <= num_parts <= max(min(sizes), 1):
        raise ValueError(
            f"'num_parts' needs to be in [1, {max(min(sizes), 1)}], the entities of the smaller "
            f"graph (got {num_parts})"
        )
    if num_parts == 1:
        return {
            side: torch.zeros(n, dtype=torch.long) for side, n in zip(SIDES, sizes, strict=True)
        }
    node, num_nodes = _contract(links.cpu().numpy(), sizes)
    graph = _union(data, node, num_nodes)
    weight = np.bincount(node, minlength=num_nodes)
    connected = np.diff(graph.indptr) > 0
    place = connected.cumsum() - 1
    own = node[: sizes[0]], node[sizes[0] :]
    tied = [place[nodes[connected[nodes]]] for nodes in own]
    part = np.full(num_nodes, -1)
    part[connected] = _connected_parts(
        graph[connected][:, connected], weight[connected], tied, num_parts
    )
    for nodes in own:
        loose = np.unique(nodes[part[nodes] < 0])
        part[loose] = _fill(part[nodes], loose.size, num_parts)
    parts = torch.from_numpy(part[node]).split(sizes)
    return dict(zip(SIDES, parts, strict=True))


def _connected_parts(
    graph: csr_array, weight: np.ndarray, own: list[np.ndarray], num_parts: int
) -> np.ndarray:
    """Returns parts of the nodes, given the node of each source and of each target entity."""
    part = _metis(graph, weight, num_parts)
    if not _one_sided(*(np.bincount(part[nodes], minlength=num_parts) for nodes in own)):
        return part
    # Few links hardly tie the graphs together: twice the parts, and opposite ones joined.
    double = 2 * num_parts
    part = _metis(graph, weight, double)
    count_s, count_t = (np.bincount(part[nodes], minlength=double) for nodes in own)
    joined = np.empty(double, dtype=part.dtype)
    place = np.arange(double)
    joined[np.argsort(count_s - count_t, kind="stable")] = np.minimum(place, place[::-1])
    return joined[part]


def _one_sided(count_s: np.ndarray, count_t: np.ndarray) -> bool:
    """Tells if half of the parts have much more of one graph than the graphs themselves have."""
    share_s, share_t = (count / max(count.sum(), 1) for count in (count_s, count_t))
    lean = np.abs(share_s - share_t) / np.maximum(share_s + share_t, 1e-12)
    return bool(np.median(lean) > _MAX_LEAN)


def _contract(links: np.ndarray, sizes: list[int]) -> tuple[np.ndarray, int]:
    """Returns for all entities, source ones first, the node that they are part of."""
    total = sum(sizes)
    ends = links[0], links[1] + sizes[0]
    tied = csr_array((np.ones(links.shape[1], dtype=np.int8), ends), shape=(total, total))
    num_nodes, node = connected_components(tied, directed=False)
    return node, num_nodes


def _union(data: HeteroData, node: np.ndarray, num_nodes: int) -> csr_array:
    """Returns the adjacency of both graphs, symmetric and without loops."""
    offset, heads, tails = 0, [], []
    for side in SIDES:
        head, tail = node[data[RELATION_EDGE[side]].edge_index.cpu().numpy() + offset]
        heads.append(head[head != tail])
        tails.append(tail[head != tail])
        offset += data[side].num_nodes
    row, col = np.concatenate(heads + tails), np.concatenate(tails + heads)
    # Parallel edges add up to the weight of one.
    return csr_array((np.ones(row.size, dtype=np.int32), (row, col)), shape=(num_nodes, num_nodes))


def _metis(graph: csr_array, weight: np.ndarray, num_parts: int) -> np.ndarray:
    try:
        import pymetis
    except ImportError as error:
        raise ImportError(
            "mini-batches of large graphs need pymetis: pip install pyg-mmea[metis]"
        ) from error
    if graph.shape[0] == 0:
        return np.empty(0, dtype=np.int64)
    columns = (graph.indptr, graph.indices, weight, graph.data)
    xadj, adjncy, vweights, eweights = (x.astype(np.int64) for x in columns)
    _, part = pymetis.part_graph(
        num_parts,
        xadj=xadj,
        adjncy=adjncy,
        vweights=vweights,
        eweights=eweights,
        recursive=False,
        options=pymetis.Options(seed=0),
    )
    return np.asarray(part)


def _fill(taken: np.ndarray, num_new: int, num_parts: int) -> np.ndarray:
    """Returns parts for newcomers, so that the smallest parts grow first."""
    count = np.bincount(taken[taken >= 0], minlength=num_parts)
    order = np.argsort(count, kind="stable")
    # How many newcomers make the first parts as large as the next one.
    need = count[order] * np.arange(num_parts) - (count[order].cumsum() - count[order])
    lowest = order[: np.searchsorted(need, num_new, side="right")]
    room = (count[lowest].sum() + num_new) // lowest.size - count[lowest]
    room[: num_new - room.sum()] += 1
    return np.repeat(lowest, room)


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
        count = crow[n_id + 1] - crow[n_id]
        row = torch.arange(n_id.numel()).repeat_interleave(count)
        place = torch.arange(row.numel()) - (count.cumsum(0) - count)[row] + crow[n_id][row]
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
