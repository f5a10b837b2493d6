import pytest
import torch

from pyg_mmea.distill import EntityEncoder, InputSpec
from pyg_mmea.distill.export import random_inputs

SPEC = InputSpec({"image": 5, "relation": 7}, ["relation"], hops=1)


def _encoder(**kwargs: float) -> EntityEncoder:
    return EntityEncoder(SPEC, channels=4, **kwargs)


def test_shapes_and_gradients() -> None:
    encoder = _encoder()
    assert str(encoder).startswith("EntityEncoder(['image', 'image_tails',")
    assert str(encoder).endswith("channels=4, dropout=0.2)")
    out = encoder(random_inputs(encoder, 9))
    assert out.shape == (9, 4)
    torch.testing.assert_close(out.norm(dim=1), torch.ones(9))
    out[:, 0].sum().backward()
    assert all(x.grad is not None and x.grad.abs().sum() > 0 for x in encoder.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_entity_by_itself(dtype: torch.dtype) -> None:
    encoder = _encoder().to(dtype).eval()
    inputs = {
        name: x.to(dtype) if x.is_floating_point() else x
        for name, x in random_inputs(encoder, 9).items()
    }
    out = encoder(inputs)
    perm = torch.randperm(9)
    shuffled = encoder({name: x[perm] for name, x in inputs.items()})
    torch.testing.assert_close(shuffled, out[perm])
    torch.testing.assert_close(encoder({name: x[:1] for name, x in inputs.items()}), out[:1])


def test_absent_inputs_do_not_matter() -> None:
    encoder = _encoder().eval()
    encoder.get_buffer("mean_image").fill_(3.0)
    inputs = random_inputs(encoder, 9)
    out = encoder(inputs)
    absent = ~inputs["image_mask"]
    assert absent.any()
    assert not absent.all()
    inputs["image"][absent] = 7.0
    assert encoder(inputs).equal(out)
    inputs["image"][~absent] += 1.0
    assert not encoder(inputs)[~absent].allclose(out[~absent])


def test_standardize() -> None:
    encoder = _encoder().eval()
    x = torch.randn(20, 5) * torch.tensor([1.0, 2.0, 3.0, 4.0, 0.0]) + 5
    mask = torch.arange(20) < 15
    graphs = []
    for part in (slice(0, 8), slice(8, 20)):
        inputs = random_inputs(encoder, x[part].size(0))
        graphs.append({**inputs, "image": x[part], "image_mask": mask[part]})
    encoder.standardize(graphs)
    mean, scale = encoder.get_buffer("mean_image"), encoder.get_buffer("scale_image")
    scaled = (x[:15] - mean) * scale
    torch.testing.assert_close(scaled.mean(dim=0), torch.zeros(5), atol=1e-6, rtol=0)
    expected = torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0])
    torch.testing.assert_close(scaled.std(dim=0, correction=0), expected)
    for inputs in graphs:
        inputs["image_mask"].zero_()
    encoder.standardize(graphs)  # nothing to learn from
    assert encoder.get_buffer("mean_image").equal(mean)


def test_bags_are_counts_of_any_scale() -> None:
    encoder = EntityEncoder(InputSpec({"relation": 3}, ["relation"], 0), 4).eval()
    mask = torch.ones(1, dtype=torch.bool)
    once = encoder({"relation": torch.tensor([[1.0, 0, 1]]), "relation_mask": mask})
    often = encoder({"relation": torch.tensor([[9.0, 0, 9]]), "relation_mask": mask})
    torch.testing.assert_close(once, often)


def test_bad_arguments() -> None:
    for kwargs, words in (
        ({"channels": 0}, "'channels' needs to be positive"),
        ({"dropout": 1.0}, r"'dropout' needs to be in \[0, 1\)"),
    ):
        with pytest.raises(ValueError, match=words):
            EntityEncoder(SPEC, **kwargs)
