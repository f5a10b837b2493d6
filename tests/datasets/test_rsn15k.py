import shutil
from pathlib import Path

import pytest

from pyg_mmea.data import validate
from pyg_mmea.datasets import RSN15K
from pyg_mmea.typing import ANCHOR_EDGE


def test_seeds_are_no_test_links(eva_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "root" / "en_fr_15k_V1"
    shutil.copytree(eva_folder, folder)
    (folder / "ill_ent_ids").rename(folder / "ref_ent_ids")
    data = RSN15K(str(tmp_path / "root"))[0]
    assert data.dataset == "RSN15K/en_fr_15k_V1"
    assert int(data[ANCHOR_EDGE].test_mask.sum()) == 1
    assert data[ANCHOR_EDGE].edge_label_index.size(1) == 3


def test_pairs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'pair' needs to be among en_fr_15k_V1"):
        RSN15K(str(tmp_path), "en_fr")  # type: ignore[arg-type]


@pytest.mark.dataset
@pytest.mark.parametrize(
    ("pair", "triples", "with_attributes"),
    [
        ("en_fr_15k_V1", (36508, 33532), (15000, 15000)),
        ("dbp_yg_15k_V1", (33748, 36569), (14360, 6644)),
    ],
)
def test_counts(
    data_root: Path, pair: str, triples: tuple[int, int], with_attributes: tuple[int, int]
) -> None:
    data = RSN15K(str(data_root / "RSN15K"), pair)[0]  # type: ignore[arg-type]
    validate(data)
    anchors = data[ANCHOR_EDGE]
    assert int((anchors.train_mask | anchors.val_mask).sum()) == 4500
    assert int(anchors.test_mask.sum()) == 10500
    for i, side in enumerate(("source", "target")):
        assert data[side].num_nodes == 15000
        assert data[side, "relation", side].num_edges == triples[i]
        assert int(data[side].attribute_mask.sum()) == with_attributes[i]
