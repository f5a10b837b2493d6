import pytest
import torch
from torch import Tensor

from pyg_mmea.data import (
    AlignmentData,
    CorruptSeeds,
    DropModality,
    HideFeatures,
    SwapFeatures,
    validate,
)
from pyg_mmea.datasets import FakeMMKG
from pyg_mmea.typing import ANCHOR_EDGE, SIDES


def dense(x: Tensor) -> Tensor:
    return x if x.layout == torch.strided else x.to_dense()


def test_corrupt_seeds(fake: AlignmentData) -> None:
    anchors = fake[ANCHOR_EDGE]
    noisy = CorruptSeeds(0.5)(fake)
    validate(noisy)
    before, after = anchors.edge_label_index, noisy[ANCHOR_EDGE].edge_label_index
    wrong = before[1] != after[1]
    seeds = anchors.train_mask | anchors.val_mask
    assert int(wrong.sum()) == round(0.5 * int(seeds.sum()))
    assert not wrong[anchors.test_mask].any()
    # They trade among each other, so that alignments stay one-to-one.
    assert torch.equal(before[1].sort().values, after[1].sort().values)
    assert torch.equal(CorruptSeeds(0.5)(fake)[ANCHOR_EDGE].edge_label_index, after)
    other = CorruptSeeds(0.5, noise_seed=1)(fake)[ANCHOR_EDGE].edge_label_index
    assert not torch.equal(other, after)
    assert torch.equal(CorruptSeeds(0.0)(fake)[ANCHOR_EDGE].edge_label_index, before)


def test_a_split_of_the_same_seed_does_not_choose_what_is_wrong() -> None:
    # The split draws validation links from the seeds, in the order in which noise is drawn, too.
    data = FakeMMKG(num_links=600, seed_ratio=1.0, features=[])[0]
    noisy = CorruptSeeds(0.2, noise_seed=0)(data)[ANCHOR_EDGE]
    wrong = data[ANCHOR_EDGE].edge_label_index[1] != noisy.edge_label_index[1]
    share = wrong[noisy.val_mask].double().mean()
    assert 0 < share < 0.6


@pytest.mark.parametrize("modality", ["image", "attribute"])
def test_swap_features(fake: AlignmentData, modality: str) -> None:
    before = {side: dense(fake[side][f"x_{modality}"]) for side in SIDES}
    noisy = SwapFeatures(modality, 0.4)(fake)
    validate(noisy)
    for side in SIDES:
        mask, after = noisy[side][f"{modality}_mask"], dense(noisy[side][f"x_{modality}"])
        assert torch.equal(mask, fake[side][f"{modality}_mask"])
        changed = (before[side] != after).any(dim=1)
        # Bags may be alike; pictures are not.
        most = round(0.4 * int(mask.sum()))
        assert 0 < int(changed.sum()) <= most
        assert modality == "attribute" or int(changed.sum()) == most
        assert not changed[~mask].any()
        assert torch.allclose(before[side].sum(dim=0), after.sum(dim=0), atol=1e-4)
        assert torch.equal(before[side], dense(fake[side][f"x_{modality}"]))  # kept as it was


@pytest.mark.parametrize("modality", ["image", "attribute"])
def test_hide_features(fake: AlignmentData, modality: str) -> None:
    noisy = HideFeatures(modality, 0.25)(fake)
    validate(noisy)
    for side in SIDES:
        had, has = fake[side][f"{modality}_mask"], noisy[side][f"{modality}_mask"]
        assert int((had & ~has).sum()) == round(0.25 * int(had.sum()))
        assert not (has & ~had).any()
        x = dense(fake[side][f"x_{modality}"]) * has.view(-1, 1)
        assert torch.equal(dense(noisy[side][f"x_{modality}"]), x)


def test_noise_is_checked(fake: AlignmentData) -> None:
    for ratio in (-0.1, 1.1):
        with pytest.raises(ValueError, match="'ratio' needs to be in"):
            CorruptSeeds(ratio)
        with pytest.raises(ValueError, match="'ratio' needs to be in"):
            HideFeatures("image", ratio)
    with pytest.raises(ValueError, match="needs features of 'smell'"):
        SwapFeatures("smell", 0.5)(fake)
    with pytest.raises(ValueError, match="needs features of 'image'"):
        SwapFeatures("image", 0.5)(DropModality("image")(fake))
    assert repr(HideFeatures("image", 0.5)) == "HideFeatures('image', 0.5)"
    assert repr(CorruptSeeds(0.1)) == "CorruptSeeds(0.1)"
