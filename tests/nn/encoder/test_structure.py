import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch_geometric.nn import GAT, GCN, GIN, EdgeCNN, GraphSAGE, RGCNConv, Sequential

from pyg_mmea.nn import (
    GATEncoder,
    ParallelEncoder,
    RelationReflectionEncoder,
    StructureEncoder,
    structure_encoder,
)

NUM_NODES, NUM_RELATIONS, CHANNELS = 6, 3, 8


def graph():
    """Node 5 has no edge, the first edge occurs twice."""
    edge_index = torch.tensor([[0, 0, 1, 2, 3, 4, 1], [1, 1, 0, 1, 2, 0, 4]])
    return edge_index, torch.tensor([0, 0, 1, 2, 1, 0, 2])


def features(dtype=torch.float32):
    return torch.randn(NUM_NODES, CHANNELS, dtype=dtype)


class LargestTensor(TorchDispatchMode):
    """Records the most numbers that any tensor made meanwhile holds."""

    size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for x in tree_leaves(out):
            if isinstance(x, torch.Tensor):
                held = x.numel() if x.layout == torch.strided else x._nnz()
                self.size = max(self.size, held)
        return out


def encoders():
    return {
        "relation_reflection": RelationReflectionEncoder(CHANNELS, NUM_RELATIONS, num_proxies=4),
        "smooth": RelationReflectionEncoder(
            CHANNELS, NUM_RELATIONS, num_layers=1, num_proxies=0, smooth_input=True
        ),
        "gat": GATEncoder(CHANNELS),
        "both": ParallelEncoder(
            [
                StructureEncoder(RelationReflectionEncoder(CHANNELS, NUM_RELATIONS)),
                StructureEncoder(GATEncoder(CHANNELS)),
            ]
        ),
    }


@pytest.mark.parametrize("name", encoders())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_encoders(name, dtype):
    encoder = StructureEncoder(encoders()[name]).to(dtype)
    x, edges = features(dtype).requires_grad_(), graph()
    out = encoder(x, *edges)
    assert out.size() == (NUM_NODES, encoder.out_channels)
    assert out.dtype == dtype
    assert out.isfinite().all()

    out.square().sum().backward()
    for key, parameter in (("x", x), *encoder.named_parameters()):
        assert parameter.grad is not None, key
        assert parameter.grad.abs().sum() > 0, key

    perm = torch.randperm(NUM_NODES)  # new -> old
    moved = encoder(x[perm], perm.argsort()[edges[0]], edges[1])
    assert torch.allclose(moved, out[perm], atol=1e-5)

    other = StructureEncoder(encoders()[name]).to(dtype)
    assert not torch.equal(other(x, *edges), out)
    other.load_state_dict(encoder.state_dict())
    assert torch.equal(other(x, *edges), out)
    other.reset_parameters()
    assert not torch.equal(other(x, *edges), out)


def test_repr():
    assert str(GATEncoder(8)) == "GATEncoder(8, num_layers=2)"
    encoder = RelationReflectionEncoder(8, 3, num_layers=1)
    assert str(encoder) == "RelationReflectionEncoder(8, num_relations=3, num_layers=1)"


def test_gat_encoder_attends_over_the_hops():
    encoder = GATEncoder(CHANNELS)
    x, (edge_index, _) = features(), graph()
    first = encoder.convs[0](x, edge_index)
    second = encoder.convs[1](F.elu(first), edge_index)
    hops = torch.stack([x, F.elu(first), second], dim=1)
    assert torch.allclose(encoder(x, edge_index), encoder.attention(hops)[:, -1])
    weight = encoder.attention.attention(hops)
    assert weight.size() == (NUM_NODES, 2, 3, 3)
    assert weight.std(dim=0).max() > 0  # no constant: entities weigh their hops differently


def test_relation_reflection_encoder_by_formula():
    encoder = RelationReflectionEncoder(
        CHANNELS, NUM_RELATIONS, num_layers=1, num_proxies=4, smooth_input=True
    ).double()
    x, (edge_index, edge_type) = features(torch.float64), graph()
    smooth = torch.zeros_like(x)
    for i in range(NUM_NODES):
        # Both edges of (0, 1) are the same triple, which counts once.
        columns = zip(*edge_index.tolist(), edge_type.tolist(), strict=True)
        triples = {(src, rel) for src, dst, rel in columns if dst == i}
        for j, _ in triples:
            smooth[i] += x[j] / len(triples)
    smooth = smooth.tanh()
    h = torch.cat([smooth, encoder.convs[0](smooth, encoder.relation, *graph())], dim=1)
    rows = []
    for row in h:
        beta = torch.stack([F.cosine_similarity(row, q, dim=0) for q in encoder.proxy]).softmax(0)
        apart = row - beta @ encoder.proxy
        gate = torch.sigmoid(encoder.gate.weight @ apart + encoder.gate.bias)
        known = bool(row.any())  # not that of the node that nobody sends to
        rows.append(gate * row + (1 - gate) * apart if known else row)
    assert torch.allclose(encoder(x, edge_index, edge_type), torch.stack(rows))


def test_smoothing_removes_what_only_an_entity_itself_has():
    encoder = RelationReflectionEncoder(CHANNELS, NUM_RELATIONS, num_layers=0, smooth_input=True)
    x, edges = features(), graph()
    out = encoder(x, *edges)
    x[5] += 1  # nobody's neighbour
    assert torch.equal(encoder(x, *edges), out)


@pytest.mark.parametrize("smooth_input", [True, False])
def test_an_entity_that_nothing_is_known_of_stays_zero(smooth_input):
    encoder = RelationReflectionEncoder(CHANNELS, NUM_RELATIONS, smooth_input=smooth_input)
    x = torch.cat([features(), torch.zeros(1, CHANNELS)]).requires_grad_()
    out = encoder(x, *graph())
    heard = torch.isin(torch.arange(NUM_NODES + 1), graph()[0][1])
    known = heard if smooth_input else heard | (torch.arange(NUM_NODES + 1) < NUM_NODES)
    assert torch.equal(out.ne(0).any(dim=1), known)
    out.sum().backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("num_relations", [1, 3, 100])
@pytest.mark.parametrize("name", ["relation_reflection", "gat"])
def test_no_tensor_of_edges_by_channels_or_nodes_by_nodes(name, num_relations):
    num_nodes, num_edges, channels = 400, 20_000, 32
    edge_index = torch.randint(num_nodes, (2, num_edges))
    edge_type = torch.randint(num_relations, (num_edges,))
    module = StructureEncoder(
        GATEncoder(channels)
        if name == "gat"
        else RelationReflectionEncoder(channels, num_relations, num_proxies=4, smooth_input=True)
    )
    x = torch.randn(num_nodes, channels, requires_grad=True)
    with LargestTensor() as largest:
        module(x, edge_index, edge_type).sum().backward()
    # Three layers side by side, or edges with the loops; both far below 640,000 and 160,000.
    assert largest.size <= max(3 * num_nodes * channels, 2 * num_edges + num_nodes)
    with LargestTensor() as largest:
        x[edge_index[0]]
    assert largest.size == num_edges * channels  # the record would show it


def test_an_encoder_says_of_how_many_parts_its_output_is():
    encoder = encoders()["relation_reflection"]
    assert StructureEncoder(encoder).num_parts == encoder.num_layers + 1
    encoder.num_parts = 5
    with pytest.raises(ValueError, match="'num_parts' of the encoder needs to divide its"):
        StructureEncoder(encoder)


class Typed(torch.nn.Module):
    out_channels = CHANNELS

    def forward(self, x, edge_index, weight=None, edge_type=None):
        return x * edge_type.sum()


def test_structure_encoder_passes_edge_types_where_they_are_taken():
    x, edges = features(), graph()
    encoder = StructureEncoder(Typed())
    assert torch.equal(encoder(x, *edges), x * edges[1].sum())

    stack = Sequential(
        "x, edge_index, edge_type",
        [(RGCNConv(CHANNELS, 4, NUM_RELATIONS), "x, edge_index, edge_type -> x"), torch.nn.ReLU()],
    )
    with pytest.raises(ValueError, match="needs an attribute 'out_channels' \\(got Sequential"):
        StructureEncoder(stack)
    stack.out_channels = 4
    encoder = StructureEncoder(stack)
    assert encoder.uses_edge_type
    assert torch.equal(encoder(x, *edges), stack(x, *edges))

    encoder = StructureEncoder(GCN(CHANNELS, 4, num_layers=2))
    assert not encoder.uses_edge_type
    assert encoder.num_parts == 1
    assert encoder(x, *edges).size() == (NUM_NODES, 4)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("relation_reflection", RelationReflectionEncoder),
        ("Relation-Reflection", RelationReflectionEncoder),
        ("gat", GATEncoder),
        ("GAT", GATEncoder),
        ("GCN", GCN),
        ("gcn", GCN),
        ("GraphSAGE", GraphSAGE),
        ("GIN", GIN),
        ("EdgeCNN", EdgeCNN),
        ("torch_geometric.nn.GAT", GAT),
        (GraphSAGE(CHANNELS, 4, num_layers=1), GraphSAGE),
        (GAT, GAT),
    ],
)
def test_structure_encoder_by_name_path_and_object(query, expected):
    encoder = structure_encoder(query, CHANNELS, NUM_RELATIONS, num_layers=1)
    assert isinstance(encoder.encoder, expected)
    assert getattr(encoder.encoder, "num_layers", 1) == 1
    if isinstance(query, torch.nn.Module):
        assert encoder.encoder is not query  # two models would share it
        for one, other in zip(encoder.parameters(), query.parameters(), strict=True):
            assert torch.equal(one, other)
    out = encoder(features(), *graph())
    assert out.size() == (NUM_NODES, encoder.out_channels)


def test_encoders_side_by_side():
    both = structure_encoder("relation_reflection + diag_gat", CHANNELS, NUM_RELATIONS)
    assert (both.num_parts, both.out_channels) == (4, 4 * CHANNELS)
    x, edges = features(), graph()
    parts = [encoder(x, *edges) for encoder in both.encoder.encoders]
    assert torch.equal(both(x, *edges), torch.cat(parts, dim=1))
    both.reset_parameters()
    assert not torch.equal(both(x, *edges)[:, -CHANNELS:], parts[1])
    other = StructureEncoder(GraphSAGE(CHANNELS, CHANNELS, 1, 2 * CHANNELS))
    with pytest.raises(ValueError, match="parts of one size"):
        ParallelEncoder([other, StructureEncoder(GATEncoder(CHANNELS))])


class Plain(torch.nn.Module):
    """Has no way to reset itself."""

    out_channels = 4

    def __init__(self):
        super().__init__()
        self.lin = torch.nn.Linear(CHANNELS, 4)

    def forward(self, x, edge_index):
        return self.lin(x)


def test_layers_are_reset_where_the_encoder_itself_cannot():
    encoder = StructureEncoder(Plain())
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.fill_(100.0)
    encoder.reset_parameters()
    assert all(parameter.abs().max() < 2 for parameter in encoder.parameters())


def test_a_compiled_encoder_gets_edge_types():
    assert StructureEncoder(torch.compile(Typed())).uses_edge_type


def test_relation_reflection_compiles():
    encoder, x, edges = encoders()["relation_reflection"], features(), graph()
    compiled = torch.compile(encoder, backend="eager")
    out = compiled(x.requires_grad_(), *edges)
    assert torch.allclose(out, encoder(x, *edges))
    out.square().sum().backward()
    assert x.grad.abs().sum() > 0


def test_structure_encoder_by_unknown_name():
    with pytest.raises(ValueError, match=r"Unknown Module 'nope' \(choices: .*gat.*relation_refl"):
        structure_encoder("nope", CHANNELS, NUM_RELATIONS)
    with pytest.raises(ValueError, match="Cannot import 'torch_geometric"):
        structure_encoder("torch_geometric.nn.Nope", CHANNELS, NUM_RELATIONS)


@pytest.mark.parametrize("name", encoders())
def test_encoders_of_some_nodes(name):
    encoder = StructureEncoder(encoders()[name]).double()
    x, edges = features(torch.float64).requires_grad_(), graph()
    nodes = torch.tensor([5, 0, 4])
    some, whole = encoder(x, *edges, nodes), encoder(x, *edges)[nodes]
    assert torch.allclose(some, whole)
    upstream = torch.randn_like(some)
    inputs = [x, *encoder.parameters()]
    grads = torch.autograd.grad(some, inputs, upstream)
    for grad, other in zip(grads, torch.autograd.grad(whole, inputs, upstream), strict=True):
        assert torch.allclose(grad, other)
