import pytest
import torch

from pyg_mmea.utils import topk
from pyg_mmea.utils.topk import BothTopK, RowPanel, TopK, spans, tiles


def test_spans():
    assert spans(7, 3) == [slice(0, 3), slice(3, 6), slice(6, 7)]
    with pytest.raises(ValueError, match="'chunk_size'"):
        spans(7, 0)


@pytest.mark.parametrize("width", [3, 8, 100])
@pytest.mark.parametrize("chunk_size", [2, 5, 100])
def test_tiles_cover_the_matrix_and_skip_what_nobody_wants(monkeypatch, chunk_size, width):
    monkeypatch.setattr(topk, "_TILE", width)
    a, b = torch.randn(11, 4), torch.randn(9, 4)
    found = torch.zeros(11, 9)
    for tile in tiles(a, b, chunk_size):
        assert tile.block.size(0) <= chunk_size
        assert tile.block.size(1) <= width
        found[tile.rows, tile.columns] += tile.block
    torch.testing.assert_close(found, a @ b.t())
    some = list(tiles(a, b, chunk_size, lambda rows, columns: rows.start == columns.start == 0))
    assert len(some) == 1


@pytest.mark.parametrize("order", ["random", "rising", "falling", "equal"])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("k", "width"), [(1, 3), (3, 2), (3, 10), (7, 64), (20, 16)])
def test_topk_against_sorting(k, width, transposed, order):
    x = torch.randn(5, 90)
    if order != "random":
        x = x.sort(dim=1, descending=order == "falling").values
    if order == "equal":
        x = torch.ones(5, 90)
    top = TopK(5, k, x)
    for columns in spans(90, width):
        block = x[:, columns]
        top.add(block.t().contiguous().t() if transposed else block.contiguous(), columns.start)
    value, index = top.finish()
    assert torch.equal(value, x.sort(dim=1, descending=True).values[:, :k])
    assert torch.equal(x.gather(1, index), value)
    assert all(row.unique().numel() == k for row in index)


def test_topk_of_fewer_entries():
    top = TopK(2, 3, torch.empty(0))
    top.add(torch.tensor([[1.0, 2.0], [4.0, 3.0]]), 5)
    value, index = top.finish()
    assert value.tolist() == [[2, 1, -torch.inf], [4, 3, -torch.inf]]
    assert index[:, :2].tolist() == [[6, 5], [5, 6]]


@pytest.mark.parametrize("k", [1, 4, 50])
def test_rows_and_columns(monkeypatch, k):
    monkeypatch.setattr(topk, "_TILE", 8)
    a, b = torch.randn(37, 4), torch.randn(29, 4)
    both = BothTopK((37, 29), k, a)
    for tile in tiles(a, b, 10):
        both.add(tile)
    full = a @ b.t()
    for (value, index), scores in zip(both.finish(), (full, full.t()), strict=True):
        expected = scores.sort(dim=1, descending=True).values[:, :k]
        torch.testing.assert_close(value, expected)
        torch.testing.assert_close(scores.gather(1, index), expected)


@pytest.mark.parametrize("num", [5, 64, 133, 300])
def test_panel(monkeypatch, num):
    monkeypatch.setattr(topk, "_TILE", 64)
    a, b = torch.randn(6, 4), torch.randn(num, 4)
    panel = RowPanel(b, 4)
    for rows in (slice(0, 4), slice(4, 6)):
        value, index = panel.largest(a[rows], 2)
        expected = (a[rows] @ b.t()).topk(2, dim=1)
        torch.testing.assert_close(value, expected.values)
        assert torch.equal(index, expected.indices)
