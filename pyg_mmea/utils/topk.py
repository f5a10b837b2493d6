"""The largest entries of the rows and columns of a matrix of which one tile exists at a time."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_mmea.utils.ranges import list_ranges

_TILE = 1024  # columns of a tile on CPU: it stays in the cache while it is worked on
_TILE_GPU = 16384
_GROUP = 8  # entries of which the largest is looked at first
_PANEL_GROUP = 16
_SLACK = 4  # times k: entries of a row that are gathered before they are sorted


class Tile(NamedTuple):
    """A part of the matrix of cosines.

    Attributes:
        rows (slice): Its rows.
        columns (slice): Its columns.
        block (torch.Tensor): Its entries, in a buffer that the next tile writes over.
    """

    rows: slice
    columns: slice
    block: Tensor


def spans(num: int, size: int) -> list[slice]:
    """Cuts a range into parts of equal size, the last one perhaps smaller."""
    if size < 1:
        raise ValueError(f"'chunk_size' needs to be at least 1 (got {size})")
    return [slice(start, min(start + size, num)) for start in range(0, num, size)]


def tile_width(x: Tensor) -> int:
    """Returns how many columns a tile has."""
    return _TILE_GPU if x.is_cuda else _TILE


def tiles(
    unit_s: Tensor,
    unit_t: Tensor,
    chunk_size: int,
    wanted: Callable[[slice, slice], bool] | None = None,
) -> Iterator[Tile]:
    """Iterates over products of rows, all columns of some rows before the next rows; the same
    tile has the same bits each time.

    Args:
        unit_s (torch.Tensor): Left factor :math:`(N_s, D)`.
        unit_t (torch.Tensor): Right factor :math:`(N_t, D)`.
        chunk_size (int): Rows of a tile.
        wanted (callable, optional): Tells by rows and columns which tiles are computed.
            (default: :obj:`None`)
    """
    all_rows, all_columns = (
        spans(unit_s.size(0), chunk_size),
        spans(unit_t.size(0), tile_width(unit_t)),
    )
    unit_s, unit_t = unit_s.detach(), unit_t.detach()  # products into a buffer have no gradient
    buffer = unit_s.new_empty(all_rows[0].stop * all_columns[0].stop)
    for rows in all_rows:
        for columns in all_columns:
            if wanted is None or wanted(rows, columns):
                size = rows.stop - rows.start, columns.stop - columns.start
                block = buffer[: size[0] * size[1]].view(size)
                torch.mm(unit_s[rows], unit_t[columns].t(), out=block)
                yield Tile(rows, columns, block)


class TopK:
    r"""Keeps the ``k`` largest entries of each row while blocks of columns go by.

    A block is looked at by the maxima of groups of its entries: only groups whose maximum is
    above a bound of the ``k``-th largest entry so far are opened, so that a late block costs one
    pass over it. Entries that pass are gathered and sorted now and then, which raises the bound.
    This is exact; of equal entries any may be kept.

    Args:
        num (int): Number of rows.
        k (int): Entries kept of each.
        like (torch.Tensor): Gives type and device.
    """

    def __init__(self, num: int, k: int, like: Tensor) -> None:
        self.k = k
        self._value = like.new_full((num, _SLACK * k), -torch.inf)
        self._index = torch.zeros(num, _SLACK * k, dtype=torch.long, device=like.device)
        self._count = self._index.new_zeros(num)  # filled places of each row
        self._bound = like.new_full((num,), -torch.inf)

    def add(self, block: Tensor, first: int) -> None:
        """Takes a block of columns of all rows, of which the leftmost is column ``first``."""
        if block.size(1) >= self.k and not bool(self._count.any()):
            self._value[:, : self.k], column = block.topk(self.k, dim=1)
            self._index[:, : self.k] = column + first
            self._count.fill_(self.k)
            self._bound = self._value[:, self.k - 1].clone()
            return
        row, column, value = _above(block, self._bound)
        count = row.bincount(minlength=self._count.numel())
        if int((self._count + count).max()) > self._value.size(1):
            self._sort(int(count.max()))
        _, place = list_ranges(self._count, count)
        self._value[row, place] = value
        self._index[row, place] = column + first
        self._count += count

    def finish(self) -> tuple[Tensor, Tensor]:
        """Returns the largest entries, best first, and their columns :math:`(N, k)`; minus infinity
        where there were fewer."""
        self._sort(0)
        return self._value[:, : self.k], self._index[:, : self.k]

    def _sort(self, room: int) -> None:
        """Leaves the largest entries alone, with room for more."""
        value, place = self._value.topk(self.k, dim=1)
        index = self._index.gather(1, place)
        if self.k + room > self._value.size(1):
            self._value = value.new_empty(value.size(0), self.k + room)
            self._index = index.new_zeros(self._value.shape)
        self._value.fill_(-torch.inf)[:, : self.k] = value
        self._index[:, : self.k] = index
        self._count.clamp_(max=self.k)
        self._bound = value[:, -1]


class BothTopK:
    """Keeps the largest entries of the rows and of the columns of a matrix, tile by tile.

    Args:
        size (tuple[int, int]): Rows and columns of the matrix.
        k (int): Entries kept of each row and column, cut to the entries there are.
        like (torch.Tensor): Gives type and device.
    """

    def __init__(self, size: tuple[int, int], k: int, like: Tensor) -> None:
        self._k = [min(k, num) for num in reversed(size)]  # of rows and of columns
        self._like, self._num_columns = like, size[1]
        self._rows: list[TopK] = []
        self._done: list[tuple[Tensor, Tensor]] = []
        width = tile_width(like)
        self._columns = {
            c.start: TopK(c.stop - c.start, self._k[1], like) for c in spans(size[1], width)
        }

    def add(self, tile: Tile) -> None:
        """Takes the next tile of all, see :func:`tiles`."""
        if tile.columns.start == 0:
            self._rows = [TopK(tile.block.size(0), self._k[0], self._like)]
        self._rows[0].add(tile.block, tile.columns.start)
        self._columns[tile.columns.start].add(tile.block.t(), tile.rows.start)
        if tile.columns.stop == self._num_columns:
            self._done.append(self._rows[0].finish())

    def finish(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Returns values and places of the largest entries of all rows, and of all columns."""
        columns = [top.finish() for top in self._columns.values()]
        return _stack(self._done), _stack(columns)


def _stack(parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    value, index = zip(*parts, strict=True)
    return torch.cat(value), torch.cat(index)


def _above(block: Tensor, bound: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Lists row, column and value of the entries above the bound of their row, row by row."""
    if block.size(1) % _GROUP:
        block = F.pad(block, (0, -block.size(1) % _GROUP), value=-torch.inf)
    top, step = group_maxima(block, _GROUP)
    row, group = (top > bound[:, None]).contiguous().nonzero().unbind(1)
    column = group[:, None] + torch.arange(0, block.size(1), step, device=block.device)
    value = block[row[:, None], column]
    hit, place = (value > bound[row, None]).nonzero().unbind(1)
    return row[hit], column[hit, place], value[hit, place]


def group_maxima(block: Tensor, size: int) -> tuple[Tensor, int]:
    """Returns the maxima of groups of this many entries of each row, and how far apart the entries
    of a group are: group ``g`` has columns ``g``, ``g + step`` and so on."""
    step = block.size(1) // size
    if block.stride(0) == 1:  # a transposed block: reduce it in the order of memory
        return block.t().unflatten(0, (size, step)).amax(dim=0).t(), step
    return block.unflatten(1, (size, step)).amax(dim=1), step


class RowPanel:
    """Finds the largest entries of the rows of a matrix, some rows at a time; for many entries a
    row this is faster than :class:`TopK`, and needs all columns of these rows at once.

    Args:
        unit_t (torch.Tensor): Right factor of the matrix :math:`(N_t, D)`.
        chunk_size (int): Most rows at a time.
    """

    def __init__(self, unit_t: Tensor, chunk_size: int) -> None:
        self._unit_t = unit_t
        num = unit_t.size(0)
        # Tiles of equal width in whole groups; what no entity fills is never among the largest.
        self._width = min(tile_width(unit_t), num + -num % _PANEL_GROUP)
        self._step = self._width // _PANEL_GROUP
        self._tiles = spans(num, self._width)
        num_tiles = len(self._tiles)
        self._score = unit_t.new_full((chunk_size, num_tiles * self._width), -torch.inf)
        self._top = unit_t.new_empty(chunk_size, num_tiles * self._step)

    def largest(self, rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Returns the ``k`` largest products of each of these rows of the left factor, best first,
        and their columns. The ``k`` largest are in the ``k`` groups with the largest maxima."""
        score, top = self._score[: rows.size(0)], self._top[: rows.size(0)]
        for j, columns in enumerate(self._tiles):
            torch.mm(rows, self._unit_t[columns].t(), out=score[:, columns])
            tile = score[:, j * self._width : (j + 1) * self._width]
            top[:, j * self._step : (j + 1) * self._step] = group_maxima(tile, _PANEL_GROUP)[0]
        if top.size(1) < 4 * k:
            return score.topk(k, dim=1)
        group = top.topk(k, dim=1, sorted=False).indices
        first = group // self._step * self._width + group % self._step
        within = torch.arange(0, self._width, self._step, device=group.device)
        column = (first[:, :, None] + within).flatten(1)
        value, place = score.gather(1, column).topk(k, dim=1)
        return value, column.gather(1, place)
