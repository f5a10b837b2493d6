"""Probabilistic alignment of entities and relations."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_mmea.baselines.base import Baseline, feature
from pyg_mmea.baselines.facts import Assignment, Facts, Inclusion, meet
from pyg_mmea.calibration import SparseSimilarity
from pyg_mmea.calibration.propose import Candidates
from pyg_mmea.metrics import evaluate_scores
from pyg_mmea.typing import SIDES
from pyg_mmea.utils.matching import SparseScores, mutual_best
from pyg_mmea.utils.pairs import judge

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
        source, target = (Facts.read(visible, side) for side in SIDES)
        self._size = source.num_nodes, target.num_nodes
        shared = self._shared(visible)
        seeds = links.cpu().numpy()
        known = Assignment(seeds, np.ones(seeds.shape[1]))
        assigned, inclusion = known, None
        for _ in range(self.num_iters):
            pairs, score = self._compare(source, target, assigned, inclusion, shared)
            before, assigned = assigned, self._assign(pairs, score, known)
            inclusion = Inclusion.measure(source, target, assigned, self.theta, self.shrinkage)
            if assigned.num_new(before) < self.tolerance * assigned.num:
                break
        index, score = self._compare(source, target, assigned, inclusion, shared)
        self.scores = SparseScores(torch.from_numpy(index), torch.from_numpy(score))

    def _compare(
        self,
        source: Facts,
        target: Facts,
        assigned: Assignment,
        inclusion: Inclusion | None,
        shared: sparse.csr_array,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the pairs of entities that anything speaks for :math:`(2, P)`, and minus the
        logarithm of the probability that they are not the same :math:`(P)`."""
        (y_s, y_t), probability = assigned.pairs, assigned.probability
        row, column, pair = meet(source.group_start, target.group_start, y_s, y_t)
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

    def _assign(self, pairs: np.ndarray, score: np.ndarray, known: Assignment) -> Assignment:
        """Adds to the seeds the pairs of other entities that are each other's best."""
        free = -np.expm1(-score) >= self.theta
        for ids, taken in zip(pairs, known.pairs, strict=True):
            free &= ~np.isin(ids, taken)
        pairs, score = pairs[:, free], score[free]
        best = mutual_best(torch.from_numpy(pairs), torch.from_numpy(score)).numpy()
        probability = -np.expm1(-score[best])
        return Assignment(
            np.concatenate([known.pairs, pairs[:, best]], axis=1),
            np.concatenate([known.probability, probability]),
        )

    def measure(self, links: Tensor, candidates: str, matching: str) -> dict[str, Any]:
        return evaluate_scores(self.scores, self._size, links.cpu(), candidates, matching)

    def propose(self) -> tuple[Candidates, Tensor]:
        taken, _ = judge(self.scores.index, self.known.cpu())
        score = self.scores.score[~taken]
        similarity = SparseSimilarity(self.scores.index[:, ~taken], {"joint": score})
        candidates = Candidates.best(similarity, score)
        return candidates, -torch.expm1(-candidates.score)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(theta={self.theta}, shrinkage={self.shrinkage})"
