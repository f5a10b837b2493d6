"""What PARIS counts: facts, pairs of entities, and how far relations include each other."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from scipy import sparse
from torch_geometric.data import HeteroData

from pyg_mmea.typing import RELATION_EDGE


@dataclass
class Facts:
    """The facts of a graph, inverse ones included, each once.

    Those that share an object :math:`y` and a relation are a group.

    Args:
        x, r, y (ndarray): Subject, relation and object of each fact.
        num_nodes (int): Number of entities.
        num_relations (int): Number of relations, inverse ones included.
    """

    x: np.ndarray
    r: np.ndarray
    y: np.ndarray
    num_nodes: int
    num_relations: int

    @classmethod
    def read(cls, data: HeteroData, side: str) -> Self:
        """Reads the triples of one graph."""
        store, num_nodes = data[RELATION_EDGE[side]], data[side].num_nodes
        (head, tail), relation = store.edge_index.cpu().numpy(), store.edge_type.cpu().numpy()
        num = len(store.relation_uri)
        x, y = np.concatenate([head, tail]), np.concatenate([tail, head])
        r = np.concatenate([relation, relation + num])
        x, r, y = np.unique(np.stack([x, r, y]), axis=1)
        return cls(x, r, y, num_nodes, 2 * num)

    @cached_property
    def _groups(self) -> tuple[np.ndarray, np.ndarray]:
        return np.unique(self.y * self.num_relations + self.r, return_inverse=True)

    @property
    def group_relation(self) -> np.ndarray:
        """Relation of each group :math:`(G)`; groups are sorted by their object."""
        return self._groups[0] % self.num_relations

    @cached_property
    def group_start(self) -> np.ndarray:
        """First group of each object, and their number :math:`(N + 1)`."""
        return np.searchsorted(self._groups[0], np.arange(self.num_nodes + 1) * self.num_relations)

    @cached_property
    def members(self) -> sparse.csr_array:
        """One for each subject of a group :math:`(N, G)`."""
        values = np.ones(self.x.size), (self.x, self._groups[1])
        return sparse.csr_array(values, shape=(self.num_nodes, self._groups[0].size))

    @cached_property
    def inverse_functionality(self) -> np.ndarray:
        """Number of objects by number of facts of each relation :math:`(R)`."""
        objects = np.bincount(self.group_relation, minlength=self.num_relations)
        return objects / np.maximum(np.bincount(self.r, minlength=self.num_relations), 1)


@dataclass
class Assignment:
    """Pairs of entities taken to be the same, each entity in one of them at most.

    Args:
        pairs (ndarray): Source and target ids :math:`(2, P)`.
        probability (ndarray): Of each pair :math:`(P)`.
    """

    pairs: np.ndarray
    probability: np.ndarray

    @property
    def num(self) -> int:
        return self.probability.size

    def num_new(self, before: Self) -> int:
        """How many pairs are not among those before."""
        width = 1 + max(self.pairs[1].max(), before.pairs[1].max())
        keys = [pairs[0] * width + pairs[1] for pairs in (self.pairs, before.pairs)]
        return int((~np.isin(*keys)).sum())


@dataclass
class Inclusion:
    """How far relations of one graph are part of those of the other; zero for pairs of relations
    without a common fact.

    Args:
        key (ndarray): Source relation times :obj:`width` plus target relation, ascending.
        forth (ndarray): :math:`P(r \\subseteq r')` of each.
        back (ndarray): :math:`P(r' \\subseteq r)` of each.
        width (int): Number of target relations.
    """

    key: np.ndarray
    forth: np.ndarray
    back: np.ndarray
    width: int

    @classmethod
    def measure(
        cls,
        source: Facts,
        target: Facts,
        assigned: Assignment,
        theta: float,
        shrinkage: float,
    ) -> Self:
        """Counts the facts of which both ends are assigned."""
        counterpart = np.full(source.num_nodes, -1)
        p_s, p_t = np.zeros(source.num_nodes), np.zeros(target.num_nodes)
        (ends_s, ends_t), probability = assigned.pairs, assigned.probability
        counterpart[ends_s], p_s[ends_s], p_t[ends_t] = ends_t, probability, probability
        weight_s, weight_t = p_s[source.x] * p_s[source.y], p_t[target.x] * p_t[target.y]
        total_s = np.bincount(source.r, weight_s, source.num_relations)
        total_t = np.bincount(target.r, weight_t, target.num_relations)

        # A fact of the source and one of the target, of the same two entities.
        whole = weight_s > 0
        wanted = counterpart[source.x[whole]] * target.num_nodes + counterpart[source.y[whole]]
        given = target.x * target.num_nodes + target.y
        order = given.argsort(kind="stable")
        bounds = [np.searchsorted(given[order], wanted, side) for side in ("left", "right")]
        count = bounds[1] - bounds[0]
        row = np.repeat(np.flatnonzero(whole), count)
        column = order[_ranges(bounds[0], count)]
        key, place = np.unique(
            source.r[row] * target.num_relations + target.r[column], return_inverse=True
        )
        common = np.bincount(place, weight_s[row], key.size) + theta * shrinkage
        r_s, r_t = key // target.num_relations, key % target.num_relations
        forth, back = common / (total_s[r_s] + shrinkage), common / (total_t[r_t] + shrinkage)
        # Where several entities have the same counterpart, facts of one meet several of the other.
        return cls(key, forth.clip(max=1.0), back.clip(max=1.0), target.num_relations)

    def of(self, r_s: np.ndarray, r_t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns both inclusions for pairs of relations."""
        wanted = r_s * self.width + r_t
        place = np.searchsorted(self.key, wanted).clip(max=max(self.key.size - 1, 0))
        if self.key.size == 0:
            return np.zeros(wanted.size), np.zeros(wanted.size)
        found = self.key[place] == wanted
        return np.where(found, self.forth[place], 0.0), np.where(found, self.back[place], 0.0)


def meet(
    start_s: np.ndarray, start_t: np.ndarray, y_s: np.ndarray, y_t: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs each group of the one entity with each group of the other one, for pairs of entities;
    returns both groups and which pair."""
    num_s, num_t = start_s[y_s + 1] - start_s[y_s], start_t[y_t + 1] - start_t[y_t]
    pair = np.repeat(np.arange(y_s.size), num_s)
    row = _ranges(start_s[y_s], num_s)
    count = num_t[pair]
    return np.repeat(row, count), _ranges(start_t[y_t][pair], count), np.repeat(pair, count)


def _ranges(start: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Joins the ranges that begin here and have so many numbers."""
    within = np.arange(count.sum()) - np.repeat(count.cumsum() - count, count)
    return np.repeat(start, count) + within
