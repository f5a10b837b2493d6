import pytest
import torch

from pyg_mmea.data import AlignmentData, DropModality, PivotAnchors, validate
from pyg_mmea.typing import ANCHOR_EDGE


def looks_alike(fake: AlignmentData) -> torch.Tensor:
    """Gives the ends of some known links the same picture that nobody else has."""
    links = fake[ANCHOR_EDGE].edge_label_index[:, ::3]
    torch.manual_seed(0)
    for side, ends in zip(("source", "target"), links, strict=True):
        x = torch.randn(fake[side].num_nodes, 64)
        x[ends] = 5 * torch.randn(links.size(1), 64, generator=torch.Generator().manual_seed(1))
        fake[side].x_image = x
        fake[side].image_mask = torch.ones(x.size(0), dtype=torch.bool)
    return links


def test_pivot_anchors_are_what_looks_alike(fake: AlignmentData) -> None:
    alike = looks_alike(fake)
    known = fake[ANCHOR_EDGE].edge_label_index.clone()
    data = PivotAnchors("image", num_links=alike.size(1), val_ratio=0.25)(fake)
    validate(data)
    anchors = data[ANCHOR_EDGE]
    assert anchors.pivot == "image"
    seeds = anchors.edge_label_index[:, anchors.train_mask | anchors.val_mask]
    assert torch.equal(seeds, alike.unique(dim=1))
    assert int(anchors.val_mask.sum()) == round(0.25 * alike.size(1))
    # All other known links are there for the test, each once.
    assert torch.equal(anchors.edge_label_index, known.unique(dim=1))
    assert int(anchors.test_mask.sum()) == known.size(1) - alike.size(1)


def links_of(data: AlignmentData, split: str) -> set[tuple[int, int]]:
    anchors = data[ANCHOR_EDGE]
    return set(zip(*anchors.edge_label_index[:, anchors[f"{split}_mask"]].tolist(), strict=True))


def test_pivot_anchors_beside_known_links(fake: AlignmentData) -> None:
    alike = set(zip(*looks_alike(fake).tolist(), strict=True))
    # One of the pairs that look alike is wrong, as a known link tells.
    anchors = fake[ANCHOR_EDGE]
    place = next(
        i
        for i, link in enumerate(anchors.edge_label_index.t().tolist())
        if tuple(link) in alike and anchors.train_mask[i]
    )
    lone = set(range(fake["target"].num_nodes)) - set(anchors.edge_label_index[1].tolist())
    anchors.edge_label_index[1, place] = lone.pop()
    before = {split: links_of(fake, split) for split in ("train", "val", "test")}
    data = PivotAnchors("image", num_links=len(alike), keep_known=True)(fake)
    validate(data)
    anchors = data[ANCHOR_EDGE]
    pivots = set(zip(*anchors.edge_label_index[:, anchors.pivot_mask].tolist(), strict=True))
    assert alike & before["test"] <= pivots  # the surest
    assert links_of(data, "val") == before["val"]
    assert links_of(data, "train") == before["train"] | pivots
    assert links_of(data, "test") == before["test"] - pivots
    for side in (0, 1):
        known = {link[side] for link in before["train"] | before["val"]}
        assert not known & {link[side] for link in pivots}
    right, judged = anchors.pivot_judged
    assert right == 2 * len(alike & (before["train"] | before["val"]))
    assert judged >= right + 1


def test_pivot_anchors_beside_known_links_see_no_test_link(fake: AlignmentData) -> None:
    looks_alike(fake)
    other = fake.clone()
    anchors = other[ANCHOR_EDGE]
    hidden = anchors.edge_label_index[:, anchors.test_mask]
    anchors.edge_label_index[:, anchors.test_mask] = torch.stack([hidden[0], hidden[1].flip(0)])
    made = [PivotAnchors("image", keep_known=True)(data)[ANCHOR_EDGE] for data in (fake, other)]
    assert torch.equal(*(links.edge_label_index[:, links.train_mask] for links in made))
    assert made[0].pivot_judged == made[1].pivot_judged


def test_pivot_anchors_learn_nothing_from_known_links(fake: AlignmentData) -> None:
    looks_alike(fake)
    other = fake.clone()
    links = other[ANCHOR_EDGE].edge_label_index
    links[1] = links[1].flip(0)
    seeds = []
    for data in (fake, other):
        anchors = PivotAnchors("image")(data)[ANCHOR_EDGE]
        seeds.append(anchors.edge_label_index[:, ~anchors.test_mask])
    assert torch.equal(*seeds)


def test_pivot_anchors_pass_over_entities_without_the_modality(fake: AlignmentData) -> None:
    alike = looks_alike(fake)
    fake["source"].image_mask[alike[0, 0]] = False
    fake["source"].x_image[alike[0, 0]] = 0
    anchors = PivotAnchors("image", num_links=alike.size(1) - 1)(fake)[ANCHOR_EDGE]
    seeds = anchors.edge_label_index[:, ~anchors.test_mask]
    assert torch.equal(seeds, alike[:, 1:].unique(dim=1))


def test_pivot_anchors_of_sparse_bags(fake: AlignmentData) -> None:
    anchors = PivotAnchors("relation")(fake)[ANCHOR_EDGE]
    assert anchors.train_mask.any()


def test_pivot_anchors_arguments(fake: AlignmentData) -> None:
    assert str(PivotAnchors("name", 5)) == "PivotAnchors('name', num_links=5)"
    text = str(PivotAnchors("name", keep_known=True))
    assert text == "PivotAnchors('name', num_links=None, keep_known=True)"
    with pytest.raises(ValueError, match="'val_ratio' cannot be given with 'keep_known'"):
        PivotAnchors("image", val_ratio=0.2, keep_known=True)
    twice = PivotAnchors("image", keep_known=True)(fake)
    with pytest.raises(ValueError, match="there are some of 'PivotAnchors' by 'image' among"):
        PivotAnchors("name", keep_known=True)(twice)
    with pytest.raises(ValueError, match="needs features of 'structure'"):
        PivotAnchors("structure")(fake)
    with pytest.raises(ValueError, match="'num_links' needs to be at least 1"):
        PivotAnchors("image", 0)
    with pytest.raises(ValueError, match="needs features of 'name'"):
        PivotAnchors("name")(DropModality("name")(fake))
    looks_alike(fake)
    fake["target"].image_mask[:] = False
    with pytest.raises(ValueError, match="needs entities with 'image'"):
        PivotAnchors("image")(fake)
