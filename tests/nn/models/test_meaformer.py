import pytest
import torch
import torch.nn.functional as F

from pyg_mmea.nn import MEAformer
from pyg_mmea.typing import SIDES


@pytest.mark.parametrize("structure_encoder", ["diag_gat", "relation_reflection"])
def test_fusions_by_formula(fake, structure_encoder):
    model = MEAformer.from_data(
        fake, channels=8, modality_channels=8, heads=2, structure_encoder=structure_encoder
    ).eval()
    out = model(fake)["source"]
    assert set(model.project) == ({"structure"} if structure_encoder != "diag_gat" else set())
    names = list(model.sizes)
    mask = torch.stack(
        [
            torch.ones(66, dtype=torch.bool)
            if name == "structure"
            else fake["source"][f"{name}_mask"]
            for name in names
        ],
        dim=1,
    )
    tokens = [model.project[n](out[n]) if n in model.project else out[n] for n in names]
    hidden, weight = model.fusion(torch.stack(tokens, dim=1), mask)
    for i in (0, 7, 65):
        early = [weight[i, m] * F.normalize(out[name][i], dim=0) for m, name in enumerate(names)]
        late = [weight[i, m] * F.normalize(hidden[i, m], dim=0) for m in range(len(names))]
        assert torch.allclose(out["joint"][i], torch.cat(early), atol=1e-6)
        assert torch.allclose(out["late"][i], torch.cat(late), atol=1e-6)
    assert weight.std(dim=0).max() > 0  # each entity weighs for itself


def test_blocks_of_rows_change_nothing(fake, monkeypatch):
    model = MEAformer.from_data(fake, channels=8, modality_channels=8).eval()
    expected = model(fake)
    monkeypatch.setattr("pyg_mmea.utils.rows._FEW_ROWS", 10)
    monkeypatch.setattr("pyg_mmea.utils.rows._BLOCK_SIZE", 7)
    with torch.no_grad():
        out, modalities = model(fake), model.embed_modalities(fake)
    for side in SIDES:
        assert list(modalities[side]) == [*model.sizes, "late"]
        for name, x in out[side].items():
            assert torch.allclose(x, expected[side][name], atol=1e-6), name


def test_sizes_of_fusions(fake):
    model = MEAformer.from_data(fake, channels=4, modality_channels=6, modalities=["image", "name"])
    assert model.out_channels == {"image": 6, "name": 6, "late": 12, "joint": 12}
    model = MEAformer.from_data(fake, channels=4, modality_channels=6)
    assert model.out_channels["joint"] == model.out_channels["late"] - 2
