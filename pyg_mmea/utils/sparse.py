"""Sparse products in memory linear in the number of edges, with gradients for both factors."""

from collections.abc import Iterator
from functools import cached_property, reduce
from typing import Any, Self

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pyg_mmea.utils.ranges import list_ranges

_CHUNK_SIZE = 1 << 16  # edges gathered at once where no fused kernel exists


class SparsePattern:
    r"""The places of the non-zeros of a sparse matrix, sorted by row, with those of its transpose.

    Sorting is done once; :func:`spmm` and :func:`sddmm` then take one value a place. A place may
    occur more than once, as parallel edges do.

    Args:
        row (torch.Tensor): Row of each non-zero :math:`(E)`, in ascending order.
        col (torch.Tensor): Column of each non-zero :math:`(E)`.
        size (tuple[int, int]): Number of rows and columns.

    Raises:
        ValueError: If the rows are not sorted.
    """

    def __init__(self, row: Tensor, col: Tensor, size: tuple[int, int]) -> None:
        if row.numel() > 1 and bool((row[1:] < row[:-1]).any()):
            raise ValueError("'row' needs to be in ascending order")
        self.row, self.col, self.size = row, col, size
        self.crow = _pointers(row, size[0])

    @cached_property
    @torch.inference_mode(False)  # or what a validation builds could not be trained with
    def order(self) -> Tensor:
        """The places in the order of the transpose, by column :math:`(E)`."""
        return torch.argsort(self.col, stable=True)

    @cached_property
    @torch.inference_mode(False)
    def t_col(self) -> Tensor:
        """Columns of the transpose :math:`(E)`."""
        return self.row[self.order]

    @cached_property
    @torch.inference_mode(False)
    def t_crow(self) -> Tensor:
        """Row pointers of the transpose :math:`(M + 1)`."""
        return _pointers(self.col, self.size[1])

    @property
    def num_entries(self) -> int:
        """Number of places."""
        return self.row.numel()

    def select_rows(self, rows: Tensor) -> tuple[Self, Tensor]:
        """Returns the pattern of some rows alone, and which places they have in this one.

        Args:
            rows (torch.Tensor): The rows, each at most once :math:`(K)`.
        """
        start = self.crow[rows]
        count = self.crow[rows + 1] - start
        row, place = list_ranges(start, count)
        part = type(self)(row, self.col[place], (rows.numel(), self.size[1]))
        # The order of the whole, thinned out, is that of the part: no need to sort.
        local = place.new_full((self.num_entries,), -1)
        local[place] = torch.arange(place.numel(), device=rows.device)
        order = local[self.order]
        part.__dict__["order"] = order[order >= 0]
        return part, place

    def matrix(self, value: Tensor) -> Tensor:
        """Returns the CSR matrix with these values."""
        return torch.sparse_csr_tensor(
            self.crow, self.col, value, self.size, check_invariants=False
        )

    def transposed(self, value: Tensor) -> Tensor:
        """Returns the CSR matrix of the transpose."""
        return torch.sparse_csr_tensor(
            self.t_crow,
            self.t_col,
            value.index_select(0, self.order),
            self.size[::-1],
            check_invariants=False,
        )

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.num_entries}, size={self.size})"


def _pointers(index: Tensor, size: int) -> Tensor:
    pointers = index.new_zeros(size + 1)
    torch.cumsum(torch.bincount(index, minlength=size), 0, out=pointers[1:])
    return pointers


def _at_least_single(*tensors: Tensor) -> Iterator[Tensor]:
    """Gives all tensors one type, at least single precision: half has no sparse kernels."""
    dtype = reduce(torch.promote_types, (x.dtype for x in tensors))
    if dtype in (torch.float16, torch.bfloat16):
        dtype = torch.float32
    return (x.to(dtype) for x in tensors)


def _product(matrix: Tensor, x: Tensor) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        # On CPU the reducing kernel is the faster one; see benchmarks/speed/kernels.py.
        return matrix @ x if x.is_cuda else torch.sparse.mm(matrix, x, "sum")


def _sample(pattern: SparsePattern, a: Tensor, b: Tensor) -> Tensor:
    if pattern.num_entries > pattern.size[0] * pattern.size[1]:
        # Parallel places outnumber the cells: the sampling kernel refuses them, and the dense
        # product is smaller than its sample.
        with torch.autocast(a.device.type, enabled=False):
            return (a @ b.t())[pattern.row, pattern.col]
    if torch.backends.mkl.is_available() or a.is_cuda:
        zeros = pattern.matrix(a.new_zeros(pattern.num_entries))
        # A copy: torch.compile knows no view of a sparse tensor.
        return torch.sparse.sampled_addmm(zeros, a, b.t(), beta=0.0).values().clone()
    out = a.new_empty(pattern.num_entries)
    for start in range(0, pattern.num_entries, _CHUNK_SIZE):
        part = slice(start, start + _CHUNK_SIZE)
        out[part] = (a[pattern.row[part]] * b[pattern.col[part]]).sum(dim=1)
    return out


class _SpMM(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pattern: SparsePattern, value: Tensor, x: Tensor) -> Tensor:
        ctx.pattern = pattern
        ctx.save_for_backward(value, x)
        return _product(pattern.matrix(value), x.contiguous())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor | None, Tensor | None]:
        value, x = ctx.saved_tensors
        grad = grad.contiguous()
        grad_value = _sample(ctx.pattern, grad, x) if ctx.needs_input_grad[1] else None
        grad_x = _product(ctx.pattern.transposed(value), grad) if ctx.needs_input_grad[2] else None
        return None, grad_value, grad_x


class _SDDMM(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pattern: SparsePattern, a: Tensor, b: Tensor) -> Tensor:
        ctx.pattern = pattern
        ctx.save_for_backward(a, b)
        return _sample(pattern, a.contiguous(), b.contiguous())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor | None, Tensor | None]:
        a, b = ctx.saved_tensors
        grad = grad.contiguous()
        grad_a = _product(ctx.pattern.matrix(grad), b) if ctx.needs_input_grad[1] else None
        grad_b = _product(ctx.pattern.transposed(grad), a) if ctx.needs_input_grad[2] else None
        return None, grad_a, grad_b


def spmm(pattern: SparsePattern, value: Tensor, x: Tensor) -> Tensor:
    r"""Computes :math:`\mathbf{A} \mathbf{X}` for the sparse matrix with the given values.

    Its backward pass is one product with :math:`\mathbf{A}^\top` and one sampled product, so
    neither an :math:`(E, D)` nor an :math:`(N, N)` matrix exists.

    Args:
        pattern (SparsePattern): The places of the non-zeros.
        value (torch.Tensor): One value a place.
        x (torch.Tensor): The dense factor.

    Shapes:
        - **input:** ``value`` :math:`(E)`, ``x`` :math:`(M, D)` for a pattern of size
          :math:`(N, M)`
        - **output:** :math:`(N, D)`, in single precision if the input is in half
    """
    return _SpMM.apply(pattern, *_at_least_single(value, x))


def sddmm(pattern: SparsePattern, a: Tensor, b: Tensor) -> Tensor:
    r"""Computes the dot product :math:`\langle \mathbf{a}_i, \mathbf{b}_j \rangle` for each place
    :math:`(i, j)` of the pattern.

    Args:
        pattern (SparsePattern): The places.
        a (torch.Tensor): Rows.
        b (torch.Tensor): Columns.

    Shapes:
        - **input:** ``a`` :math:`(N, D)`, ``b`` :math:`(M, D)` for a pattern of size
          :math:`(N, M)`
        - **output:** :math:`(E)`, in single precision if the input is in half
    """
    return _SDDMM.apply(pattern, *_at_least_single(a, b))


def edge_softmax(pattern: SparsePattern, logit: Tensor) -> Tensor:
    """Computes the softmax of the values in each row of the pattern.

    Args:
        pattern (SparsePattern): The places.
        logit (torch.Tensor): One value a place.

    Shapes:
        - **input:** :math:`(E)`
        - **output:** :math:`(E)`, summing to one over each row that has a place, in single
          precision if the input is in half
    """
    num_rows = pattern.size[0]
    (logit,) = _at_least_single(logit)
    top = logit.new_full((num_rows,), -torch.inf)
    top.scatter_reduce_(0, pattern.row, logit.detach(), "amax")
    weight = (logit - top.index_select(0, pattern.row)).exp()
    total = weight.new_zeros(num_rows).index_add(0, pattern.row, weight)
    return weight / total.index_select(0, pattern.row)
