"""Some rows of a matrix, and what treats each row alone."""

from collections.abc import Callable

import torch
from torch import Tensor

_FEW_ROWS = 1 << 16  # are done at once
_BLOCK_SIZE = 1 << 14


def by_rows(module: Callable[..., Tensor], *columns: Tensor) -> Tensor:
    """Calls what treats each row alone, by blocks of rows where nothing is learned and there are
    many: of features in a memory-mapped file only a block is in memory, and what comes and goes in
    between stays in the cache, instead of in gigabytes that the system has to hand out each time.

    Args:
        module (Callable): Called with a block of each column, returns one row a row; one whose
            attribute :obj:`row_wise` is false is called with all rows.
        *columns (torch.Tensor): Of :math:`N` rows each.

    Shapes:
        - **output:** as that of :obj:`module`, :math:`(N, *)`
    """
    num_rows = columns[0].size(0)
    sparse = any(x.layout != torch.strided for x in columns)
    whole = sparse or not getattr(module, "row_wise", True)
    if whole or torch.is_grad_enabled() or num_rows <= _FEW_ROWS:
        return module(*columns)
    out: Tensor | None = None
    start = 0
    for block in zip(*(x.split(_BLOCK_SIZE) for x in columns), strict=True):
        rows = module(*block)
        if out is None:
            out = rows.new_empty(num_rows, *rows.shape[1:])
        out[start : start + len(rows)] = rows
        start += len(rows)
    assert out is not None  # there are many rows
    return out


def take(x: Tensor, nodes: Tensor | None) -> Tensor:
    """Returns the rows of some nodes, all where :obj:`nodes` is :obj:`None`."""
    return x if nodes is None else x.index_select(0, nodes)
