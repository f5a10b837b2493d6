import pytest
import torch

from pyg_mmea.distill import InputSpec, entity_inputs
from pyg_mmea.distill.inputs import take_rows
from pyg_mmea.typing import RELATION_EDGE, SIDES

PLACES = ["", "_tails", "_heads", "_two_hops"]


def test_spec(fake) -> None:
    spec = InputSpec.from_data(fake, ["image", "relation", "image"], hops=1)
    vocabulary = {"relation": fake.relation_vocabulary}
    assert spec == InputSpec({"image": 16, "relation": 10}, ["relation"], 1, vocabulary)
    assert list(spec.fields) == [
        f"{m}{place}" for m in ("image", "relation") for place in PLACES[:3]
    ]
    assert len(InputSpec.from_data(fake).channels) == 6
    assert list(InputSpec.from_data(fake, ["image"], hops=0).fields) == ["image"]


def test_columns_of_bags_are_those_of_the_run(fake) -> None:
    spec = InputSpec.from_data(fake, ["attribute"])
    fake.attribute_vocabulary = fake.attribute_vocabulary[::-1]
    with pytest.raises(ValueError, match="'attribute_vocabulary' of the run, in the same order"):
        entity_inputs(fake, "source", spec)
    del fake.attribute_vocabulary
    with pytest.raises(ValueError, match="'attribute_vocabulary' of the run, in the same order"):
        spec.check(fake)


def test_bad_spec(fake) -> None:
    with pytest.raises(ValueError, match=r"'modalities' needs to be of .*'image'.*got \['smell'\]"):
        InputSpec.from_data(fake, ["image", "smell"])
    with pytest.raises(ValueError, match="'modalities'"):
        InputSpec.from_data(fake, [])
    with pytest.raises(ValueError, match=r"'hops' needs to be in \[0, 2\] \(got 3\)"):
        InputSpec.from_data(fake, hops=3)
    with pytest.raises(ValueError, match="'channels' gives two inputs one name"):
        InputSpec({"image": 8, "image_tails": 8}, [], hops=1)
    with pytest.raises(ValueError, match="at least one modality"):
        InputSpec({}, [])
    spec = InputSpec({"image": 8}, [])
    with pytest.raises(ValueError, match=r"'x_image' of size 8 for each source entity \(got 16\)"):
        spec.check(fake)
    with pytest.raises(ValueError, match=r"'x_smell'.*got none"):
        InputSpec({"smell": 8}, []).check(fake)


def _slow_mean(near: list[set[int]], x: torch.Tensor, mask: torch.Tensor):
    """The same by a plain loop."""
    out, has = torch.zeros_like(x), torch.zeros_like(mask)
    for i, others in enumerate(near):
        rows = [x[j] for j in others if mask[j]]
        if rows:
            out[i], has[i] = torch.stack(rows).mean(dim=0), True
    return out, has


@pytest.mark.parametrize("name", ["image", "attribute"])  # dense with gaps, sparse
def test_means_are_those_of_a_loop(fake, name: str) -> None:
    spec = InputSpec.from_data(fake, [name])
    for side in SIDES:
        store = fake[side]
        edge_index = fake[RELATION_EDGE[side]].edge_index
        twice = torch.cat([edge_index, edge_index[:, :5]], dim=1)  # counts once
        fake[RELATION_EDGE[side]].edge_index = twice
        tails, heads = ([set() for _ in range(store.num_nodes)] for _ in range(2))
        for head, tail in edge_index.t().tolist():
            tails[head].add(tail)
            heads[tail].add(head)
        both = [a | b for a, b in zip(tails, heads, strict=True)]
        x = store[f"x_{name}"]
        x, mask = x.to_dense() if x.is_sparse else x, store[f"{name}_mask"]
        expected = [(x, mask), _slow_mean(tails, x, mask), _slow_mean(heads, x, mask)]
        expected.append(_slow_mean(both, *_slow_mean(both, x, mask)))
        inputs = entity_inputs(fake, side, spec)
        assert len(inputs) == 8
        rows = take_rows(inputs, torch.arange(store.num_nodes))
        for place, (value, has) in zip(PLACES, expected, strict=True):
            torch.testing.assert_close(rows[f"{name}{place}"], value)
            assert rows[f"{name}{place}_mask"].equal(has)
        assert mask.all() or not mask.equal(rows[f"{name}_tails_mask"])


def test_modality_without_mask(fake) -> None:
    for side in SIDES:
        del fake[side].image_mask
    assert entity_inputs(fake, "source", InputSpec.from_data(fake, ["image"]))["image_mask"].all()
