"""Cosine similarity between two sets of embeddings, one block of rows at a time."""

from collections.abc import Iterator

import torch
from torch import Tensor

from pyg_mmea.utils.topk import BothTopK, RowPanel, Tile, spans, tiles


def normalize(x: Tensor) -> Tensor:
    r"""Scales every row to unit Euclidean length; a row of zeros stays zero.

    Half-precision input is raised to float32, since ranking needs the digits.

    Args:
        x (torch.Tensor): Embeddings.

    Shapes:
        - **input:** :math:`(N, D)`
        - **output:** :math:`(N, D)`, float32 or float64

    Raises:
        ValueError: If ``x`` is not a matrix or has an entry that is not finite.
    """
    if x.dim() != 2:
        raise ValueError(f"embeddings need to be a matrix [N, D] (got shape {list(x.shape)})")
    if x.dtype not in (torch.float32, torch.float64):
        x = x.float()
    if not bool(torch.isfinite(x).all()):
        raise ValueError("embeddings need to be finite (got NaN or infinity)")
    # Dividing by the largest entry first keeps the squares from under- or overflowing.
    x = x / _nonzero(x.abs().amax(dim=1, keepdim=True)) if x.numel() else x
    return x / _nonzero(torch.linalg.vector_norm(x, dim=1, keepdim=True))


def at_least_single(x: Tensor) -> Tensor:
    """Raises half precision to single, where digits or small numbers count."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def unit_rows(x: Tensor) -> Tensor:
    """Scales every row to unit Euclidean length, for use in training: nothing is checked, a row of
    zeros stays zero and passes a finite gradient, half precision is raised to float32.

    Shapes:
        - **input:** :math:`(N, D)`
        - **output:** :math:`(N, D)`
    """
    x = at_least_single(x)
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    # Times the reciprocal: a division would cost two more passes over x in the backward pass.
    return x * norm.masked_fill(norm == 0, 1.0).reciprocal()


def cosine_blocks(
    x_s: Tensor, x_t: Tensor, chunk_size: int = 1024
) -> Iterator[tuple[int, int, Tensor]]:
    r"""Iterates over the cosine similarities, ``chunk_size`` source rows at a time.

    Args:
        x_s (torch.Tensor): Source embeddings.
        x_t (torch.Tensor): Target embeddings.
        chunk_size (int, optional): Rows per block. (default: :obj:`1024`)

    Shapes:
        - **input:** :math:`(N_s, D)`, :math:`(N_t, D)`
        - **output:** tuples ``(start, stop, block)``, block :math:`(stop - start, N_t)`

    Raises:
        ValueError: If the shapes do not fit or ``chunk_size`` is below 1.
    """
    unit_s, unit_t = unit_pair(x_s, x_t)
    for rows in spans(unit_s.size(0), chunk_size):
        yield rows.start, rows.stop, unit_s[rows] @ unit_t.t()


def topk_similarity(
    x_s: Tensor, x_t: Tensor, k: int, chunk_size: int = 1024
) -> tuple[Tensor, Tensor]:
    r"""Finds the ``k`` most similar targets (by cosine) of every source entity.

    Args:
        x_s (torch.Tensor): Source embeddings.
        x_t (torch.Tensor): Target embeddings.
        k (int): Neighbours per source entity.
        chunk_size (int, optional): Rows compared at once; the memory needed is this many
            rows of :math:`N_t` scores. (default: :obj:`1024`)

    Shapes:
        - **input:** :math:`(N_s, D)`, :math:`(N_t, D)`
        - **output:** values :math:`(N_s, k)`, best first, and their indices :math:`(N_s, k)`

    Raises:
        ValueError: If ``k`` is not in :math:`[1, N_t]` or the shapes do not fit.
    """
    if not 1 <= k <= x_t.size(0):
        raise ValueError(f"'k' needs to be in [1, {x_t.size(0)}] (got {k})")
    unit_s, unit_t = unit_pair(x_s, x_t)
    values = unit_s.new_empty(unit_s.size(0), k)
    index = torch.empty(unit_s.size(0), k, dtype=torch.long, device=unit_s.device)
    chunks = spans(unit_s.size(0), chunk_size)
    panel = RowPanel(unit_t.detach(), chunks[0].stop)
    for rows in chunks:
        values[rows], index[rows] = panel.largest(unit_s[rows].detach(), k)
    return values, index


def csls_terms(
    x_s: Tensor, x_t: Tensor, k: int = 10, chunk_size: int = 1024
) -> tuple[Tensor, Tensor]:
    r"""Computes the neighbourhood terms of cross-domain similarity local scaling (CSLS), from
    `"Word Translation Without Parallel Data" <https://arxiv.org/abs/1710.04087>`_.

    .. math::
        \textrm{CSLS}(i, j) = 2 \cos(i, j) - r_s(i) - r_t(j)

    where :math:`r_s(i)` is the mean cosine of source :math:`i` and its ``k`` nearest targets,
    and :math:`r_t(j)` the mean cosine of target :math:`j` and its ``k`` nearest sources.

    Args:
        x_s (torch.Tensor): Source embeddings.
        x_t (torch.Tensor): Target embeddings.
        k (int, optional): Size of the neighbourhood, cut to the entities there are;
            zero switches the terms off. (default: :obj:`10`)
        chunk_size (int, optional): Rows compared at once. (default: :obj:`1024`)

    Shapes:
        - **input:** :math:`(N_s, D)`, :math:`(N_t, D)`
        - **output:** :math:`(N_s)`, :math:`(N_t)`; zeros if ``k`` is zero

    Raises:
        ValueError: If ``k`` is negative or the shapes do not fit.
    """
    return unit_csls_terms(*unit_pair(x_s, x_t), k, chunk_size)


def unit_csls_terms(
    unit_s: Tensor, unit_t: Tensor, k: int, chunk_size: int
) -> tuple[Tensor, Tensor]:
    """Computes :func:`csls_terms` of rows that :func:`unit_pair` returned."""
    terms = CSLSTerms(unit_s, unit_t, k)
    if k > 0:
        for tile in tiles(unit_s, unit_t, chunk_size):
            terms.add(tile)
    return terms.finish()


class CSLSTerms:
    """Gathers the two CSLS terms while the tiles of one similarity pass go by.

    Args:
        unit_s (torch.Tensor): Normalised source embeddings.
        unit_t (torch.Tensor): Normalised target embeddings.
        k (int): Size of the neighbourhood.
    """

    def __init__(self, unit_s: Tensor, unit_t: Tensor, k: int) -> None:
        if k < 0:
            raise ValueError(f"'csls_k' needs to be at least 0 (got {k})")
        self._zeros = unit_s.new_zeros(unit_s.size(0)), unit_t.new_zeros(unit_t.size(0))
        size = unit_s.size(0), unit_t.size(0)
        self._top = BothTopK(size, k, unit_s) if k > 0 else None

    def add(self, tile: Tile) -> None:
        """Takes the next tile of cosines."""
        if self._top is not None:
            self._top.add(tile)

    def finish(self) -> tuple[Tensor, Tensor]:
        """Returns the terms of sources and targets, once all tiles have been added."""
        if self._top is None:
            return self._zeros
        (near_s, _), (near_t, _) = self._top.finish()
        return near_s.mean(dim=1), near_t.mean(dim=1)


def unit_pair(x_s: Tensor, x_t: Tensor) -> tuple[Tensor, Tensor]:
    """Normalises both sides and checks that they can be compared."""
    unit_s, unit_t = normalize(x_s), normalize(x_t)
    if unit_s.size(1) != unit_t.size(1):
        raise ValueError(
            f"source and target embeddings need the same width "
            f"(got {unit_s.size(1)} and {unit_t.size(1)})"
        )
    if unit_s.size(0) == 0 or unit_t.size(0) == 0:
        raise ValueError(
            f"both sides need at least one entity (got {unit_s.size(0)} and {unit_t.size(0)})"
        )
    dtype = torch.promote_types(unit_s.dtype, unit_t.dtype)
    return unit_s.to(dtype), unit_t.to(dtype)


def _nonzero(scale: Tensor) -> Tensor:
    return torch.where(scale > 0, scale, torch.ones_like(scale))
