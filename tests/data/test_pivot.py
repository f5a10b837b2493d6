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
