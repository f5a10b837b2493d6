"""Our sparse operations against those of torch-scatter, which is a package of compiled kernels."""

import pytest
import torch

from pyg_mmea.utils.sparse import SparsePattern, edge_softmax, spmm

try:
    import torch_scatter
except (ImportError, OSError) as error:
    pytest.skip(f"torch-scatter cannot be imported: {error}", allow_module_level=True)

NUM_ROWS, NUM_COLS, NUM_ENTRIES = 30, 20, 200


@pytest.fixture
def pattern() -> SparsePattern:
    generator = torch.Generator().manual_seed(0)
    # The last rows have no entry.
    row = torch.randint(NUM_ROWS - 3, (NUM_ENTRIES,), generator=generator).sort().values
    col = torch.randint(NUM_COLS, (NUM_ENTRIES,), generator=generator)
    return SparsePattern(row, col, (NUM_ROWS, NUM_COLS))


def test_spmm_is_a_segment_sum(pattern: SparsePattern) -> None:
    generator = torch.Generator().manual_seed(1)
    value = torch.randn(NUM_ENTRIES, generator=generator, requires_grad=True)
    x = torch.randn(NUM_COLS, 4, generator=generator, requires_grad=True)
    expected = torch_scatter.segment_csr(
        value[:, None] * x[pattern.col], pattern.crow, reduce="sum"
    )
    actual = spmm(pattern, value, x)
    torch.testing.assert_close(actual, expected)
    weight = torch.randn(expected.shape, generator=generator)
    gradients = [
        torch.autograd.grad((weight * out).sum(), (value, x)) for out in (actual, expected)
    ]
    torch.testing.assert_close(*gradients)


def test_edge_softmax_is_a_segment_softmax(pattern: SparsePattern) -> None:
    logit = 30 * torch.randn(NUM_ENTRIES, generator=torch.Generator().manual_seed(2))
    top = torch_scatter.segment_csr(logit, pattern.crow, reduce="max")
    weight = (logit - torch_scatter.gather_csr(top, pattern.crow)).exp()
    total = torch_scatter.segment_csr(weight, pattern.crow, reduce="sum")
    expected = weight / torch_scatter.gather_csr(total, pattern.crow)
    torch.testing.assert_close(edge_softmax(pattern, logit), expected)
