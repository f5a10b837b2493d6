"""How good an alignment is: exact, tie-aware, in both directions."""

from pyg_mmea.metrics.alignment import (
    AlignmentMetric,
    evaluate_alignment,
    evaluate_scores,
    hits_at_k,
    mean_rank,
    mean_reciprocal_rank,
    pseudo_label_precision,
)
from pyg_mmea.metrics.ranks import link_ranks

__all__ = [
    "AlignmentMetric",
    "evaluate_alignment",
    "evaluate_scores",
    "hits_at_k",
    "link_ranks",
    "mean_rank",
    "mean_reciprocal_rank",
    "pseudo_label_precision",
]
