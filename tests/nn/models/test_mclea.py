import pytest
import torch

from pyg_mmea.nn import MCLEA, GATEncoder


def test_structure_is_the_last_layer_of_diagonal_attention(fake):
    model = MCLEA.from_data(fake, channels=8, modality_channels=6)
    encoder = model.structure.encoder
    assert isinstance(encoder, GATEncoder)
    assert encoder.attention is None
    assert model.out_channels["structure"] == 8
    assert "relation_text" in model.out_channels  # no cross-attention takes it in


@pytest.mark.parametrize("missing", ["zero", "renormalize", "noise"])
def test_missing_modalities(fake, missing):
    model = MCLEA.from_data(fake, channels=8, modality_channels=6, missing=missing).eval()
    torch.manual_seed(0)
    joint = model(fake)["source"]["joint"]
    start = sum(model.sizes[name] for name in ("structure", "relation", "attribute"))
    block = joint[:, start : start + 6][~fake["source"].image_mask]
    assert bool(block.any()) == (missing == "noise")


@pytest.mark.parametrize("missing", ["zero", "renormalize"])
def test_blocks_of_rows_change_nothing(fake, monkeypatch, missing):
    model = MCLEA.from_data(fake, channels=8, modality_channels=6, missing=missing).eval()
    expected = model(fake)
    monkeypatch.setattr("pyg_mmea.utils.rows._FEW_ROWS", 10)
    monkeypatch.setattr("pyg_mmea.utils.rows._BLOCK_SIZE", 7)
    with torch.no_grad():
        out = model(fake)
    for side in ("source", "target"):
        assert torch.allclose(out[side]["joint"], expected[side]["joint"], atol=1e-6)
