import pytest
import torch
import torch.nn.functional as F

from pyg_mmea.calibration import (
    even_weights,
    fit_view_weights,
    split_parts,
    sum_parts,
    weighted_joint,
)
from pyg_mmea.data import sample_links

LINKS = torch.arange(20).repeat(2, 1)


def views(noise):
    """Embeddings whose modalities are alike up to noise; without any where it is None."""
    out = {"source": {}, "target": {}}
    for name, size in noise.items():
        x = torch.randn(60, 8)
        out["source"][name] = x
        out["target"][name] = torch.randn(60, 8) if size is None else x + size * torch.randn(60, 8)
    for side in out.values():
        side["joint"] = torch.full((60, 2), torch.nan)  # never looked at
    return out


def test_the_better_modality_weighs_more():
    weights = fit_view_weights(views({"good": 0.2, "noise": None, "fair": 1.0}), LINKS)
    assert list(weights) == ["good", "noise", "fair"]
    assert sum(weights.values()) == pytest.approx(1)
    assert weights["good"] > weights["fair"] > weights["noise"] > 0


def test_equal_modalities_weigh_the_same():
    out = views({"one": 1.0})
    for side in out.values():
        side["two"] = side["one"] * 3
    assert fit_view_weights(out, LINKS) == pytest.approx({"one": 0.5, "two": 0.5}, abs=0.01)
    assert fit_view_weights(views({"one": 0.5}), LINKS) == {"one": 1.0}


def test_swapping_the_graphs_changes_nothing():
    out = views({"a": 1.0, "b": 1.5})
    weights = fit_view_weights(out, LINKS)
    turned = {"source": out["target"], "target": out["source"]}
    assert fit_view_weights(turned, LINKS.flip(0)) == pytest.approx(weights, abs=0.01)


def test_seed_of_the_caller_is_left_alone():
    out = views({"a": 0.3, "b": 0.8})
    state = torch.get_rng_state()
    first = fit_view_weights(out, LINKS, num_negatives=7)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(1)
    assert fit_view_weights(out, LINKS, num_negatives=7) == first


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_fits_inside_a_validation(mode):
    out = views({"a": 0.3, "b": 0.8})
    expected = fit_view_weights(out, LINKS)
    with mode():
        same = {side: {name: x.clone() for name, x in part.items()} for side, part in out.items()}
        assert fit_view_weights(same, LINKS) == expected


def test_needs_links():
    with pytest.raises(ValueError, match="'links' needs to hold at least one link"):
        fit_view_weights(views({"a": 0.3}), LINKS[:, :0])


@pytest.mark.parametrize("seed", [4, 187])
def test_one_link_is_enough(seed):
    generator = torch.Generator().manual_seed(seed)
    out = {"source": {}, "target": {}}
    for i in range(3):
        shared = torch.randn(30, 3, generator=generator)
        for side in out.values():
            noise = torch.randn(30, 3, generator=generator)
            side[str(i)] = shared + (i + 1) * noise
    # These made the line search leave single precision.
    weights = fit_view_weights(out, torch.tensor([[3], [3]]))
    assert sum(weights.values()) == pytest.approx(1)


def test_inner_products_are_weighted_cosines():
    out = views({"a": 0.3, "b": 0.8})
    weights = {"a": 0.9, "b": 0.1}
    x_s, x_t = (weighted_joint(side, weights) for side in out.values())
    expected = sum(
        weight * F.cosine_similarity(out["source"][name], out["target"][name])
        for name, weight in weights.items()
    )
    assert torch.allclose((x_s * x_t).sum(dim=1), expected, atol=1e-5)
    assert torch.allclose(x_s.norm(dim=1), torch.ones(60))


def test_a_view_in_half_precision_may_be_absent():
    view = torch.randn(5, 3).half()
    view[2] = 0
    joint = weighted_joint({"a": view}, {"a": 1.0})
    assert joint.dtype == torch.float16
    assert joint.isfinite().all()
    assert (joint[2] == 0).all()


def test_parts_are_weighed_apart():
    whole = {}
    for side, out in views({"good": 0.2, "noise": None}).items():
        whole[side] = {"layers": torch.cat([out["good"], out["noise"]], dim=1)}
        whole[side]["joint"] = out["joint"]
    parts = {side: split_parts(out, {"layers": 2}) for side, out in whole.items()}
    weights = fit_view_weights(parts, LINKS)
    assert weights["layers.0"] > 0.8 > 0.2 > weights["layers.1"]
    assert sum_parts(weights) == pytest.approx({"layers": 1})


def test_parts_share_the_memory_of_their_view():
    view = torch.randn(4, 6)
    parts = split_parts({"a": view, "b": view, "joint": view}, {"a": 3, "joint": 2})
    assert list(parts) == ["a.0", "a.1", "a.2", "b"]
    assert parts["b"] is view
    assert torch.equal(torch.cat(list(parts.values())[:3], dim=1), view)
    assert parts["a.1"].data_ptr() == view[:, 2:].data_ptr()
    for wrong in (0, 4, 7):
        with pytest.raises(ValueError, match="'num_parts' of 'a' needs to divide its size 6"):
            split_parts({"a": view}, {"a": wrong})


def test_even_weights_are_those_of_views():
    parts = ["a.0", "a.1", "b", "price.usd"]
    weights = even_weights(parts)
    assert list(weights) == parts
    assert weights["a.0"] == weights["a.1"] == pytest.approx(1 / 6)
    assert sum_parts(weights) == pytest.approx({"a": 1 / 3, "b": 1 / 3, "price.usd": 1 / 3})


def test_graphs_of_different_sizes():
    out = views({"good": 0.2, "noise": None})
    out["target"] = {
        name: torch.cat([x, torch.randn(25, x.size(1))]) for name, x in out["target"].items()
    }
    weights = fit_view_weights(out, LINKS)
    assert weights["good"] > weights["noise"]


def test_a_sample_of_many_links_is_enough():
    out = views({"a": 0.3, "b": 0.8})
    with pytest.raises(ValueError, match="'max_links' needs to be at least 1"):
        fit_view_weights(out, LINKS, max_links=0)
    sample = sample_links(LINKS, 12)
    assert fit_view_weights(out, LINKS, max_links=12) == fit_view_weights(out, sample)
    assert fit_view_weights(out, LINKS, max_links=20) == fit_view_weights(out, LINKS)


def test_the_joint_embedding_has_a_gradient():
    view = torch.randn(5, 3, requires_grad=True)
    weighted_joint({"a": view, "b": torch.randn(5, 2)}, {"a": 0.5, "b": 0.5}).sum().backward()
    assert view.grad.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_mixed_precision_does_not_reach_the_weights(dtype):
    torch.manual_seed(0)
    source, noise = torch.randn(2, 40, 16, dtype=dtype)
    out = {
        "source": {"good": source, "bad": noise},
        "target": {"good": source + 0.3 * noise, "bad": torch.randn(40, 16, dtype=dtype)},
    }
    links = torch.arange(12).repeat(2, 1)
    expected = fit_view_weights(out, links)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert fit_view_weights(out, links) == expected
