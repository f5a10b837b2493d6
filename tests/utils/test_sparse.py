import pytest
import torch
from torch.autograd import gradcheck

from pyg_mmea.utils import sparse
from pyg_mmea.utils.sparse import SparsePattern, edge_softmax, sddmm, spmm

NUM_ROWS, NUM_COLS, CHANNELS = 5, 4, 3
# (1, 2) occurs twice; rows 2 and 4 and column 3 are empty.
ROW = torch.tensor([0, 0, 1, 1, 1, 3])
COL = torch.tensor([2, 0, 2, 2, 1, 0])
NONE = torch.empty(0, dtype=torch.long)


@pytest.fixture(params=["entries", "no entries", "more entries than cells"])
def pattern(request):
    row, col = {
        "entries": (ROW, COL),
        "no entries": (NONE, NONE),
        "more entries than cells": (ROW.repeat_interleave(4), COL.repeat_interleave(4)),
    }[request.param]
    return SparsePattern(row, col, (NUM_ROWS, NUM_COLS))


@pytest.fixture(params=["mkl", "chunks"])
def kernel(request, monkeypatch):
    """Both ways of the sampled product, the second one in chunks of two."""
    if request.param == "chunks":
        monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: False)
        monkeypatch.setattr(sparse, "_CHUNK_SIZE", 2)
    elif not torch.backends.mkl.is_available():
        pytest.skip("this build of PyTorch has no MKL")


def dense(pattern, value):
    """The matrix entry by entry; parallel entries add up."""
    out = torch.zeros(pattern.size, dtype=value.dtype)
    for i, j, v in zip(pattern.row, pattern.col, value, strict=True):
        out[i, j] += v
    return out


def leaf(*size, dtype=torch.float64):
    return torch.randn(*size, dtype=dtype, requires_grad=True)


def test_pattern():
    pattern = SparsePattern(ROW, COL, (NUM_ROWS, NUM_COLS))
    assert str(pattern) == "SparsePattern(6, size=(5, 4))"
    assert pattern.num_entries == 6
    value = torch.randn(6)
    assert torch.equal(pattern.matrix(value).to_dense(), dense(pattern, value))
    assert torch.equal(pattern.transposed(value).to_dense(), dense(pattern, value).t())


def test_pattern_rejects_unsorted_rows():
    with pytest.raises(ValueError, match="'row' needs to be in ascending order"):
        SparsePattern(COL, ROW, (NUM_COLS, NUM_ROWS))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_spmm_equals_dense_product(pattern, kernel, dtype):
    value, x = leaf(pattern.num_entries, dtype=dtype), leaf(NUM_COLS, CHANNELS, dtype=dtype)
    out = spmm(pattern, value, x)
    expected = dense(pattern, value) @ x
    assert out.dtype == dtype
    assert torch.allclose(out, expected, atol=1e-5)
    upstream = torch.randn_like(out)
    grads = torch.autograd.grad(out, (value, x), upstream)
    for grad, other in zip(
        grads, torch.autograd.grad(expected, (value, x), upstream, allow_unused=True), strict=True
    ):
        assert torch.allclose(grad, torch.zeros_like(grad) if other is None else other, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sddmm_equals_dense_product(pattern, kernel, dtype):
    a, b = leaf(NUM_ROWS, CHANNELS, dtype=dtype), leaf(NUM_COLS, CHANNELS, dtype=dtype)
    out = sddmm(pattern, a, b)
    expected = (a @ b.t())[pattern.row, pattern.col]
    assert out.dtype == dtype
    assert torch.allclose(out, expected, atol=1e-5)
    upstream = torch.randn_like(out)
    grads = torch.autograd.grad(out, (a, b), upstream)
    for grad, other in zip(grads, torch.autograd.grad(expected, (a, b), upstream), strict=True):
        assert torch.allclose(grad, other, atol=1e-5)


def test_edge_softmax_equals_dense_softmax(pattern):
    logit = leaf(pattern.num_entries)
    out = edge_softmax(pattern, logit)
    for row in range(NUM_ROWS):
        inside = pattern.row == row
        assert torch.allclose(out[inside], logit[inside].softmax(dim=0))


def test_edge_softmax_is_finite_at_extreme_logits():
    pattern = SparsePattern(ROW, COL, (NUM_ROWS, NUM_COLS))
    logit = torch.tensor([1e30, -1e30, 1e4, 1e4, -1e4, -1e30], requires_grad=True)
    out = edge_softmax(pattern, logit)
    assert torch.equal(out, torch.tensor([1.0, 0.0, 0.5, 0.5, 0.0, 1.0]))
    out[0].backward()
    assert logit.grad.isfinite().all()


def test_gradients(pattern, kernel):
    num = pattern.num_entries
    x, y = leaf(NUM_COLS, CHANNELS), leaf(NUM_ROWS, CHANNELS)
    if num > 0:  # gradcheck refuses empty tensors
        assert gradcheck(lambda value, x: spmm(pattern, value, x), (leaf(num), x))
        assert gradcheck(lambda logit: edge_softmax(pattern, logit), leaf(num))
    assert gradcheck(lambda x: spmm(pattern, torch.ones(num).double(), x), x)
    assert gradcheck(lambda y, x: sddmm(pattern, y, x), (y, x))


def test_layouts_that_are_not_contiguous(pattern, kernel):
    value = leaf(pattern.num_entries)
    x, y = leaf(CHANNELS, NUM_COLS), leaf(CHANNELS, NUM_ROWS)
    out = spmm(pattern, value, x.t())
    assert torch.allclose(out, dense(pattern, value) @ x.t())
    assert gradcheck(lambda x: spmm(pattern, value.detach(), x.t()).t(), x)
    assert gradcheck(lambda y, x: sddmm(pattern, y.t(), x.t()), (y, x))


def test_only_the_gradients_asked_for():
    pattern = SparsePattern(ROW, COL, (NUM_ROWS, NUM_COLS))
    value, x, y = leaf(6), leaf(NUM_COLS, CHANNELS), leaf(NUM_ROWS, CHANNELS)
    spmm(pattern, value, x.detach()).sum().backward()
    sddmm(pattern, y, x.detach()).sum().backward()
    assert value.grad is not None
    assert y.grad is not None
    assert x.grad is None


def test_half_precision_and_autocast_are_computed_in_single():
    pattern = SparsePattern(ROW, COL, (NUM_ROWS, NUM_COLS))
    value, x, y = torch.randn(6), torch.randn(NUM_COLS, 3), torch.randn(NUM_ROWS, 3)
    value, x, y = (tensor.bfloat16().float().requires_grad_() for tensor in (value, x, y))

    def run(half):
        v, a, b = (tensor.bfloat16() if half else tensor for tensor in (value, x, y))
        out = [spmm(pattern, edge_softmax(pattern, v), a), sddmm(pattern, b, a)]
        grads = torch.autograd.grad(sum(part.sum() for part in out), (value, x, y))
        return [*out, *grads]

    expected = run(half=False)
    assert all(part.dtype == torch.float32 for part in expected)
    for part, other in zip(run(half=True), expected, strict=True):
        assert part.dtype == torch.float32
        assert torch.allclose(part, other, rtol=1e-2, atol=1e-2)  # gradients pass through half
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert all(torch.equal(*pair) for pair in zip(run(half=False), expected, strict=True))
        assert spmm(pattern, value.bfloat16(), x).dtype == torch.float32


@pytest.mark.parametrize("rows", [[3, 0, 1], [2, 4], [], [0, 1, 2, 3, 4]])
def test_rows_of_a_pattern(pattern, rows):
    rows = torch.tensor(rows, dtype=torch.long)
    value = torch.randn(pattern.num_entries, dtype=torch.float64)
    part, place = pattern.select_rows(rows)
    expected = dense(pattern, value)[rows]
    assert part.size == (rows.numel(), NUM_COLS)
    assert torch.equal(dense(part, value[place]), expected)
    assert torch.equal(part.transposed(value[place]).to_dense(), expected.t())


def test_products_with_rows_of_a_pattern_have_the_gradients_of_the_whole():
    pattern = SparsePattern(ROW, COL, (NUM_ROWS, NUM_COLS))
    rows = torch.tensor([3, 1])
    part, place = pattern.select_rows(rows)
    value, x = leaf(6), leaf(NUM_COLS, CHANNELS)
    some, whole = spmm(part, value[place], x), spmm(pattern, value, x)[rows]
    assert torch.allclose(some, whole)
    upstream = torch.randn_like(some)
    grads = torch.autograd.grad(some, (value, x), upstream)
    for grad, other in zip(grads, torch.autograd.grad(whole, (value, x), upstream), strict=True):
        assert torch.allclose(grad, other)
