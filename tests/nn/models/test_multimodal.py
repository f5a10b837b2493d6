"""What holds for every model with an encoder a modality, PCMEA's own tests aside."""

import copy
from functools import partial

import pytest
import torch
from torch_geometric.data import HeteroData

from pyg_mmea.datasets import FakeMMKG
from pyg_mmea.loss import EVAObjective, MEAformerObjective, PCMEAObjective
from pyg_mmea.nn import EVA, MCLEA, PCMEA, ConcatModel, MEAformer, MultiModalModel
from pyg_mmea.testing import check_model
from pyg_mmea.typing import ANCHOR_EDGE, RELATION_EDGE, SIDES

MODELS = {"EVA": EVA, "MCLEA": MCLEA, "MEAformer": MEAformer}
_mclea = partial(PCMEAObjective, soft_weight=0.0, mi_weight=0.0, momentum_weight=0.0)
# Losses of three steps, then the sum of all embeddings; a change needs a line in the changelog.
FROZEN = {
    "EVA": (EVA, {}, EVAObjective, [-37.3556806, -40.9646837, -41.1721229, 6179.9155]),
    "MCLEA": (MCLEA, {}, _mclea, [1.43724587, 1.25312331, 1.1098647, 4311.04525]),
    "MEAformer": (
        MEAformer,
        {"fusion_dropout": 0.0},
        MEAformerObjective,
        [21.6944162, 11.3471247, 7.69363429, 4629.29361],
    ),
    "PCMEA": (
        PCMEA,
        {"dropout": 0.0},
        PCMEAObjective,
        [2.31595378, 1.78793919, 1.46310238, 3917.20963],
    ),
    "PCMEA_paper": (
        PCMEA,
        {"dropout": 0.0, "structure_encoder": "gat", "propagate": False},
        PCMEAObjective,
        [2.97197795, 1.48934494, 1.16873044, 3342.15903],
    ),
}


def double(data: HeteroData) -> HeteroData:
    return data.apply(lambda x: x.double() if x.is_floating_point() else x)


def make(name, data, **kwargs):
    return MODELS[name].from_data(data, channels=8, modality_channels=6, **kwargs)


def permuted(data, side, order):
    """Renumbers the entities of one graph: the new i was ``order[i]``."""
    data = copy.deepcopy(data)
    store, edges = data[side], data[RELATION_EDGE[side]]
    for key, value in store.items():
        if isinstance(value, torch.Tensor):
            store[key] = torch.index_select(value, 0, order)
            if value.is_sparse:
                store[key] = store[key].coalesce()
    edges.edge_index = order.argsort()[edges.edge_index]
    return data


@pytest.mark.parametrize("encoder", [None, "compgcn", "relation_reflection"])
@pytest.mark.parametrize("name", MODELS)
def test_models_keep_the_contract(name, encoder, fake):
    kwargs = {} if encoder is None else {"structure_encoder": encoder}
    model = make(name, fake, **kwargs)
    assert isinstance(model, MultiModalModel)
    assert isinstance(model, ConcatModel) == (name != "MEAformer")
    assert str(model).startswith(f"{name}(\n")
    check_model(model, fake)


@pytest.mark.parametrize("name", MODELS)
def test_gradient_reaches_each_parameter(name, fake):
    model = make(name, fake)
    out = model(fake)
    sum(x.tanh().pow(3).sum() for part in out.values() for x in part.values()).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().sum() > 0, key


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", MODELS)
def test_permuting_entities_permutes_the_output(name, side, fake):
    model = make(name, fake).eval()
    expected = model(fake)
    order = torch.randperm(fake[side].num_nodes)
    with torch.no_grad():
        model.entity[side].copy_(model.entity[side][order].clone())
    out = model(permuted(fake, side, order))
    for key, x in out[side].items():
        assert torch.allclose(x, expected[side][key][order], atol=1e-5), key


@pytest.mark.parametrize("name", MODELS)
def test_absent_modalities_are_zero_and_do_not_matter(name, fake):
    model = make(name, fake).eval()
    expected = model(fake)
    noisy = copy.deepcopy(fake)
    for side in SIDES:
        mask = noisy[side].image_mask
        assert not mask.all()
        noisy[side].x_image[~mask] = torch.nan
        assert torch.equal(expected[side]["image"].ne(0).any(dim=1), mask)
    out = model(noisy)
    for side in SIDES:
        for key, x in out[side].items():
            assert torch.equal(x, expected[side][key]), key


@pytest.mark.parametrize("name", MODELS)
def test_state_dict_round_trip_and_reset(name, fake):
    model = make(name, fake).eval()
    expected = model(fake)["target"]["joint"]
    before = copy.deepcopy(model.state_dict())
    model.reset_parameters()
    assert not torch.equal(model(fake)["target"]["joint"], expected)
    other = make(name, fake).eval()
    other.load_state_dict(before)
    assert torch.equal(other(fake)["target"]["joint"], expected)


@pytest.mark.parametrize("name", MODELS)
def test_autocast(name, fake):
    model = make(name, fake).eval()
    expected = model(fake)["source"]["joint"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = model(fake)
        sum(x.float().pow(3).sum() for part in out.values() for x in part.values()).backward()
    assert torch.allclose(out["source"]["joint"].float(), expected, atol=0.03)
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_modalities_subset(name, fake):
    model = make(name, fake, modalities=["image"])
    assert not model.entity
    assert [key for key in model(fake)["source"] if key != "late"] == ["image", "joint"]
    with pytest.raises(ValueError, match="'modalities' needs to be among structure"):
        make(name, fake, modalities=["sound"])


@pytest.mark.parametrize("name", FROZEN)
def test_seeded_numbers_are_frozen(name):
    build, kwargs, objective_of, expected = FROZEN[name]
    data = double(FakeMMKG()[0])
    anchors = data[ANCHOR_EDGE]
    links = anchors.edge_label_index[:, anchors.train_mask]
    torch.manual_seed(0)
    model = build.from_data(data, channels=8, modality_channels=8, **kwargs).double()
    objective = objective_of(model.out_channels).double()
    optimizer = torch.optim.SGD([*model.parameters(), *objective.parameters()], lr=0.05)
    numbers = []
    for step in range(3):
        torch.manual_seed(step)
        loss = sum(objective(model(data), links).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        numbers.append(loss.item())
    out = model(data)
    numbers.append(sum(x.abs().sum().item() for part in out.values() for x in part.values()))
    assert numbers == pytest.approx(expected, rel=1e-5)
