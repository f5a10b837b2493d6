import pytest
import torch

from pyg_mmea.data import sample_links, split_anchors, split_seeds


def test_split_anchors_sizes() -> None:
    train, val, test = split_anchors(200, seed_ratio=0.3, val_ratio=0.1)
    assert [int(mask.sum()) for mask in (train, val, test)] == [54, 6, 140]
    assert (train.int() + val.int() + test.int() == 1).all()


def test_split_anchors_depends_on_its_seed_only() -> None:
    torch.manual_seed(0)
    first = split_anchors(50, split_seed=3)
    state = torch.get_rng_state()
    torch.manual_seed(1)
    second = split_anchors(50, split_seed=3)
    other = split_anchors(50, split_seed=4)
    torch.manual_seed(0)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], other[0])
    assert torch.equal(torch.get_rng_state(), state)


def test_split_seeds_validates_on_seeds_only() -> None:
    seeds = torch.arange(100) % 3 == 0
    train, val, test = split_seeds(seeds, val_ratio=0.25, split_seed=1)
    assert torch.equal(train | val, seeds)
    assert torch.equal(test, ~seeds)
    assert int(val.sum()) == round(0.25 * int(seeds.sum()))


@pytest.mark.parametrize("seed_ratio", [0.0, 1.0])
def test_all_or_nothing(seed_ratio: float) -> None:
    train, val, test = split_anchors(10, seed_ratio, val_ratio=0.0)
    assert int(train.sum()) == 10 * seed_ratio
    assert not val.any()
    assert split_anchors(0)[0].numel() == 0
    assert torch.equal(test, ~train)


@pytest.mark.parametrize(
    ("kwargs", "name"),
    [({"seed_ratio": 1.1}, "seed_ratio"), ({"val_ratio": 1.0}, "val_ratio")],
)
def test_ratios_are_checked(kwargs: dict[str, float], name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' needs to be in"):
        split_anchors(10, **kwargs)


def test_sample_links_is_fixed_and_keeps_the_order() -> None:
    links = torch.arange(40).view(2, 20)
    sample = sample_links(links, 6)
    assert sample.shape == (2, 6)
    assert torch.equal(sample, sample_links(links, 6))
    assert torch.equal(sample[1] - sample[0], torch.full((6,), 20))
    assert torch.equal(sample, sample.unique(dim=1))
    assert sample_links(links, None) is links
    assert sample_links(links, 20) is links
