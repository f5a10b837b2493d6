"""What all baselines share: fit, evaluate, predict."""

from abc import ABC, abstractmethod
from typing import Any, Literal, Self

import pandas as pd
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_mmea.calibration.propose import Candidates
from pyg_mmea.data import HideAnchors, validate
from pyg_mmea.data.alignment_data import entity_fingerprint
from pyg_mmea.typing import ANCHOR_EDGE
from pyg_mmea.utils.export import alignment_table


class Baseline(ABC):
    """Base class of the baselines, which are used like an
    :class:`~pyg_mmea.training.Aligner` and measured by the same code.

    .. code-block:: python

        baseline = LabelPropagation().fit(data)
        baseline.evaluate(data, matching="sinkhorn")["mean"]["hits@1"]
        baseline.predict(data)

    A subclass aligns in :meth:`align`, from a pair whose other links are hidden, and answers
    :meth:`measure` and :meth:`propose`.
    """

    def __init__(self) -> None:
        self.known = torch.empty(2, 0, dtype=torch.long)
        self._keep: str | None = None
        self._entities = ""

    def fit(self, data: HeteroData, keep: Literal["train", "train+val"] = "train") -> Self:
        """Aligns the pair by the links of one split.

        Args:
            data (HeteroData): The pair of graphs.
            keep (str): Which links may be read: :obj:`"train"`, or :obj:`"train+val"` once
                settings are chosen. (default: :obj:`"train"`)

        Raises:
            ValueError: If the pair is broken or lacks what the method needs.
        """
        validate(data)
        visible = HideAnchors(keep)(data)
        self.known = visible[ANCHOR_EDGE].edge_label_index
        self.align(visible, self.known)
        self._keep, self._entities = keep, entity_fingerprint(data)
        return self

    def evaluate(
        self,
        data: HeteroData,
        split: Literal["test", "val", "train"] = "test",
        candidates: Literal["test", "all"] = "test",
        matching: str = "none",
    ) -> dict[str, Any]:
        """Measures the links of a split.

        Args:
            data (HeteroData): The pair that was fitted.
            split (str): Which links. (default: :obj:`"test"`)
            candidates (str): :obj:`"test"` ranks the counterparts of these links, :obj:`"all"`
                every entity of the other graph. (default: :obj:`"test"`)
            matching (str): See :func:`~pyg_mmea.metrics.evaluate_alignment`.
                (default: :obj:`"none"`)

        Raises:
            RuntimeError: If nothing was fitted.
            ValueError: If the split has no link, if it is that of validation links that were
                fitted, if :obj:`data` is another pair, or if the method has no such matching.
        """
        self._check(data)
        if split == "val" and self._keep == "train+val":
            raise ValueError("'split' cannot be 'val': the validation links were fitted")
        anchors = data[ANCHOR_EDGE]
        links = anchors.edge_label_index[:, anchors[f"{split}_mask"]]
        if links.size(1) == 0:
            raise ValueError(f"'data' needs to have links with '{split}_mask' (got none)")
        return self.measure(links, candidates, matching)

    def predict(self, data: HeteroData) -> pd.DataFrame:
        """Returns the alignment: the links that were fitted, and pairs of all other entities that
        are each other's best.

        Confidence is what the method itself takes for the probability of a pair. It is not learned
        on validation links, and so no threshold on it promises a precision.

        Args:
            data (HeteroData): The pair that was fitted.

        Returns:
            pandas.DataFrame: ``source``, ``target`` (URIs), ``confidence``, ``rank_margin``,
            ``origin`` (:obj:`"known"` or :obj:`"predicted"`), best first; the number of source
            entities left out is in ``.attrs["abstained"]``.

        Raises:
            RuntimeError: If nothing was fitted.
            ValueError: If :obj:`data` is another pair.
        """
        self._check(data)
        candidates, confidence = self.propose()
        order = confidence.argsort(descending=True, stable=True)
        found = candidates.pairs[:, order], confidence[order], candidates.margin[order]
        return alignment_table(data, self.known, *found)

    @abstractmethod
    def align(self, visible: HeteroData, links: Tensor) -> None:
        """Aligns a pair without hidden links.

        Args:
            visible (HeteroData): The pair.
            links (torch.Tensor): The links that may be read :math:`(2, L)`.
        """

    @abstractmethod
    def measure(self, links: Tensor, candidates: str, matching: str) -> dict[str, Any]:
        """Measures links :math:`(2, L)`, as :meth:`evaluate` says."""

    @abstractmethod
    def propose(self) -> tuple[Candidates, Tensor]:
        """Returns the pairs of entities without a known link that are each other's best, and how
        sure the method is :math:`(P)`."""

    def _check(self, data: HeteroData) -> None:
        if self._keep is None:
            raise RuntimeError(f"{type(self).__name__} needs to be fitted first")
        if entity_fingerprint(data) != self._entities:
            raise ValueError("'data' needs to be the pair that was fitted (its entities differ)")


def feature(data: HeteroData, side: str, modality: str) -> Tensor:
    """Returns the features of a modality :math:`(N, D)`, dense or sparse.

    Raises:
        ValueError: If the pair has none.
    """
    key = f"x_{modality}"
    if key not in data[side]:
        raise ValueError(
            f"'data' needs to have '{modality}' features: datasets build them when 'features' "
            "names the modality"
        )
    return data[side][key]
