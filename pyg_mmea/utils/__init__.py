"""Similarities, matching and export; plain PyTorch, usable without the rest."""

from pyg_mmea.utils.export import write_alignment
from pyg_mmea.utils.io import atomic_folder, atomic_write
from pyg_mmea.utils.matching import (
    Matches,
    SparseScores,
    greedy_one_to_one,
    hungarian,
    mutual_nearest,
    sinkhorn_topk,
)
from pyg_mmea.utils.search import nearest_pairs, search_recall
from pyg_mmea.utils.similarity import (
    cosine_blocks,
    csls_terms,
    normalize,
    topk_similarity,
    unit_rows,
)

__all__ = [
    "Matches",
    "SparseScores",
    "atomic_folder",
    "atomic_write",
    "cosine_blocks",
    "csls_terms",
    "greedy_one_to_one",
    "hungarian",
    "mutual_nearest",
    "nearest_pairs",
    "normalize",
    "search_recall",
    "sinkhorn_topk",
    "topk_similarity",
    "unit_rows",
    "write_alignment",
]
