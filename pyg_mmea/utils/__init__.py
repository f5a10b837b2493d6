"""Similarities, matching and export; plain PyTorch, usable without the rest."""

from pyg_mmea.utils.io import atomic_folder, atomic_write
from pyg_mmea.utils.matching import Matches, mutual_nearest
from pyg_mmea.utils.similarity import cosine_blocks, csls_terms, normalize, topk_similarity

__all__ = [
    "Matches",
    "atomic_folder",
    "atomic_write",
    "cosine_blocks",
    "csls_terms",
    "mutual_nearest",
    "normalize",
    "topk_similarity",
]
