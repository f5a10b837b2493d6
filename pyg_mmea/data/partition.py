"""Parts of a pair of graphs that few edges connect."""

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_mmea.typing import RELATION_EDGE, SIDES

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
            "mini-batches of large graphs need pymetis: pip install '.[metis]' from a clone"
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
        options=pymetis.Options(seed=0, niter=2),  # ten, the default, cut no fewer edges
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
