"""Approximate nearest neighbours by FAISS, in time nearly linear in the number of entities."""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

_LIST_SIZE = 64  # entities an inverted list: as many lists as it takes
_NUM_PROBES = 16  # lists that are looked through for one entity
_HNSW_LINKS = 16
_HNSW_BREADTH = 32  # of the search for the nearest lists
_TRAIN_ROUNDS = 3
_TRAIN_ROWS = 8  # a list
_NUM_PIVOTS = 256


def import_faiss() -> ModuleType:
    """Imports FAISS.

    Raises:
        ImportError: If it is not installed; names the extra.
    """
    try:
        import faiss
    except ImportError as error:
        raise ImportError(
            "search='faiss' needs FAISS: pip install '.[faiss]' from a clone"
        ) from error
    return faiss


def faiss_neighbours(x: Tensor, y: Tensor, k: int, seed: int = 0) -> Tensor:
    r"""Finds about the ``k`` rows of ``y`` with the largest dot product to each row of ``x``.

    The rows of ``y`` are put into lists by spherical k-means, about 64 a list, and the 16 lists
    nearest to a row are looked through; an HNSW graph from `"Efficient and Robust Approximate
    Nearest Neighbor Search Using Hierarchical Navigable Small World Graphs"
    <https://arxiv.org/abs/1603.09320>`_ finds these. The same seed gives the same result.

    Args:
        x (torch.Tensor): Queries, rows of unit length.
        y (torch.Tensor): Rows of unit length that are searched.
        k (int): Neighbours of each query.
        seed (int, optional): Of the k-means. (default: :obj:`0`)

    Shapes:
        - **input:** :math:`(N, D)`, :math:`(M, D)`
        - **output:** indices :math:`(N, k)`, -1 where the lists held fewer

    Raises:
        ImportError: If FAISS is not installed.
    """
    faiss = import_faiss()
    device = x.device
    x, y = (z.detach().cpu().float().contiguous() for z in (x, y))
    pivots = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))[:_NUM_PIVOTS]]
    # Neighbours one after the other find their lists in the cache: this halves the time.
    order_x, order_y = ((z @ pivots.t()).argmax(dim=1).argsort(stable=True) for z in (x, y))
    index = _index(faiss, y[order_y].numpy(), k, seed)
    found = torch.from_numpy(index.search(x[order_x].numpy(), k)[1])
    near = torch.empty_like(found)
    near[order_x] = torch.where(found >= 0, order_y[found], found)
    return near.to(device)


def _index(faiss: Any, y: Any, k: int, seed: int) -> Any:
    """Builds the inverted lists."""
    num, width = y.shape
    num_lists = max(num // _LIST_SIZE, 1)
    quantizer = faiss.IndexHNSWFlat(width, _HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
    clustering = faiss.Clustering(width, num_lists)
    clustering.niter, clustering.seed, clustering.spherical = _TRAIN_ROUNDS, seed, True
    clustering.min_points_per_centroid, clustering.max_points_per_centroid = 1, _TRAIN_ROWS
    # A list holds 64 entities on average: more neighbours need more lists.
    num_probes = min(max(_NUM_PROBES, -(-4 * k // _LIST_SIZE)), num_lists)
    quantizer.hnsw.efSearch = max(_HNSW_BREADTH, num_probes)
    num_threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)  # several threads would build another graph each time
    try:
        clustering.train(y, quantizer)
    finally:
        faiss.omp_set_num_threads(num_threads)
    index = faiss.IndexIVFFlat(quantizer, width, num_lists, faiss.METRIC_INNER_PRODUCT)
    index.add(y)
    index.nprobe = num_probes
    return index
