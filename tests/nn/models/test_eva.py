import torch

from pyg_mmea.nn import EVA, MCLEA


def test_the_joint_embedding_learns_the_weights_alone(fake):
    model = EVA.from_data(fake, channels=8, modality_channels=8)
    model(fake)["source"]["joint"].pow(3).sum().backward()
    assert model.fusion.weight.grad.abs().sum() > 0
    assert [name for name, x in model.named_parameters() if x.grad is not None] == ["fusion.weight"]


def test_apart_from_gradients_it_is_the_weighted_concatenation(fake):
    torch.manual_seed(0)
    eva = EVA.from_data(fake, channels=8, modality_channels=8, structure_encoder="diag_gat")
    torch.manual_seed(0)
    mclea = MCLEA.from_data(fake, channels=8, modality_channels=8)
    assert torch.equal(eva(fake)["source"]["joint"], mclea(fake)["source"]["joint"])
    mclea(fake)["source"]["joint"].pow(3).sum().backward()
    assert all(x.grad is not None for key, x in mclea.named_parameters() if "target" not in key)
