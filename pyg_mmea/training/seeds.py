"""The links that a training may see."""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_mmea.calibration import Ledger, decided_by_hand
from pyg_mmea.calibration.ledger import is_by_hand
from pyg_mmea.data import HideAnchors
from pyg_mmea.typing import ANCHOR_EDGE, SIDES
from pyg_mmea.utils.io import fingerprint
from pyg_mmea.utils.pairs import contains


@dataclass
class Seeds:
    """Links as source and target ids :math:`(2, L)`, on the CPU.

    Args:
        train (torch.Tensor): Seed alignment, with what people accepted and without what they
            rejected.
        val (torch.Tensor): Validation links that nobody decided on.
        accepted (torch.Tensor): Pairs that people accepted.
        rejected (torch.Tensor): Pairs that people rejected.
        given (str): Identifies training and validation links as they were before anybody decided.
    """

    train: Tensor
    val: Tensor
    accepted: Tensor
    rejected: Tensor
    given: str

    @classmethod
    def read(cls, data: HeteroData, ledger: Ledger) -> Self:
        """Reads links off a pair, test links aside, and decisions off the ledger of its run.

        Raises:
            ValueError: If there is no link to train on, or if people decided on other entities.
        """
        anchors = HideAnchors("train+val")(data)[ANCHOR_EDGE]
        links = anchors.edge_label_index.cpu()
        entries = ledger.read()
        _check_names(data, entries)
        accepted, rejected = (
            torch.tensor(pairs, dtype=torch.long).view(-1, 2).t()
            for pairs in decided_by_hand(entries)
        )
        splits = [links[:, anchors[f"{split}_mask"].cpu()] for split in ("train", "val")]
        given = fingerprint(*(x.unique(dim=1).numpy().tobytes() for x in splits))
        train = torch.cat([splits[0], accepted], dim=1).unique(dim=1)
        train = train[:, ~contains(rejected, train)]
        if train.size(1) == 0:
            raise ValueError(
                "'data' needs to have at least one link to train on (got none); without any known, "
                "'PivotAnchors' makes some"
            )
        val = splits[1][:, ~contains(torch.cat([accepted, rejected], dim=1), splits[1])]
        return cls(train, val, accepted, rejected, given)

    @property
    def all(self) -> Tensor:
        """Training and validation links."""
        return torch.cat([self.train, self.val], dim=1)

    @property
    def key(self) -> str:
        """Identifies all of them."""
        links = self.train, self.val, self.accepted, self.rejected
        return fingerprint(*(x.numpy().tobytes() for x in links))

    @property
    def num_decided(self) -> int:
        """Number of pairs that people decided on."""
        return self.accepted.size(1) + self.rejected.size(1)


def _check_names(data: HeteroData, entries: list[dict[str, Any]]) -> None:
    """Decisions are on entities, and ids of these may have moved since."""
    for entry in filter(is_by_hand, entries):
        for side, entity, uri in zip(SIDES, entry["pair"], entry.get("uri", ()), strict=False):
            names = data[side].uri
            if entity >= len(names) or names[entity] != uri:
                raise ValueError(
                    f"'data' needs to be the pair that people decided on: {side} entity {entity} "
                    f"was '{uri}'"
                )
