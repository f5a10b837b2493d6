"""Candidate pairs of two sets of embeddings: each entity and its nearest neighbours."""

import torch
from torch import Tensor

from pyg_mmea.utils.similarity import normalize, topk_similarity, unit_pair

_PCA_ROWS = 4096  # rows of each side that principal components are found on


def nearest_pairs(
    x_s: Tensor, x_t: Tensor, k: int, channels: int | None = None, chunk_size: int = 1024
) -> Tensor:
    r"""Finds the ``k`` most similar targets (by cosine) of every source entity and the ``k`` most
    similar sources of every target.

    Args:
        x_s (torch.Tensor): Source embeddings.
        x_t (torch.Tensor): Target embeddings.
        k (int): Neighbours of each entity, cut to the entities there are.
        channels (int, optional): Compare the first principal components, that many, where the
            embeddings are wider and there are more of them than that; this is faster, and
            approximate. (default: :obj:`None`)
        chunk_size (int, optional): Rows compared at once. (default: :obj:`1024`)

    Shapes:
        - **input:** :math:`(N_s, D)`, :math:`(N_t, D)`
        - **output:** pairs :math:`(2, P)` with :math:`P \leq k (N_s + N_t)`, sorted by source,
          then by target

    Raises:
        ValueError: If ``k`` or ``channels`` is below 1 or the shapes do not fit.
    """
    if k < 1:
        raise ValueError(f"'k' needs to be at least 1 (got {k})")
    if channels is not None and channels < 1:
        raise ValueError(f"'channels' needs to be at least 1 (got {channels})")
    unit_s, unit_t = unit_pair(x_s, x_t)
    num_s, num_t, width = unit_s.size(0), unit_t.size(0), unit_s.size(1)
    # Finding the components of few rows takes longer than comparing all of their columns.
    if channels is not None and channels < width < num_s + num_t:
        unit_s, unit_t = _principal(unit_s, unit_t, channels)
    # Two passes: the largest entries of columns take longer to find than rows to multiply again.
    near_s = topk_similarity(unit_s, unit_t, min(k, num_t), chunk_size)[1]
    near_t = topk_similarity(unit_t, unit_s, min(k, num_s), chunk_size)[1]
    ids_s, ids_t = (torch.arange(x.size(0), device=x.device).view(-1, 1) for x in (near_s, near_t))
    keys = torch.cat([(ids_s * num_t + near_s).view(-1), (near_t * num_t + ids_t).view(-1)])
    keys = keys.unique()
    return torch.stack([keys // num_t, keys % num_t])


def _principal(x_s: Tensor, x_t: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """Projects both onto their common principal components, found on a sample of rows."""
    sample = torch.cat([x[:: max(x.size(0) // _PCA_ROWS, 1)] for x in (x_s, x_t)])
    basis = torch.linalg.eigh(sample.t() @ sample).eigenvectors[:, -channels:]
    return normalize(x_s @ basis), normalize(x_t @ basis)
