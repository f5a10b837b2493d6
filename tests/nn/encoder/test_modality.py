import copy
import gc
import io

import pytest
import torch

from pyg_mmea.nn.encoder import modality
from pyg_mmea.nn.encoder.modality import BagEncoder, DenseEncoder, ModalityEncoder

MASK = torch.tensor([True, False, True, True, False, True])


def random_bag(num_rows=6, num_cols=5, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    bag = torch.randint(0, 4, (num_rows, num_cols), generator=generator).to(dtype)
    bag[1] = 0  # an empty row
    bag[:, 3] = 0  # an empty column
    return bag


def layouts(bag):
    return {"dense": bag, "coo": bag.to_sparse_coo(), "csr": bag.to_sparse_csr()}


def test_bag_encoder_by_hand():
    encoder = BagEncoder(2, 1)
    assert str(encoder) == "BagEncoder(2, 1)"
    with torch.no_grad():
        encoder.weight.copy_(torch.tensor([[10.0], [1.0]]))
        encoder.bias.fill_(0.5)
    bag = torch.tensor([[1.0, 1.0], [0.0, 3.0], [0.0, 0.0]])
    expected = torch.tensor([[11 / 2**0.5 + 0.5], [1.5], [0.5]])
    for x in layouts(bag).values():
        assert torch.allclose(encoder(x), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layout", ["coo", "csr"])
def test_bag_encoder_sparse_equals_dense(layout, dtype):
    encoder = BagEncoder(5, 3).to(dtype)
    bag = random_bag(dtype=dtype)
    mask = bag.sum(dim=1) > 0
    target = torch.randn(6, 3, dtype=dtype)
    grads = []
    for x in (layouts(bag)[layout], bag):
        encoder.zero_grad()
        out = encoder(x, mask)
        (out * target).sum().backward()
        grads.append((out.detach(), encoder.weight.grad.clone(), encoder.bias.grad.clone()))
    for sparse, dense in zip(*grads, strict=True):
        assert sparse.dtype == dtype
        assert torch.allclose(sparse, dense, atol=1e-6)
    assert torch.equal(grads[0][0][1], torch.zeros(3, dtype=dtype))


def test_bag_encoder_gradcheck():
    encoder = BagEncoder(5, 3).double()
    bag = random_bag(dtype=torch.float64).to_sparse_coo()

    def function(weight, bias):
        parameters = {"weight": weight, "bias": bias}
        return torch.func.functional_call(encoder, parameters, (bag,))

    assert torch.autograd.gradcheck(function, (encoder.weight, encoder.bias))


def test_bag_encoder_uncoalesced_and_empty():
    encoder = BagEncoder(5, 3)
    index = torch.tensor([[0, 0, 1], [2, 2, 4]])
    bag = torch.sparse_coo_tensor(index, torch.ones(3), (2, 5))
    assert torch.allclose(encoder(bag), encoder(bag.to_dense()))
    for size in ((4, 5), (0, 5)):
        out = encoder(torch.zeros(size).to_sparse_coo())
        assert torch.equal(out, encoder.bias.expand(size[0], 3))
        out.sum().backward()


def test_bag_encoder_cache_is_hit_and_does_not_leak():
    encoder, other = BagEncoder(5, 3), BagEncoder(5, 2)
    bag = random_bag().to_sparse_coo()
    gc.collect()
    before = len(modality._PREPARED)
    encoder(bag)
    prepared = modality._PREPARED[bag]
    other(bag)
    encoder(bag).sum().backward()
    assert modality._PREPARED[bag] is prepared
    assert len(modality._PREPARED) == before + 1
    del bag
    gc.collect()
    assert len(modality._PREPARED) == before


def test_bag_encoder_sees_a_bag_changed_in_place():
    encoder = BagEncoder(5, 3)
    bag = random_bag().to_sparse_coo()
    encoder(bag)
    bag.copy_(random_bag().flip(0).to_sparse_coo())
    assert torch.allclose(encoder(bag), encoder(random_bag().flip(0)))


def test_bag_encoder_copies_and_pickles_after_use():
    encoder = BagEncoder(5, 3)
    bag = random_bag().to_sparse_coo()
    out = encoder(bag)
    assert torch.equal(copy.deepcopy(encoder)(bag), out)
    buffer = io.BytesIO()
    torch.save(encoder, buffer)
    buffer.seek(0)
    assert torch.equal(torch.load(buffer, weights_only=False)(bag), out)
    assert torch.allclose(encoder.double()(bag).float(), out)


def test_bag_encoder_under_autocast():
    encoder = BagEncoder(5, 3)
    bag = random_bag()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = encoder(bag.to_sparse_coo())
        out.float().sum().backward()
    assert torch.allclose(out.float(), encoder(bag), atol=1e-2)


def test_bag_encoder_rejects_bad_input():
    encoder = BagEncoder(5, 3)
    with pytest.raises(ValueError, match=r"'x' needs to have shape \[N, 5\]"):
        encoder(random_bag(num_cols=4))
    with pytest.raises(ValueError, match="'mask' needs to have shape"):
        encoder(random_bag(), MASK[:3])
    for x in layouts(-random_bag()).values():
        with pytest.raises(ValueError, match="counts"):
            encoder(x)
    with pytest.raises(ValueError, match="gets no gradient"):
        encoder(random_bag().to_sparse_coo().requires_grad_())
    with pytest.raises(ValueError, match="dense, sparse COO or sparse CSR"):
        encoder(random_bag().to_sparse_csc())
    with pytest.raises(ValueError, match="'out_channels' needs to be positive"):
        BagEncoder(5, 0)


def test_dense_encoder():
    encoder = DenseEncoder(4, 3)
    assert str(encoder) == "DenseEncoder(4, 3, dropout=0.0, standardize=False)"
    x = torch.randn(6, 4)
    expected = x @ encoder.lin.weight.t() + encoder.lin.bias
    assert torch.allclose(encoder(x), expected)
    out = encoder(x, MASK)
    assert torch.equal(out == 0, ~MASK.view(-1, 1).expand(6, 3))
    assert torch.allclose(out[MASK], expected[MASK])


@pytest.mark.parametrize("standardize", [True, False])
def test_dense_encoder_never_reads_absent_rows(standardize):
    encoder = DenseEncoder(4, 3, standardize=standardize)
    x = torch.randn(6, 4)
    out = encoder(x, MASK)
    broken = x.masked_fill(~MASK.view(-1, 1), float("nan"))
    other = encoder(broken, MASK)
    assert torch.equal(out, other)
    other.sum().backward()
    assert all(p.grad.isfinite().all() for p in encoder.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dense_encoder_standardize(dtype):
    encoder = DenseEncoder(4, 3, standardize=True).to(dtype)
    x = torch.randn(6, 4, dtype=dtype)
    x[:, 2] = 0.1  # a constant feature
    kept = x[MASK]
    std = kept.std(dim=0, unbiased=False)
    std[2] = 1.0
    expected = encoder.lin((kept - kept.mean(dim=0)) / std)
    assert torch.allclose(encoder(x, MASK)[MASK], expected, atol=1e-6)
    assert torch.allclose(encoder(5 * x + 3, MASK), encoder(x, MASK), atol=1e-5)
    nothing = torch.zeros(6, dtype=torch.bool)
    assert torch.equal(encoder(x, nothing), torch.zeros(6, 3, dtype=dtype))


def test_dense_encoder_dropout_only_in_training():
    encoder = DenseEncoder(50, 3, dropout=0.5)
    x = torch.randn(6, 50)
    assert not torch.allclose(encoder(x), encoder(x))
    encoder.eval()
    assert torch.equal(encoder(x), encoder(x))
    with pytest.raises(ValueError, match="'dropout' needs to be in"):
        DenseEncoder(4, 3, dropout=1.0)


@pytest.mark.parametrize("make", [BagEncoder, DenseEncoder])
def test_modality_encoder_gradients_permutation_and_state(make):
    encoder = make(5, 3)
    x = random_bag()
    out = encoder(x, MASK)
    out.square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in encoder.parameters())
    perm = torch.randperm(6)
    assert torch.allclose(encoder(x[perm], MASK[perm]), out[perm], atol=1e-6)

    other = make(5, 3)
    assert not torch.allclose(other(x), encoder(x))
    other.load_state_dict(encoder.state_dict())
    assert torch.equal(other(x), encoder(x))
    other.reset_parameters()
    assert not torch.allclose(other(x), encoder(x))


def test_modality_encoder_is_abstract():
    encoder = ModalityEncoder(2, 2)
    with pytest.raises(NotImplementedError):
        encoder(torch.randn(1, 2))
    with pytest.raises(NotImplementedError):
        encoder.reset_parameters()


@pytest.mark.parametrize("layout", ["coo", "csr"])
def test_bag_encoder_in_inference_mode(layout):
    encoder, bag = BagEncoder(5, 3), random_bag()
    expected = encoder(layouts(bag)[layout])
    with torch.inference_mode():
        made = layouts(bag)[layout]  # counts no changes, so it cannot be kept
        assert torch.equal(encoder(made), expected)
        assert made not in modality._PREPARED


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_encoders_in_half_precision(dtype):
    bag = random_bag()
    bag[2] = 0
    for make in (BagEncoder, DenseEncoder):
        encoder = make(5, 3)
        expected = encoder(bag)
        out = encoder.to(dtype)(bag.to(dtype))
        assert out.dtype == dtype
        assert torch.allclose(out.float(), expected, atol=0.1)


def test_dense_encoder_takes_features_of_another_precision():
    encoder, x = DenseEncoder(5, 3), torch.randn(6, 5)
    assert torch.equal(encoder(x.double()), encoder(x))
