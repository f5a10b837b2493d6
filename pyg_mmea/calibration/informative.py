"""Which pairs a person should be asked about."""

import heapq

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_mmea.typing import RELATION_EDGE, SIDES


def informative_pairs(
    data: HeteroData,
    pairs: Tensor,
    confidence: Tensor,
    limit: int | None = None,
    decided: Tensor | None = None,
) -> Tensor:
    r"""Orders candidates by how much a person's answer on them teaches, the most telling first.

    A pair :math:`p` is worth

    .. math::
        g(p) = H(c_p) \cdot \Bigl(1 + \log_2\bigl(1 + \sum_{q \in D(p)} H(c_q)\bigr)\Bigr)
        \cdot 2^{-n(p)}

    * *Uncertainty*: :math:`H(c) = -c \log_2 c - (1 - c) \log_2 (1 - c)`, the bits that the answer
      is expected to give; one at a confidence of 1/2, none where the model is sure.
    * *Influence*: :math:`D(p)` are the other candidates of which both entities are neighbours of
      those of :math:`p`, so that a link :math:`p` speaks for them. They count as much as they are
      uncertain, and less the more there are, so that hubs do not win by size alone.
    * *Diversity*: :math:`n(p)` is how many of the pairs that were chosen or decided before touch
      an entity of the neighbourhood of :math:`p`, on average over that neighbourhood: its two
      entities and their neighbours. A pair touches its entities and their neighbours.

    Pairs are chosen one by one, the best one at a time. As :math:`g` only falls while pairs are
    chosen, few of its values need to be computed again (lazy greedy choice). Time and memory are
    linear in pairs and triples.

    Args:
        data (HeteroData): The pair of graphs.
        pairs (torch.Tensor): Source and target ids :math:`(2, P)`.
        confidence (torch.Tensor): Probability that each pair is right :math:`(P)`.
        limit (int, optional): Number of pairs to choose. (default: :obj:`None`, which means all)
        decided (torch.Tensor, optional): Pairs :math:`(2, D)` that need no answer any more. They
            are not chosen and count as chosen before. (default: :obj:`None`)

    Returns:
        torch.Tensor: Places among the :obj:`pairs` :math:`(K)`.

    Raises:
        ValueError: If :obj:`confidence` does not have a probability for each pair, or
            :obj:`limit` is negative.
    """
    if confidence.shape != pairs.shape[1:] or not ((confidence >= 0) & (confidence <= 1)).all():
        raise ValueError(
            f"'confidence' needs to be a probability for each of {pairs.size(1)} pairs "
            f"(got shape {tuple(confidence.shape)})"
        )
    if limit is not None and limit < 0:
        raise ValueError(f"'limit' needs to be at least 0 (got {limit})")
    ends = pairs.cpu().numpy()
    around = [_neighbours(data, side) for side in SIDES]
    bits = _entropy(confidence.cpu().double().numpy())
    worth = bits * (1 + np.log2(1 + _dependents(ends, around) @ bits))
    touched = [np.zeros(graph.shape[0]) for graph in around]
    done = set()
    if decided is not None:
        for pair in decided.cpu().t().tolist():
            _touch(pair, around, touched)
            done.add(tuple(pair))
    open_places = [i for i, pair in enumerate(ends.T.tolist()) if tuple(pair) not in done]

    heap = [(-worth[i], i) for i in open_places]
    heapq.heapify(heap)
    wanted = len(heap) if limit is None else min(limit, len(heap))
    chosen: list[int] = []
    while len(chosen) < wanted:
        _, place = heap[0]
        pair = ends[:, place].tolist()
        now = (-worth[place] * 2.0 ** -_crowding(pair, around, touched), place)
        heapq.heapreplace(heap, now)
        if heap[0] == now:  # still the best
            heapq.heappop(heap)
            chosen.append(place)
            _touch(pair, around, touched)
    return torch.tensor(chosen, dtype=torch.long)


def _entropy(confidence: np.ndarray) -> np.ndarray:
    """Of a yes or no, in bits."""
    sides = np.stack([confidence, 1 - confidence])
    return -(sides * np.log2(np.where(sides > 0, sides, 1))).sum(axis=0)


def _neighbours(data: HeteroData, side: str) -> csr_array:
    """Adjacency of a graph without direction, repeated triples and self loops :math:`(N, N)`."""
    head, tail = data[RELATION_EDGE[side]].edge_index.cpu().numpy()
    num = data[side].num_nodes
    rows, columns = np.concatenate([head, tail]), np.concatenate([tail, head])
    keep = rows != columns
    ones = np.ones(int(keep.sum()))
    graph = csr_array((ones, (rows[keep], columns[keep])), shape=(num, num))
    graph.data[:] = 1  # the sum of repeated triples
    return graph


def _dependents(ends: np.ndarray, around: list[csr_array]) -> csr_array:
    """Tells which pairs are neighbours of which in both graphs :math:`(P, P)`."""
    near_s, near_t = (graph[row][:, row] for graph, row in zip(around, ends, strict=True))
    return near_s.multiply(near_t).tocsr()


def _zone(graph: csr_array, entity: int) -> np.ndarray:
    neighbours = graph.indices[graph.indptr[entity] : graph.indptr[entity + 1]]
    return np.append(neighbours, entity)


def _touch(pair: list[int], around: list[csr_array], touched: list[np.ndarray]) -> None:
    for graph, count, entity in zip(around, touched, pair, strict=True):
        count[_zone(graph, entity)] += 1


def _crowding(pair: list[int], around: list[csr_array], touched: list[np.ndarray]) -> float:
    parts = zip(around, touched, pair, strict=True)
    return float(np.concatenate([count[_zone(graph, i)] for graph, count, i in parts]).mean())
