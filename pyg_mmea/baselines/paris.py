"""Probabilistic alignment of entities and relations."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_mmea.baselines.base import Baseline, feature
from pyg_mmea.calibration import SparseSimilarity
from pyg_mmea.calibration.propose import Candidates
from pyg_mmea.metrics import evaluate_scores
from pyg_mmea.typing import RELATION_EDGE, SIDES
from pyg_mmea.utils.matching import SparseScores, mutual_best

_CERTAIN = 1 - 1e-9  # one piece of evidence never settles a pair
_DIGITS = 9  # to which evidence counts: sums in another order are the same
_ROWS = 4096  # source entities that are compared at once


class PARIS(Baseline):
    r"""Aligns entities and relations in turn, from `"PARIS: Probabilistic Alignment of Relations,
    Instances, and Schema" <https://arxiv.org/abs/1111.7164>`_ (VLDB 2011), with seeds.

    With facts :math:`r(x, y)`, inverse ones included, and the functionality of a relation,
    :math:`\textrm{fun}(r) = |\{x : \exists y \; r(x, y)\}| / |\{(x, y) : r(x, y)\}|` and
    :math:`\textrm{fun}^{-1}(r) = \textrm{fun}(r^{-1})`, two entities are the same with probability
    (equation 13 of the paper)

    .. math::
        P(x \equiv x') = 1 - \prod_{r(x, y), \, r'(x', y')}
        \left(1 - P(r' \subseteq r) \, \textrm{fun}^{-1}(r) \, P(y \equiv y')\right)
        \left(1 - P(r \subseteq r') \, \textrm{fun}^{-1}(r') \, P(y \equiv y')\right)

    and a relation is part of another one with probability (equation 12)

    .. math::
        P(r \subseteq r') = \frac{\sum_{r(x, y), \, r'(x', y')} P(x \equiv x') \, P(y \equiv y')}
        {\sum_{r(x, y)} P(x \equiv x') \, P(y \equiv y')}

    where, as in the paper, only the assignment of the previous round counts on the right: here the
    pairs that are each other's best, without ties, of a probability of at least :math:`\theta`,
    so that each :math:`x` has one :math:`x'`. Inclusion begins at :math:`\theta`. Seeds have a
    probability of one throughout. Negative evidence is left out, which the paper found to be no
    help.

    Features whose columns both graphs share can be facts, too: each column is a relation to one
    common object, such as an attribute with a literal value. Columns that more than
    :math:`1 / \theta` entities of a graph have tell too little and are passed over.

    Everything is a product of sparse matrices, on the CPU. Pieces of evidence below
    :obj:`min_evidence` are passed over; without that, hubs of unspecific relations would make
    millions of pairs that nothing speaks for. A pair of hubs that is sure still makes a pair of
    all of their neighbours in the first round: 6,000 each take gigabytes.

    Args:
        num_iters (int): Most rounds. (default: :obj:`10`)
        tolerance (float): Ends before when less than this part of the assignment is new.
            (default: :obj:`0.01`)
        theta (float): The :math:`\theta` above. (default: :obj:`0.1`)
        shrinkage (float): Adds so many facts, of which the share :math:`\theta` fits, to both sums
            of an inclusion, so that it is not certain after a single fact; the paper has none.
            (default: :obj:`0.0`)
        features (Sequence[str]): Modalities with such columns. (default: :obj:`()`)
        min_evidence (float): Least probability that a piece of evidence can give.
            (default: :obj:`1e-3`)

    Raises:
        ValueError: If an argument is out of range; on fitting, if the pair has no link or lacks
            one of the features.
    """

    def __init__(
        self,
        num_iters: int = 10,
        theta: float = 0.1,
        shrinkage: float = 0.0,
        min_evidence: float = 1e-3,
        tolerance: float = 0.01,
        features: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if num_iters < 1:
            raise ValueError(f"'num_iters' needs to be at least 1 (got {num_iters})")
        for name, value in (("theta", theta), ("min_evidence", min_evidence)):
            if not 0 < value < 1:
                raise ValueError(f"'{name}' needs to be in (0, 1) (got {value})")
        for name, value in (("shrinkage", shrinkage), ("tolerance", tolerance)):
            if value < 0:
                raise ValueError(f"'{name}' needs to be at least 0 (got {value})")
        self.num_iters = num_iters
        self.theta = theta
        self.shrinkage = shrinkage
        self.min_evidence = min_evidence
        self.tolerance = tolerance
        self.features = list(features)
        self.scores = SparseScores(torch.empty(2, 0, dtype=torch.long), torch.empty(0))
        self._size = (0, 0)

    def align(self, visible: HeteroData, links: Tensor) -> None:
        if links.size(1) == 0:
            raise ValueError("'data' needs to have links to begin with (got none)")
        source, target = (_Facts.read(visible, side) for side in SIDES)
        self._size = source.num_nodes, target.num_nodes
        shared = self._shared(visible)
        seeds = links.cpu().numpy()
        known = _Assignment(seeds, np.ones(seeds.shape[1]))
        assigned, inclusion = known, None
        for _ in range(self.num_iters):
            pairs, score = self._compare(source, target, assigned, inclusion, shared)
            before, assigned = assigned, self._assign(pairs, score, known)
            inclusion = _Inclusion.measure(source, target, assigned, self.theta, self.shrinkage)
            if assigned.num_new(before) < self.tolerance * assigned.num:
                break
        index, score = self._compare(source, target, assigned, inclusion, shared)
        self.scores = SparseScores(torch.from_numpy(index), torch.from_numpy(score))

    def _compare(
        self,
        source: "_Facts",
        target: "_Facts",
        assigned: "_Assignment",
        inclusion: "_Inclusion | None",
        shared: sparse.csr_array,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the pairs of entities that anything speaks for :math:`(2, P)`, and minus the
        logarithm of the probability that they are not the same :math:`(P)`."""
        (y_s, y_t), probability = assigned.pairs, assigned.probability
        row, column, pair = _meet(source.group_start, target.group_start, y_s, y_t)
        r_s, r_t = source.group_relation[row], target.group_relation[column]
        within = np.full(row.size, self.theta), np.full(row.size, self.theta)
        if inclusion is not None:
            within = inclusion.of(r_s, r_t)
        evidence = np.zeros(row.size)
        for part, inverse in (
            (within[1], source.inverse_functionality[r_s]),
            (within[0], target.inverse_functionality[r_t]),
        ):
            each = np.minimum(part * inverse * probability[pair], _CERTAIN)
            evidence -= np.log1p(-np.where(each < self.min_evidence, 0.0, each))
        some = evidence > 0
        weight = sparse.csr_array(
            (evidence[some], (row[some], column[some])),
            shape=(source.group_relation.size, target.group_relation.size),
        )
        left, right = source.members @ weight, target.members.T.tocsr()
        found = []
        for start in range(0, source.num_nodes, _ROWS):
            rows = slice(start, start + _ROWS)
            part = (left[rows] @ right + shared[rows]).tocoo()
            found.append((part.row + start, part.col, part.data))
        x_s, x_t, score = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.lexsort((x_t, x_s))
        index = np.stack([x_s, x_t]).astype(np.int64)[:, order]
        return index, np.round(score[order], _DIGITS)

    def _shared(self, visible: HeteroData) -> sparse.csr_array:
        """What shared columns speak for, as minus a logarithm :math:`(N_s, N_t)`."""
        total = sparse.csr_array(self._size)
        for name in self.features:
            has, weights = [], []
            for side in SIDES:
                x = feature(visible, side, name).cpu().to_sparse().coalesce()
                row, column = x.indices()[:, x.values() != 0].numpy()
                has.append(sparse.csr_array((np.ones(row.size), (row, column)), shape=x.shape))
                each = 1 / np.maximum(np.bincount(column, minlength=x.size(1)), 1)
                weights.append(np.where(each < self.theta, 0.0, -np.log1p(-each * _CERTAIN)))
            both = (weights[0] > 0) & (weights[1] > 0)
            weight = np.where(both, weights[0] + weights[1], 0.0)
            total = total + has[0] @ sparse.diags_array(weight) @ has[1].T
        return total.tocsr()

    def _assign(self, pairs: np.ndarray, score: np.ndarray, known: "_Assignment") -> "_Assignment":
        """Adds to the seeds the pairs of other entities that are each other's best."""
        free = -np.expm1(-score) >= self.theta
        for ids, taken in zip(pairs, known.pairs, strict=True):
            free &= ~np.isin(ids, taken)
        pairs, score = pairs[:, free], score[free]
        best = mutual_best(torch.from_numpy(pairs), torch.from_numpy(score)).numpy()
        probability = -np.expm1(-score[best])
        return _Assignment(
            np.concatenate([known.pairs, pairs[:, best]], axis=1),
            np.concatenate([known.probability, probability]),
        )

    def measure(self, links: Tensor, candidates: str, matching: str) -> dict[str, Any]:
        return evaluate_scores(self.scores, self._size, links.cpu(), candidates, matching)

    def propose(self) -> tuple[Candidates, Tensor]:
        free = torch.ones_like(self.scores.score, dtype=torch.bool)
        for ids, taken in zip(self.scores.index, self.known.cpu(), strict=True):
            free &= ~torch.isin(ids, taken)
        score = self.scores.score[free]
        similarity = SparseSimilarity(self.scores.index[:, free], {"joint": score})
        candidates = Candidates.best(similarity, score)
        return candidates, _probability(candidates.score)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(theta={self.theta}, shrinkage={self.shrinkage})"


def _probability(score: Tensor) -> Tensor:
    return -torch.expm1(-score)


@dataclass
class _Facts:
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
    def read(cls, data: HeteroData, side: str) -> "_Facts":
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
class _Assignment:
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

    def num_new(self, before: "_Assignment") -> int:
        """How many pairs are not among those before."""
        width = 1 + max(self.pairs[1].max(), before.pairs[1].max())
        keys = [pairs[0] * width + pairs[1] for pairs in (self.pairs, before.pairs)]
        return int((~np.isin(*keys)).sum())


@dataclass
class _Inclusion:
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
        source: _Facts,
        target: _Facts,
        assigned: _Assignment,
        theta: float,
        shrinkage: float,
    ) -> "_Inclusion":
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


def _meet(
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
