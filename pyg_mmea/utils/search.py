"""Candidate pairs of two sets of embeddings: each entity and its nearest neighbours."""

import logging
from functools import cache
from itertools import pairwise

import torch
import torch.distributed as dist
from torch import Tensor

from pyg_mmea.utils.approximate import faiss_neighbours, import_faiss
from pyg_mmea.utils.similarity import normalize, topk_similarity, unit_pair

SEARCHES = ("exact", "faiss", "auto")
EXACT_LIMIT = 50_000
_PCA_ROWS = 4096  # rows of each side that principal components are found on
_RECALL_ROWS = 200  # rows on which the recall of an approximate search is measured
_LOW_RECALL = 0.9  # below, a warning
_PROJECTED_ROWS = 1 << 16  # rows that are projected at once
_log = logging.getLogger(__name__)


def nearest_pairs(
    x_s: Tensor,
    x_t: Tensor,
    k: int,
    channels: int | None = None,
    chunk_size: int = 1024,
    search: str = "exact",
    seed: int = 0,
    shared: bool = False,
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
        chunk_size (int, optional): Rows compared at once by the exact search; the memory needed is
            this many rows of scores. (default: :obj:`1024`)
        search (str, optional): :obj:`"exact"` compares all with all; :obj:`"faiss"` works in nearly
            linear time, on the CPU, and needs the extra ``faiss``. How many neighbours it finds
            depends on how clustered they are: its recall on a sample is logged, with a warning
            where it is low, see also :func:`search_recall`; :obj:`"auto"` is exact up to
            :obj:`EXACT_LIMIT` (50,000) entities on the larger side, and takes FAISS above that
            where it is installed.
            (default: :obj:`"exact"`)
        seed (int, optional): Of the approximate search. (default: :obj:`0`)
        shared (bool, optional): Share the rows out among the processes of the default group of
            :mod:`torch.distributed`, if there is one. All of them need to call with the same
            embeddings, on a device that the backend can send from, and all get the result that a
            single process would. (default: :obj:`False`)

    Shapes:
        - **input:** :math:`(N_s, D)`, :math:`(N_t, D)`
        - **output:** pairs :math:`(2, P)` with :math:`P \leq k (N_s + N_t)`, sorted by source,
          then by target

    Raises:
        ValueError: If ``k`` or ``channels`` is below 1, ``search`` is none of the choices or the
            shapes do not fit.
        ImportError: If FAISS is asked for and not installed.
    """
    shared = shared and dist.is_available() and dist.is_initialized()
    shard = (dist.get_rank(), dist.get_world_size()) if shared else (0, 1)
    return _nearest_pairs(x_s, x_t, k, channels, chunk_size, search, seed, *shard)


def search_recall(
    x_s: Tensor,
    x_t: Tensor,
    k: int = 10,
    search: str = "faiss",
    num_rows: int = 1000,
    seed: int = 0,
) -> float:
    """Measures which part of the ``k`` nearest targets a search finds, in [0, 1], higher is better,
    on a sample of the sources.

    Args:
        x_s (torch.Tensor): Source embeddings :math:`(N_s, D)`.
        x_t (torch.Tensor): Target embeddings :math:`(N_t, D)`.
        k (int, optional): Neighbours of each source. (default: :obj:`10`)
        search (str, optional): See :func:`nearest_pairs`. (default: :obj:`"faiss"`)
        num_rows (int, optional): Sources in the sample. (default: :obj:`1000`)
        seed (int, optional): Of sample and search. (default: :obj:`0`)

    Raises:
        ValueError: If an argument is out of range or the shapes do not fit.
        ImportError: If FAISS is asked for and not installed.
    """
    if not 1 <= k <= x_t.size(0) or num_rows < 1:
        raise ValueError(
            f"'k' needs to be in [1, {x_t.size(0)}] and 'num_rows' at least 1 "
            f"(got {k} and {num_rows})"
        )
    unit_s, unit_t = unit_pair(x_s, x_t)
    order = torch.randperm(x_s.size(0), generator=torch.Generator().manual_seed(seed))
    sample = unit_s[order[:num_rows].to(unit_s.device)]
    approximate = _resolve(search, max(x_s.size(0), x_t.size(0))) == "faiss"
    if not approximate:
        return 1.0
    return _recall(sample, unit_t, faiss_neighbours(sample, unit_t, k, seed))


def _recall(rows: Tensor, candidates: Tensor, found: Tensor) -> float:
    """Which part of the exact nearest candidates of some rows was found."""
    exact = topk_similarity(rows, candidates, found.size(1))[1]
    return float((found[:, :, None] == exact[:, None, :]).any(dim=1).double().mean())


def _tell_recall(x: Tensor, y: Tensor, found: Tensor, seed: int) -> None:
    """Logs the recall of a search on a few of its rows."""
    order = torch.randperm(x.size(0), generator=torch.Generator().manual_seed(seed))
    rows = order[:_RECALL_ROWS].to(x.device)
    recall = _recall(x[rows], y, found[rows])
    level = logging.INFO if recall >= _LOW_RECALL else logging.WARNING
    text = "the approximate search found %.1f%% of the %d nearest of %d entities looked at"
    _log.log(level, text, 100 * recall, found.size(1), rows.numel())


def _nearest_pairs(
    x_s: Tensor,
    x_t: Tensor,
    k: int,
    channels: int | None,
    chunk_size: int,
    search: str,
    seed: int,
    rank: int,
    num_shards: int,
) -> Tensor:
    if k < 1:
        raise ValueError(f"'k' needs to be at least 1 (got {k})")
    if chunk_size < 1:
        raise ValueError(f"'chunk_size' needs to be at least 1 (got {chunk_size})")
    if channels is None:
        unit_s, unit_t = unit_pair(x_s, x_t)
    else:
        unit_s, unit_t = principal_rows(x_s, x_t, channels)
    search = _resolve(search, max(unit_s.size(0), unit_t.size(0)))
    near = []
    # Two passes: the largest entries of columns take longer to find than rows to multiply again.
    for x, y in ((unit_s, unit_t), (unit_t, unit_s)):
        # Whole chunks: a product of other rows at once may round differently.
        num_chunks = -(-x.size(0) // chunk_size)
        bounds = [i * num_chunks // num_shards * chunk_size for i in range(num_shards + 1)]
        part, size = x[bounds[rank] : bounds[rank + 1]], min(k, y.size(0))
        if part.size(0) == 0:  # there are fewer chunks than processes
            found = torch.empty(0, size, dtype=torch.long, device=x.device)
        elif search == "faiss":
            found = faiss_neighbours(part, y, size, seed)
            _tell_recall(part, y, found, seed)
        else:
            found = topk_similarity(part, y, size, chunk_size)[1]
        near.append(found if num_shards == 1 else _gather(found, bounds, x.size(0)))
    return _union(near[0], near[1])


def _gather(part: Tensor, bounds: list[int], num: int) -> Tensor:
    """Puts the rows of all processes together."""
    sizes = [min(stop, num) - start for start, stop in pairwise(bounds)]
    padded = part.new_zeros(max(sizes), part.size(1))
    padded[: part.size(0)] = part
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    return torch.cat([rows[:size] for rows, size in zip(parts, sizes, strict=True)])


def _union(near_s: Tensor, near_t: Tensor) -> Tensor:
    """Lists the pairs of which one is a neighbour of the other; -1 is nobody."""
    num_t = near_t.size(0)
    ids_s, ids_t = (torch.arange(x.size(0), device=x.device).view(-1, 1) for x in (near_s, near_t))
    forth, back = ids_s * num_t + near_s, near_t * num_t + ids_t
    keys = torch.cat([forth[near_s >= 0], back[near_t >= 0]]).sort().values
    keys = keys.unique_consecutive()
    source = keys // num_t
    return torch.stack([source, keys - source * num_t])


def _resolve(search: str, num: int) -> str:
    """Decides between the searches by size and by what is installed."""
    if search not in SEARCHES:
        raise ValueError(f"'search' needs to be one of {SEARCHES} (got {search!r})")
    if search == "auto":
        return "faiss" if num > EXACT_LIMIT and _has_faiss() else "exact"
    return search


@cache
def _has_faiss() -> bool:
    try:
        import_faiss()
    except ImportError as error:
        _log.warning("more than %d entities are compared all with all: %s", EXACT_LIMIT, error)
        return False
    return True


def principal_rows(
    x_s: Tensor,
    x_t: Tensor,
    channels: int,
    ids_s: Tensor | None = None,
    ids_t: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Projects embeddings onto their common principal components and scales the rows to length
    one, block by block, so that no copy of the embeddings is made. Where they are no wider, or
    there are fewer rows than columns, the rows are only scaled.

    Args:
        x_s (torch.Tensor): Source embeddings.
        x_t (torch.Tensor): Target embeddings.
        channels (int): Number of components.
        ids_s (torch.Tensor, optional): Rows of the source to take.
            (default: :obj:`None`, which means all)
        ids_t (torch.Tensor, optional): Rows of the target to take. (default: :obj:`None`)

    Shapes:
        - **input:** :math:`(N_s, D)`, :math:`(N_t, D)`
        - **output:** :math:`(N_s, C)`, :math:`(N_t, C)` or one row an id

    Raises:
        ValueError: If ``channels`` is below 1, the widths differ or an entry is not finite.
    """
    if channels < 1:
        raise ValueError(f"'channels' needs to be at least 1 (got {channels})")
    given = ((x_s, ids_s), (x_t, ids_t))
    sizes = [x.size(0) if ids is None else ids.numel() for x, ids in given]
    sample = [
        _take(x, ids, slice(None, None, max(n // _PCA_ROWS, 1)))
        for (x, ids), n in zip(given, sizes, strict=True)
    ]
    unit_s, unit_t = unit_pair(*sample)
    width = unit_s.size(1)
    # Finding the components of few rows takes longer than comparing all of their columns.
    if not channels < width < sum(sizes):
        unit_s, unit_t = unit_pair(*(_take(x, ids, slice(None)) for x, ids in given))
        return unit_s, unit_t
    unit = torch.cat([unit_s, unit_t])
    basis = torch.linalg.eigh(unit.t() @ unit).eigenvectors[:, -channels:]
    out = []
    for (x, ids), n in zip(given, sizes, strict=True):
        rows = unit.new_empty(n, channels)
        for start in range(0, n, _PROJECTED_ROWS):
            part = slice(start, start + _PROJECTED_ROWS)
            rows[part] = normalize(_take(x, ids, part).to(basis.dtype) @ basis)
        out.append(rows)
    return out[0], out[1]


def _take(x: Tensor, ids: Tensor | None, part: slice) -> Tensor:
    return x[part] if ids is None else x.index_select(0, ids[part])
