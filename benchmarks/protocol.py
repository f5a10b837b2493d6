"""The protocol of published code: the epoch that is best on the test links is what is reported.

It tells how much of a published number is selection, and is no part of the library:
`benchmarks/run.py --protocol paper` alone uses it, and its results stand apart.
"""

import sys

import torch
from torch_geometric.data import HeteroData
from torch_geometric.transforms import BaseTransform

from pyg_mmea.typing import ANCHOR_EDGE

MARK = "@paper"
OPTIONS = [
    *("--data.pre_transform", "protocol.SelectOnTest"),
    *("--training.selection", "validation", "--training.refit", "false"),
    *("--training.val_every", "5", "--training.val_links", "null"),
]


class SelectOnTest(BaseTransform):
    """Has all seeds train, and the test links select."""

    def forward(self, data: HeteroData) -> HeteroData:
        anchors = data[ANCHOR_EDGE]
        anchors.train_mask = anchors.train_mask | anchors.val_mask
        anchors.val_mask = anchors.test_mask
        anchors.test_mask = torch.zeros_like(anchors.test_mask)
        return data


def check(setting: str, settings: dict) -> None:
    """Refuses what would learn weights or confidence from the test links."""
    own_joint = settings.get("training", {}).get("rank_by") == "joint"
    if settings.get("calibration") != "none" or not own_joint:
        sys.exit(
            f"--protocol paper needs a setting without calibration that ranks by the model's joint "
            f"embedding, or test links would be learned from ('{setting}' is not)"
        )
