import pytest
import torch

from pyg_mmea.data import AlignmentData, DropModality, HideAnchors, validate
from pyg_mmea.typing import ANCHOR_EDGE, SIDES


@pytest.mark.parametrize(("keep", "masks"), [("train", ["train"]), ("train+val", ["train", "val"])])
def test_hide_anchors(fake: AlignmentData, keep: str, masks: list[str]) -> None:
    before = fake[ANCHOR_EDGE].edge_label_index.clone()
    kept = torch.stack([fake[ANCHOR_EDGE][f"{mask}_mask"] for mask in masks]).any(dim=0)
    fake[ANCHOR_EDGE].hint = before.clone()  # whatever else lies there could give links away
    hidden = HideAnchors(keep)(fake)
    validate(hidden)
    anchors = hidden[ANCHOR_EDGE]
    assert set(anchors.keys()) == {"edge_label_index", "train_mask", "val_mask", "test_mask"}
    assert torch.equal(anchors.edge_label_index, before[:, kept])
    assert not anchors.test_mask.any()
    assert anchors.val_mask.any() == ("val" in masks)
    # The memory behind the tensor holds no other link either.
    assert anchors.edge_label_index.untyped_storage().nbytes() == 16 * int(kept.sum())
    assert torch.equal(fake[ANCHOR_EDGE].edge_label_index, before)


def test_hide_anchors_does_not_see_test_links(fake: AlignmentData) -> None:
    shuffled = fake.clone()
    test = shuffled[ANCHOR_EDGE].test_mask.nonzero().view(-1)
    links = shuffled[ANCHOR_EDGE].edge_label_index
    links[1, test] = links[1, test.flip(0)]
    assert not torch.equal(links, fake[ANCHOR_EDGE].edge_label_index)
    first, second = HideAnchors()(fake), HideAnchors()(shuffled)
    for key, value in first[ANCHOR_EDGE].items():
        assert torch.equal(value, second[ANCHOR_EDGE][key])


def test_hide_anchors_arguments() -> None:
    assert str(HideAnchors()) == "HideAnchors(keep='train')"
    with pytest.raises(ValueError, match="'keep'"):
        HideAnchors("test")  # type: ignore[arg-type]


def test_drop_modality(fake: AlignmentData) -> None:
    dropped = DropModality(["relation", "image"])(fake)
    validate(dropped)
    for side in ("source", "target"):
        assert "x_attribute" in dropped[side]
        for key in ("x_relation", "relation_mask", "x_image", "image_mask"):
            assert key not in dropped[side]
            assert key in fake[side]
    assert "relation_vocabulary" not in dropped
    assert "relation_vocabulary" in fake
    assert str(DropModality("image")) == "DropModality(['image'])"
    assert DropModality("image")(dropped).to_dict().keys() == dropped.to_dict().keys()


@pytest.mark.parametrize("name", ["structure", "picture"])
def test_drop_modality_checks_names(fake: AlignmentData, name: str) -> None:
    with pytest.raises(ValueError, match=r"'names' needs to be among relation, .*got"):
        DropModality(name)(fake)


def test_drop_modality_of_ones_own(fake: AlignmentData) -> None:
    for side in SIDES:
        fake[side].x_price = torch.ones(fake[side].num_nodes, 1)
        fake[side].price_mask = torch.ones(fake[side].num_nodes, dtype=torch.bool)
    dropped = DropModality("price")(fake)
    validate(dropped)
    assert not any("x_price" in dropped[side] for side in SIDES)
