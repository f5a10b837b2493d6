import pytest
import torch

from pyg_mmea.data import AlignmentData, HideAnchors, validate
from pyg_mmea.datasets import FakeMMKG
from pyg_mmea.typing import ANCHOR_EDGE, SIDES


def test_all_modalities(fake: AlignmentData) -> None:
    validate(fake)
    for side in SIDES:
        assert {key for key in fake[side] if key.startswith("x_")} == {
            "x_relation",
            "x_attribute",
            "x_image",
            "x_name",
            "x_relation_text",
            "x_attribute_text",
        }
        assert 0 < fake[side].image_mask.float().mean() < 1
        assert fake[side].num_nodes == 66


def test_is_seeded() -> None:
    state = torch.get_rng_state()
    first, second, other = FakeMMKG()[0], FakeMMKG()[0], FakeMMKG(seed=1)[0]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first["source"].x_image, second["source"].x_image)
    assert not torch.equal(first["source"].x_image, other["source"].x_image)
    split = FakeMMKG(split_seed=1)[0]
    assert torch.equal(first["source"].x_image, split["source"].x_image)
    assert not torch.equal(first[ANCHOR_EDGE].train_mask, split[ANCHOR_EDGE].train_mask)


@pytest.mark.parametrize("modality", ["image", "name", "relation_text", "attribute_text"])
def test_links_can_be_learned(modality: str) -> None:
    data = FakeMMKG(noise=0.05, missing=0.0)[0]
    x_s, x_t = (data[side][f"x_{modality}"] for side in SIDES)
    source, target = data[ANCHOR_EDGE].edge_label_index
    assert not torch.equal(source, target)
    nearest = torch.cdist(x_s[source], x_t).argmin(dim=1)
    assert (nearest == target).float().mean() > 0.9


def test_structure_is_shared() -> None:
    data = FakeMMKG(noise=0.0, num_dangling=0)[0]
    to_target = torch.empty(60, dtype=torch.long)
    source, target = data[ANCHOR_EDGE].edge_label_index
    to_target[source] = target
    edges = [data[side, "relation", side] for side in SIDES]
    mapped = torch.cat([to_target[edges[0].edge_index], edges[0].edge_type.view(1, -1)])
    wanted = torch.cat([edges[1].edge_index, edges[1].edge_type.view(1, -1)])
    assert sorted(mapped.t().tolist()) == sorted(wanted.t().tolist())
    bag = data["source"].x_relation.to_dense()
    assert torch.equal(bag, data["target"].x_relation.to_dense()[to_target])


def test_arguments() -> None:
    data = FakeMMKG(
        num_links=10, num_dangling=3, num_channels=5, features=["image"], transform=HideAnchors()
    )[0]
    assert data["target"].num_nodes == 13
    assert data["target"].x_image.shape == (13, 5)
    assert "x_relation" not in data["target"]
    assert data[ANCHOR_EDGE].train_mask.all()
    for kwargs in ({"noise": 1.0}, {"missing": -0.1}, {"num_links": 0}):
        with pytest.raises(ValueError, match=f"'{next(iter(kwargs))}' needs"):
            FakeMMKG(**kwargs)
