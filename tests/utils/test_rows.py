import pytest
import torch
from torch import Tensor

from pyg_mmea.nn import DenseEncoder
from pyg_mmea.utils.rows import by_rows


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyg_mmea.utils.rows._FEW_ROWS", 10)
    monkeypatch.setattr("pyg_mmea.utils.rows._BLOCK_SIZE", 4)


def test_blocks_give_what_the_whole_gives() -> None:
    sizes: list[int] = []

    def product(x: Tensor, y: Tensor) -> Tensor:
        sizes.append(len(x))
        return x @ torch.ones(3, 2, dtype=x.dtype) * y

    x, y = torch.randn(11, 3).double(), torch.randn(11, 1).double()
    with torch.no_grad():
        out = by_rows(product, x, y)
        assert sizes == [4, 4, 3]
        assert torch.equal(by_rows(product, x[:10], y[:10]), out[:10])
        assert sizes[3:] == [10]
    assert torch.allclose(out, x.sum(dim=1, keepdim=True) * y)
    assert out.shape == (11, 2)


def test_what_is_learned_or_sparse_is_done_at_once() -> None:
    x = torch.randn(11, 3)
    sizes: list[int] = []

    def count(x: Tensor) -> Tensor:
        sizes.append(x.size(0))
        return x

    by_rows(count, x)  # a gradient may be wanted
    with torch.no_grad():
        by_rows(count, x.to_sparse())
    assert sizes == [11, 11]


def test_masks_and_vectors_of_blocks() -> None:
    x = torch.arange(11)
    with torch.no_grad():
        assert torch.equal(by_rows(lambda x: x > 5, x), x > 5)


def test_what_looks_at_all_rows_gets_them_all() -> None:
    encoder, x = DenseEncoder(3, 2, standardize=True), torch.randn(11, 3)
    expected = by_rows(encoder, x)
    with torch.no_grad():
        assert torch.equal(by_rows(encoder, x), expected)
