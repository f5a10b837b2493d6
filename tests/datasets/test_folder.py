from pathlib import Path

import pytest
import torch

from pyg_mmea.data import validate
from pyg_mmea.datasets import AlignmentFolder
from pyg_mmea.errors import DataError
from pyg_mmea.typing import ANCHOR_EDGE


def test_name_is_that_of_the_folder(eva_folder: Path) -> None:
    assert AlignmentFolder(str(eva_folder))[0].dataset == "AlignmentFolder/pair"


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none: folder is missing"):
        AlignmentFolder(str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


@pytest.mark.dataset
def test_emoji(data_root: Path) -> None:
    data = AlignmentFolder(
        str(data_root / "emoji" / "noto_twemoji_en_zh"),
        features=["relation", "attribute", "name", "attribute_text"],
    )[0]
    validate(data)
    anchors = data[ANCHOR_EDGE]
    assert int(anchors.train_mask.sum() + anchors.val_mask.sum()) == 563
    assert int(anchors.test_mask.sum()) == 1316
    for side, counts in {
        "source": (4345, 11717, 12, 2020, 1831),
        "target": (4278, 10648, 13, 1976, 1799),
    }.items():
        edge = data[side, "relation", side]
        assert counts == (
            data[side].num_nodes,
            edge.num_edges,
            len(edge.relation_uri),
            int(data[side].attribute_mask.sum()),
            sum(path is not None for path in data[side].image_path),
        )
        assert data[side].name_mask.any()
        # Entities with an attribute are those with a value.
        assert torch.equal(data[side].attribute_mask, data[side].attribute_text_mask)
