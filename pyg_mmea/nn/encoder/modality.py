"""Encoders that turn the features of one modality into embeddings."""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import Parameter
from torch.utils.weak import WeakTensorKeyDictionary

from pyg_mmea.utils.similarity import at_least_single


class ModalityEncoder(torch.nn.Module):
    """Base class of all modality encoders: implement :meth:`encode`.

    Args:
        in_channels (int): Size of the features.
        out_channels (int): Size of the embedding.

    Shapes:
        - **input:** features :math:`(N, D_{in})`, mask :math:`(N)` *(bool)*
        - **output:** :math:`(N, D_{out})`; rows without the modality are exactly zero.

    Raises:
        ValueError: If a size is below one.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        for name, size in (("in_channels", in_channels), ("out_channels", out_channels)):
            if size < 1:
                raise ValueError(f"'{name}' needs to be positive (got {size})")
        self.in_channels = in_channels
        self.out_channels = out_channels

    def reset_parameters(self) -> None:
        """Resets all learnable parameters."""
        raise NotImplementedError

    def encode(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Embeds all rows; what it returns for rows outside :obj:`mask` does not matter."""
        raise NotImplementedError

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Embeds the features.

        Args:
            x (torch.Tensor): Features.
            mask (torch.Tensor, optional): True where the entity has the modality.
                (default: :obj:`None`, which means everywhere)

        Raises:
            ValueError: If the shapes do not fit.
        """
        if x.dim() != 2 or x.size(1) != self.in_channels:
            raise ValueError(
                f"'x' needs to have shape [N, {self.in_channels}] (got {list(x.size())})"
            )
        if mask is not None and mask.size() != x.size()[:1]:
            raise ValueError(f"'mask' needs to have shape [{x.size(0)}] (got {list(mask.size())})")
        out = self.encode(x, mask)
        return out if mask is None else out.masked_fill(~mask.view(-1, 1), 0.0)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.in_channels}, {self.out_channels})"


class DenseEncoder(ModalityEncoder):
    r"""A linear layer on dense features, such as those of a frozen image or sentence encoder.

    Args:
        in_channels (int): Size of the features.
        out_channels (int): Size of the embedding.
        dropout (float, optional): Dropout probability of the features. (default: :obj:`0.0`)
        standardize (bool, optional): If set to :obj:`True`, every feature is shifted and scaled to
            mean zero and standard deviation one over the rows of this call that have the
            modality. Each graph is encoded by its own call, so this removes what tells the two
            apart as a whole (light, background, style); on mini-batches the statistics are those
            of the batch. (default: :obj:`False`)

    Raises:
        ValueError: If a size is below one, or the probability not in [0, 1).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dropout: float = 0.0,
        standardize: bool = False,
    ) -> None:
        super().__init__(in_channels, out_channels)
        if not 0 <= dropout < 1:
            raise ValueError(f"'dropout' needs to be in [0, 1) (got {dropout})")
        self.dropout = dropout
        self.standardize = standardize
        self.lin = torch.nn.Linear(in_channels, out_channels)
        self.reset_parameters()

    @property
    def row_wise(self) -> bool:
        """Whether each row is encoded alone, so that calls by blocks give the same."""
        return not self.standardize

    def reset_parameters(self) -> None:
        torch.nn.init.xavier_uniform_(self.lin.weight)
        torch.nn.init.zeros_(self.lin.bias)

    def encode(self, x: Tensor, mask: Tensor | None) -> Tensor:
        if mask is not None:  # whatever stands in an absent row (NaN, too) must not reach a sum
            x = x.masked_fill(~mask.view(-1, 1), 0.0)
        if self.standardize:
            count = x.new_tensor(x.size(0)) if mask is None else mask.sum()
            mean = x.sum(dim=0) / count.clamp(min=1)  # [D]
            x = x - mean
            if mask is not None:
                x = x.masked_fill(~mask.view(-1, 1), 0.0)
            std = x.square().sum(dim=0).div(count.clamp(min=1)).sqrt()  # [D]
            x = x / std.masked_fill(std < 1e-6, 1.0)  # a constant feature stays zero
        return self.lin(F.dropout(x.to(self.lin.weight.dtype), self.dropout, self.training))

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.in_channels}, {self.out_channels}, "
            f"dropout={self.dropout}, standardize={self.standardize})"
        )


class BagEncoder(ModalityEncoder):
    r"""A linear layer on bags (counts) of relations or attributes.

    .. math::
        \mathbf{h}_i = \mathbf{W} \frac{\log(1 + \mathbf{x}_i)}{\lVert \log(1 + \mathbf{x}_i)
        \rVert} + \mathbf{b}

    Sparse bags stay sparse. They are data, so they get no gradient, and the one of the weights is
    a product with the transposed bag. Both products run as sums of embedding rows, which on a CPU
    is several times as fast as :meth:`torch.sparse.mm` on COO or CSR. The prepared bag and its
    transpose are kept for as long as the tensor handed in lives, shared by all encoders of the
    process and part of no module: moving, copying and pickling an encoder does not touch them.
    Do not change the values of a sparse bag in place.

    Args:
        in_channels (int): Number of relations or attributes.
        out_channels (int): Size of the embedding.

    Shapes:
        - **input:** counts :math:`(N, D_{in})`, dense, sparse COO or sparse CSR; mask :math:`(N)`
        - **output:** :math:`(N, D_{out})`

    Raises:
        ValueError: If a size is below one; when called, if a count is negative, or a sparse bag
            is to get a gradient or has another layout.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels)
        self.weight = Parameter(torch.empty(in_channels, out_channels))
        self.bias = Parameter(torch.empty(out_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        torch.nn.init.xavier_uniform_(self.weight)
        torch.nn.init.zeros_(self.bias)

    def encode(self, x: Tensor, mask: Tensor | None) -> Tensor:
        if x.layout == torch.strided:
            if bool((x < 0).any()):
                raise ValueError("'x' needs to hold counts (got a negative one)")
            x = F.normalize(at_least_single(x).log1p(), dim=-1)
            return x.to(self.weight.dtype) @ self.weight + self.bias
        return _BagProduct.apply(self.weight, _prepare(x)) + self.bias


class _Csr(NamedTuple):
    ptr: Tensor  # [rows + 1]
    col: Tensor  # [nnz]
    value: Tensor  # [nnz]


class _Bag(NamedTuple):
    forward: _Csr  # entities x words
    transposed: _Csr  # words x entities


_PREPARED = WeakTensorKeyDictionary()  # sparse tensor -> its version and _Bag


def _prepare(x: Tensor) -> _Bag:
    """Returns the normalised bag, from the cache if this tensor was seen before."""
    if x.is_inference():  # cannot tell that it changed
        return _build(x)
    cached = _PREPARED.get(x)
    if cached is None or cached[0] != x._version:
        cached = _PREPARED[x] = (x._version, _build(x))
    return cached[1]


@torch.no_grad()
def _build(x: Tensor) -> _Bag:
    if x.requires_grad:
        raise ValueError("'x' needs to be a constant: a sparse bag gets no gradient")
    if x.layout == torch.sparse_coo:
        csr = x.coalesce().to_sparse_csr()
    elif x.layout == torch.sparse_csr:
        csr = x
    else:
        raise ValueError(f"'x' needs to be dense, sparse COO or sparse CSR (got {x.layout})")
    ptr, col, value = csr.crow_indices(), csr.col_indices(), csr.values()
    if bool((value < 0).any()):
        raise ValueError("'x' needs to hold counts (got a negative one)")
    num_rows, num_cols = x.size()
    row = torch.arange(num_rows, device=x.device).repeat_interleave(ptr.diff())  # [nnz]
    value = value.log1p()
    norm = value.new_zeros(num_rows).index_add_(0, row, value.square()).sqrt()  # [rows]
    value = value / norm[row].masked_fill(norm[row] == 0, 1.0)

    order = col.argsort(stable=True)
    ptr_t = F.pad(torch.bincount(col, minlength=num_cols).cumsum(0), (1, 0)).to(ptr.dtype)
    transposed = _Csr(ptr_t, row[order].to(col.dtype), value[order])
    return _Bag(_Csr(ptr, col, value), transposed)


def _product(csr: _Csr, dense: Tensor) -> Tensor:
    return F.embedding_bag(
        csr.col,
        dense,
        csr.ptr,
        mode="sum",
        per_sample_weights=csr.value.to(dense.dtype),
        include_last_offset=True,
    )


class _BagProduct(torch.autograd.Function):
    """The product of a constant sparse bag ``[N, D_in]`` with a weight ``[D_in, D_out]``."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, bag: _Bag) -> Tensor:
        ctx.bag = bag
        return _product(bag.forward, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _product(ctx.bag.transposed, grad.contiguous()), None
