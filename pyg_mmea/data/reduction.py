"""Long features made shorter, and comparable by cosine."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor


def reduce_features(
    x: Tensor, mask: Tensor, dim: int = 256, fitted: Mapping[str, Tensor] | None = None
) -> Tensor:
    r"""Projects features on their first principal components, each scaled by
    :math:`\lambda^{-1/4}` (half-way to whitening), and L2-normalises the rows.

    No label is used. Both graphs have to go through it together, as one tensor: two projections
    are not comparable.

    Args:
        x (Tensor): Features :math:`(N, D)`.
        mask (Tensor): The rows that count :math:`(N)`.
        dim (int): Number of components. (default: :obj:`256`)
        fitted (dict, optional): The projection of other features, which these are to be compared
            with, see :func:`fit_reduction`. (default: :obj:`None`, which fits one)

    Returns:
        Tensor: :math:`(N, \min(dim, D))`; rows outside of :obj:`mask`, and columns beyond the
        rank of the features, are zero.

    Raises:
        ValueError: If the projection is one of features of another size.
    """
    if fitted is None:
        return fit_reduction(x, mask, dim)[0]
    mean, weight = fitted["mean"], fitted["weight"]
    if mean.size(0) != x.size(1):
        raise ValueError(f"'fitted' projects {mean.size(0)} features (got {x.size(1)})")
    out = torch.zeros(x.size(0), weight.size(1))
    out[mask] = torch.nn.functional.normalize((x[mask] - mean) @ weight, dim=1)
    return out


def fit_reduction(x: Tensor, mask: Tensor, dim: int = 256) -> tuple[Tensor, dict[str, Tensor]]:
    r"""Fits the projection of :func:`reduce_features`.

    Args:
        x (Tensor): Features :math:`(N, D)`.
        mask (Tensor): The rows that count :math:`(N)`.
        dim (int): Number of components. (default: :obj:`256`)

    Returns:
        The projected features, and the projection: the :obj:`"mean"` that is taken off
        :math:`(D)`, and the :obj:`"weight"` that the rest is multiplied with
        :math:`(D, \min(dim, D))`, before rows are scaled to length one.
    """
    from sklearn.decomposition import PCA

    dim = min(dim, x.size(1))
    out = torch.zeros(x.size(0), dim)
    fit = {"mean": torch.zeros(x.size(1)), "weight": torch.zeros(x.size(1), dim)}
    rows = x[mask].double().numpy() if mask.sum() < dim else x[mask].numpy()
    num_components = min(dim, len(rows) - 1)
    if num_components < 1:
        return out, fit
    solver = "randomized" if num_components < 0.8 * min(rows.shape) else "full"
    pca = PCA(num_components, svd_solver=solver, random_state=0)
    with np.errstate(invalid="ignore"):  # rows that are all equal have no variance to share
        projected = pca.fit_transform(rows)
    variance = pca.explained_variance_
    scale = np.where(variance > 1e-9, np.maximum(variance, 1e-9) ** -0.25, 0.0)
    reduced = torch.from_numpy((projected * scale).astype(np.float32))
    padded = torch.nn.functional.pad(reduced, (0, dim - num_components))
    out[mask] = torch.nn.functional.normalize(padded, dim=1)
    fit["mean"] = torch.from_numpy(pca.mean_).float()
    fit["weight"][:, :num_components] = torch.from_numpy(pca.components_.T * scale).float()
    return out, fit
