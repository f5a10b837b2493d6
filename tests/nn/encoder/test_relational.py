import pytest
import torch

from pyg_mmea.nn import CompGCNEncoder, RGCNEncoder, structure_encoder
from pyg_mmea.testing import LargestTensor, check_structure_encoder

ENCODERS = {"rgcn": RGCNEncoder, "compgcn": CompGCNEncoder}


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("num_layers", [1, 2])
def test_relational_encoders_keep_the_contract(name, num_layers):
    encoder = ENCODERS[name](16, 6, num_layers)
    check_structure_encoder(encoder, channels=16)
    expected = f"{ENCODERS[name].__name__}(16, num_relations=6, num_layers={num_layers})"
    assert str(encoder) == expected
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    encoder.reset_parameters()
    assert any(not torch.equal(value, before[key]) for key, value in encoder.state_dict().items())


@pytest.mark.parametrize("name", ["gatv2", "diag_gat"])
def test_other_names_keep_the_contract(name):
    check_structure_encoder(structure_encoder(name, 16, 6).encoder, channels=16)


@pytest.mark.parametrize("name", ENCODERS)
def test_relational_encoders_read_relations(name):
    encoder = structure_encoder(name, 8, 4)
    assert isinstance(encoder.encoder, ENCODERS[name])
    x, edge_index = torch.randn(6, 8), torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]])
    edge_type = torch.tensor([0, 1, 2, 3])
    out = encoder(x, edge_index, edge_type)
    changed = encoder(x, edge_index, edge_type.flip(0))
    assert (out != changed).any(dim=1).tolist() == [False, True, True, True, True, False]


@pytest.mark.parametrize("name", ENCODERS)
def test_no_tensor_grows_with_edges_or_relations_times_channels_squared(name):
    num_nodes, num_edges, channels, num_relations = 500, 20_000, 32, 3000
    encoder = structure_encoder(name, channels, num_relations)
    edge_index = torch.randint(num_nodes, (2, num_edges))
    edge_type = torch.randint(num_relations, (num_edges,))
    x = torch.randn(num_nodes, channels, requires_grad=True)
    with LargestTensor() as largest:
        encoder(x, edge_index, edge_type).sum().backward()
    assert largest.num_entries <= num_relations * channels  # the relation embeddings
