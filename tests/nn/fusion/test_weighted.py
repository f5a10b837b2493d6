import pytest
import torch

from pyg_mmea.nn.fusion import WeightedConcat


def test_weighted_concat_by_hand():
    fusion = WeightedConcat(["structure", "image"], [2, 1])
    assert str(fusion) == "WeightedConcat(structure=2, image=1, missing='zero')"
    assert fusion.out_channels == 3
    out = fusion({"image": torch.tensor([[-5.0]]), "structure": torch.tensor([[3.0, 4.0]])})
    assert torch.allclose(out, torch.tensor([[0.3, 0.4, -0.5]]))
    with torch.no_grad():
        fusion.weight.copy_(torch.tensor([3.0, 1.0]).log())
    out = fusion({"image": torch.tensor([[-5.0]]), "structure": torch.tensor([[3.0, 4.0]])})
    assert torch.allclose(out, torch.tensor([[0.45, 0.6, -0.25]]))


@pytest.mark.parametrize("missing", ["zero", "renormalize", "noise"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weighted_concat_missing(missing, dtype):
    fusion = WeightedConcat(["a", "b", "c"], 4, missing).to(dtype)
    with torch.no_grad():
        fusion.weight.copy_(torch.tensor([0.5, 0.3, 0.2]).log())
    x = {name: torch.randn(3, 4, dtype=dtype) for name in "abc"}
    masks = {"b": torch.tensor([True, False, False]), "c": torch.tensor([True, True, False])}
    out = fusion(x, masks, torch.Generator().manual_seed(1))
    assert out.size() == (3, 12)
    assert out.dtype == dtype
    assert torch.allclose(out[0], fusion(x)[0])
    norm = out.view(3, 3, 4).norm(dim=-1)
    expected = {
        "zero": [[0.5, 0.3, 0.2], [0.5, 0.0, 0.2], [0.5, 0.0, 0.0]],
        "renormalize": [[0.5, 0.3, 0.2], [5 / 7, 0.0, 2 / 7], [1.0, 0.0, 0.0]],
        "noise": [[0.5, 0.3, 0.2]] * 3,
    }[missing]
    assert torch.allclose(norm, torch.tensor(expected, dtype=dtype))


def test_weighted_concat_noise_is_seeded_and_independent_of_the_features():
    fusion = WeightedConcat(["a"], 4, missing="noise")
    mask = {"a": torch.tensor([True, False])}
    x, y = torch.randn(2, 4), torch.randn(2, 4)
    outs = [
        fusion({"a": features}, mask, torch.Generator().manual_seed(seed))
        for features, seed in ((x, 0), (y, 0), (x, 1))
    ]
    assert torch.equal(outs[0][1], outs[1][1])
    assert not torch.allclose(outs[0][1], outs[2][1])
    assert torch.equal(outs[0][0], outs[2][0])


@pytest.mark.parametrize("missing", ["zero", "renormalize"])
def test_weighted_concat_ignores_what_stands_in_absent_rows(missing):
    fusion = WeightedConcat(["a", "b"], 4, missing)
    x = {"a": torch.randn(3, 4), "b": torch.randn(3, 4)}
    masks = {"a": torch.tensor([True, False, False]), "b": torch.tensor([True, True, False])}
    out = fusion(x, masks)
    x["a"] = x["a"].masked_fill(~masks["a"].view(-1, 1), 9.0)
    assert torch.equal(out, fusion(x, masks))
    assert torch.equal(out[2], torch.zeros(8))  # nothing at all


def test_weighted_concat_gradients_permutation_and_state():
    fusion = WeightedConcat(["a", "b"], [3, 2], "renormalize")
    x = {"a": torch.randn(5, 3, requires_grad=True), "b": torch.zeros(5, 2, requires_grad=True)}
    masks = {"a": torch.tensor([True, True, False, True, False])}
    out = fusion(x, masks)
    out.square().sum().backward()
    assert fusion.weight.grad.abs().min() > 0
    assert all(value.grad.isfinite().all() for value in x.values())

    perm = torch.randperm(5)
    permuted = fusion({m: v[perm] for m, v in x.items()}, {"a": masks["a"][perm]})
    assert torch.allclose(permuted, out[perm])

    other = WeightedConcat(["a", "b"], [3, 2], "renormalize")
    with torch.no_grad():
        fusion.weight.copy_(torch.tensor([1.0, 3.0]))
    other.load_state_dict(fusion.state_dict())
    assert torch.equal(fusion(x, masks), other(x, masks))
    fusion.reset_parameters()
    assert torch.equal(fusion.weight, torch.ones(2))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(modalities=[], channels=4), "distinct names"),
        (dict(modalities=["a", "a"], channels=4), "distinct names"),
        (dict(modalities=["a"], channels=[4, 2]), "needs to have 1 entries"),
        (dict(modalities=["a"], channels=4, missing="mean"), "needs to be one of"),
    ],
)
def test_weighted_concat_rejects_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        WeightedConcat(**kwargs)


def test_weighted_concat_rejects_bad_embeddings():
    fusion = WeightedConcat(["a", "b"], 4)
    with pytest.raises(ValueError, match="needs to have 'b' with shape"):
        fusion({"a": torch.randn(2, 4)})
    with pytest.raises(ValueError, match="needs to have 'a' with shape"):
        fusion({"a": torch.randn(2, 3), "b": torch.randn(2, 4)})
