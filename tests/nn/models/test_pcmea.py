import copy
import pickle

import pytest
import torch
from torch_geometric.nn import GraphSAGE

from pyg_mmea.data import AlignmentData
from pyg_mmea.datasets import FakeMMKG
from pyg_mmea.nn import PCMEA, BagTextCrossAttention, MomentumEncoder
from pyg_mmea.typing import RELATION_EDGE, SIDES

BLOCKS = ["structure", "relation", "attribute", "image", "name"]
VARIANTS = {
    "default": {},
    "paper": {"structure_encoder": "gat", "propagate": False, "missing": "zero"},
    "renormalize": {"propagate": False, "missing": "renormalize"},
}


def make(data, **kwargs):
    return PCMEA.from_data(data, **{"channels": 8, "modality_channels": 6, **kwargs})


def total(out):
    """Reaches each block of each side with a gradient of its own."""
    return sum(x.tanh().pow(3).sum() for side in out.values() for x in side.values())


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


@pytest.fixture(params=VARIANTS)
def model(request, fake: AlignmentData) -> PCMEA:
    return make(fake, **VARIANTS[request.param])


def test_shapes(model, fake):
    out = model(fake)
    assert set(out) == set(SIDES)
    for side in SIDES:
        assert list(out[side]) == [*BLOCKS, "joint"]
        for name, size in model.out_channels.items():
            assert out[side][name].size() == (fake[side].num_nodes, size), name
            assert out[side][name].isfinite().all(), name
    sizes = model.out_channels
    assert sizes["joint"] == sum(sizes[name] for name in BLOCKS)
    assert sizes["image"] == (18 if model.propagate else 6)
    assert str(model).startswith("PCMEA(\n")
    assert "(fusion): WeightedConcat(structure=" in str(model)


def test_gradient_reaches_each_parameter(model, fake):
    total(model(fake)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_state_dict_round_trip_and_reset(model, fake):
    model.eval()
    expected = model(fake)["target"]["joint"]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.reset_parameters()
    for name in ("structure", "entity", "encoders", "cross_attention"):
        changed = [key for key, x in model.named_parameters() if not torch.equal(x, before[key])]
        assert any(key.startswith(name) for key in changed), name
    assert not torch.equal(model(fake)["target"]["joint"], expected)
    model.load_state_dict(before)
    assert torch.equal(model(fake)["target"]["joint"], expected)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_are_equal_and_apart(model, fake, clone):
    model.eval()
    expected = model(fake)["source"]["joint"]
    other = clone(model)
    assert torch.equal(other(fake)["source"]["joint"], expected)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    assert torch.equal(model(fake)["source"]["joint"], expected)


def test_double_precision(model, fake):
    model.eval()
    single = model(fake)
    model.double()
    for side in SIDES:
        for name in ("x_image", "x_name", "x_relation_text", "x_attribute_text"):
            fake[side][name] = fake[side][name].double()
    double = model(fake)
    total(double).backward()
    for side in SIDES:
        for name, x in double[side].items():
            assert x.dtype == torch.float64, name
            assert torch.allclose(x.float(), single[side][name], atol=1e-4), name
    assert all(parameter.grad.dtype == torch.float64 for parameter in model.parameters())


@pytest.mark.parametrize("side", SIDES)
def test_permuting_entities_permutes_the_output(model, fake, side):
    model.eval()
    expected = model(fake)
    order = torch.randperm(fake[side].num_nodes)
    data = permuted(fake, side, order)
    with torch.no_grad():
        model.entity[side].copy_(model.entity[side][order].clone())
    out = model(data)
    other = "target" if side == "source" else "source"
    for name, x in out[side].items():
        assert torch.allclose(x, expected[side][name][order], atol=1e-5), name
        assert torch.equal(out[other][name], expected[other][name]), name


def test_absent_rows_do_not_matter(model, fake):
    model.eval()
    expected = model(fake)
    noisy = copy.deepcopy(fake)
    for side in SIDES:
        for name in ("image", "name", "relation_text", "attribute_text"):
            mask = noisy[side][f"{name}_mask"]
            assert not mask.all()
            noisy[side][f"x_{name}"][~mask] = torch.nan
    out = model(noisy)
    for side in SIDES:
        for name, x in out[side].items():
            assert torch.equal(x, expected[side][name]), name


@pytest.mark.parametrize("name", ["paper", "renormalize"])
def test_without_propagation_absent_modalities_are_zero(fake, name):
    model = make(fake, **VARIANTS[name]).eval()
    out = model(fake)["source"]
    mask = fake["source"].image_mask
    assert torch.equal(out["image"].ne(0).any(dim=1), mask)
    start = sum(model.out_channels[name] for name in BLOCKS[:3])
    block = out["joint"][:, start : start + 6]
    assert torch.equal(block.ne(0).any(dim=1), mask)
    norm = out["joint"].norm(dim=1)
    full = torch.stack([fake["source"][f"{name}_mask"] for name in BLOCKS[1:]]).all(dim=0)
    assert torch.allclose(norm[full], torch.tensor(5**-0.5))
    assert ((norm[~full] > norm[full].min()) == (name == "renormalize")).all()


def test_propagation_gives_an_entity_the_pictures_of_its_neighbours(fake):
    model = make(fake).eval()
    plain = make(fake, propagate=False).eval()
    store = fake["source"]
    head, tail = fake[RELATION_EDGE["source"]].edge_index
    without, neighbour = next(
        (int(h), int(t))
        for h, t in zip(head, tail, strict=True)
        if not store.image_mask[h] and store.image_mask[t]
    )
    for encoder, reaches in ((model, True), (plain, False)):
        before = encoder(fake)["source"]["image"][without]
        changed = copy.deepcopy(fake)
        changed["source"].x_image[neighbour] += 1
        after = encoder(changed)["source"]["image"][without]
        assert torch.equal(before, after) != reaches


def test_modalities_subset(fake):
    model = make(fake, modalities=["image", "structure"])
    assert model.modalities == ["structure", "image"]
    assert list(model(fake)["source"]) == ["structure", "image", "joint"]
    model = make(fake, modalities=["attribute"])
    assert not model.entity
    assert list(model(fake)["target"]) == ["attribute", "joint"]
    total(model(fake)).backward()
    for modalities in (["image", "sound"], ["joint"]):
        with pytest.raises(ValueError, match=r"'modalities' needs to be among structure, relation"):
            make(fake, modalities=modalities)


def test_bags_attend_to_texts(model, fake):
    model.eval()
    assert set(model.cross_attention) == {"relation", "attribute"}
    assert all(isinstance(x, BagTextCrossAttention) for x in model.cross_attention.values())
    expected = model(fake)["source"]
    changed = copy.deepcopy(fake)
    changed["source"].x_attribute_text += 1
    out = model(changed)["source"]
    for name in BLOCKS:
        assert torch.equal(out[name], expected[name]) == (name != "attribute")
    assert not torch.equal(out["joint"], expected["joint"])


def test_texts_without_their_bag_are_a_modality(fake):
    model = make(fake, modalities=["relation_text", "attribute", "attribute_text"])
    assert list(model(fake)["source"]) == ["attribute", "relation_text", "joint"]
    assert set(model.cross_attention) == {"attribute"}
    model = make(fake, modalities=["relation", "attribute"])
    assert not model.cross_attention


def test_structure_encoder_of_ones_own(fake):
    encoder = GraphSAGE(8, 5, num_layers=1)
    before = copy.deepcopy(encoder.state_dict())
    model = make(fake, structure_encoder=encoder)
    copied = model.structure.encoder
    assert copied is not encoder  # a second model would go on where the first one ended
    assert all(torch.equal(value, before[key]) for key, value in copied.state_dict().items())
    assert model.out_channels["structure"] == 5
    assert model(fake)["source"]["structure"].size() == (66, 5)
    model = make(fake, structure_encoder="GCN", num_layers=1)
    assert model.out_channels["structure"] == 8
    total(model(fake)).backward()
    assert model.entity["source"].grad.abs().sum() > 0


@pytest.mark.parametrize("structure_encoder", ["relation_reflection", "gat", "GCN"])
@pytest.mark.parametrize("propagate", [True, False])
def test_embeds_only_the_entities_asked_for(fake, structure_encoder, propagate):
    model = make(fake, structure_encoder=structure_encoder, propagate=propagate).eval()
    nodes = {"source": torch.tensor([5, 0, 5]), "target": torch.tensor([60])}
    some, full = model(fake, nodes), model(fake)
    for side in SIDES:
        for name, x in some[side].items():
            assert torch.allclose(x, full[side][name][nodes[side]], atol=1e-6), name


def test_dropout_acts_in_training_only(fake):
    model = make(fake, dropout=0.5)
    out = model(fake)["source"]["image"]
    assert (out == 0).float().mean() > 0.3
    assert not torch.equal(out, model(fake)["source"]["image"])
    model.eval()
    assert torch.equal(model(fake)["source"]["joint"], model(fake)["source"]["joint"])


def test_trains_after_validation_in_inference_mode(model, fake):
    with torch.inference_mode():
        model.eval()(fake)
    total(model.train()(fake)).backward()
    assert model.entity["source"].grad is not None


def test_autocast(model, fake):
    model.eval()
    expected = model(fake)["source"]["joint"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = model(fake)
        total(out).backward()
    assert torch.allclose(out["source"]["joint"].float(), expected, atol=0.03)
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_momentum_encoder_of_model(model, fake):
    momentum = MomentumEncoder(model, momentum=0.5)
    expected = model.eval()(fake)["source"]["joint"]
    # Some processors round products by where in memory the weights lie.
    assert torch.allclose(momentum(fake)["source"]["joint"], expected, atol=1e-6)
    with torch.no_grad():
        model.entity["source"].add_(1.0)
    momentum.update(model)
    moved = momentum(fake)["source"]["joint"]
    assert not moved.requires_grad
    assert not torch.allclose(moved, expected, atol=1e-3)
    assert not torch.allclose(moved, model(fake)["source"]["joint"], atol=1e-3)


def test_mini_batches_use_the_vectors_of_their_entities(fake):
    model = make(fake, modalities=["structure"]).eval()
    expected = model(fake)["source"]["structure"]
    order = torch.randperm(66)
    batch = permuted(fake, "source", order)
    batch["source"].n_id = order
    assert torch.allclose(model(batch)["source"]["structure"], expected[order], atol=1e-5)

    with pytest.raises(ValueError, match=r"66 source entities, or their 'n_id' \(got 10\)"):
        model(FakeMMKG(num_links=10, num_dangling=0)[0])


def test_graphs_without_triples(fake):
    for side in SIDES:
        store = fake[RELATION_EDGE[side]]
        store.edge_index, store.edge_type = store.edge_index[:, :0], store.edge_type[:0]
        store.relation_uri = []
    for kwargs in VARIANTS.values():
        out = make(fake, **kwargs)(fake)
        total(out).backward()
        assert out["source"]["joint"].isfinite().all()


def test_filling_in_goes_without_propagation_only(fake):
    with pytest.raises(ValueError, match="'missing' needs to be 'zero'"):
        make(fake, missing="renormalize", propagate=True)


def test_modalities_are_embedded_without_the_joint_embedding(fake, monkeypatch):
    model = make(fake).eval()
    expected = model(fake)
    monkeypatch.setattr("pyg_mmea.utils.rows._FEW_ROWS", 10)  # blocks change nothing
    monkeypatch.setattr("pyg_mmea.utils.rows._BLOCK_SIZE", 7)
    with torch.no_grad():
        out = model.embed_modalities(fake)
    for side in SIDES:
        assert list(out[side]) == BLOCKS
        for name, x in out[side].items():
            assert torch.allclose(x, expected[side][name], atol=1e-6), name
