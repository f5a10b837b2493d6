"""Whether confidence means what it says, and what it takes to be sure."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyg_mmea.inspect import Inspector
from pyg_mmea.report.figure import SERIES, TEXT, Plot, Table, line_style, number, percent

_NUM_BINS = 10
_TARGETS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.97, 0.99)


@dataclass
class Bin:
    """Pairs of about the same confidence.

    Args:
        count (int): How many there are.
        confidence (float): Their mean confidence.
        right (float): Share of them that is right.
        low (float): Lower end of its interval of 95%.
        high (float): Upper end.
    """

    count: int
    confidence: float
    right: float
    low: float
    high: float


def reliability(confidence: Tensor, right: Tensor) -> list[Bin]:
    """Sorts pairs into ten bins of equal width, empty ones left out, with intervals of 95%, see
    `"Probable Inference, the Law of Succession, and Statistical Inference"
    <https://doi.org/10.1080/01621459.1927.10502953>`_ (Wilson, 1927).

    Args:
        confidence (torch.Tensor): Confidence in [0, 1] :math:`(P)`.
        right (torch.Tensor): Whether each pair is right :math:`(P)`.
    """
    place = (confidence * _NUM_BINS).long().clamp(0, _NUM_BINS - 1)
    bins = []
    for i in place.unique().tolist():
        here = place == i
        count, share = int(here.sum()), float(right[here].double().mean())
        bins.append(Bin(count, float(confidence[here].mean()), share, *_interval(share, count)))
    return bins


def _interval(share: float, count: int) -> tuple[float, float]:
    z = 1.96  # 95% of a normal distribution
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    half /= 1 + z * z / count
    return max(0.0, middle - half), min(1.0, middle + half)


def calibration_error(bins: list[Bin]) -> float:
    """Mean distance between confidence and share of right pairs, weighted by the pairs of a
    bin."""
    total = sum(each.count for each in bins)
    return sum(each.count * abs(each.confidence - each.right) for each in bins) / total


def reliability_plot(inspector: Inspector) -> Plot | None:
    """Confidence against truth, on what it was learned from and on test links; :obj:`None` where
    no truth is known."""
    known, right = inspector.judged(inspector.pairs)
    held, held_right = inspector.aligner.calibrator.confidence.cases
    series = [
        (name, reliability(*values))
        for name, values in (
            ("test links", (inspector.confidence[known].double(), right[known])),
            ("validation links, cross-fitted", (held, held_right)),
        )
        if values[0].numel() > 0
    ]
    if not series:
        return None
    errors = " and ".join(f"{calibration_error(bins):.3f} on {name}" for name, bins in series)
    table = Table(
        "Confidence and share of right pairs", ["links", "pairs", "confidence", "right", "95%"]
    )
    for name, bins in series:
        table.rows += [
            [
                name,
                str(each.count),
                number(each.confidence),
                percent(each.right),
                f"{percent(each.low, 0)} to {percent(each.high, 0)}",
            ]
            for each in bins
        ]
    plot = Plot(
        "reliability",
        "Reliability of the confidence",
        "On the diagonal, confidence is the share of right pairs; above it the run is too modest, "
        f"below it too sure. The expected calibration error is {errors}.",
        table,
    )
    with plot.draw("confidence", "share of right pairs") as axes:
        axes.plot([0, 1], [0, 1], color=TEXT, linewidth=0.8, linestyle=":")
        for i, (name, bins) in enumerate(series):
            shares = [each.right for each in bins]
            ends = [
                [each.right - each.low for each in bins],
                [each.high - each.right for each in bins],
            ]
            axes.errorbar(
                [each.confidence for each in bins],
                shares,
                yerr=[[max(0.0, x) for x in end] for end in ends],
                label=f"{name} ({sum(each.count for each in bins):,} pairs)",
                elinewidth=0.8,
                **line_style(i),
            )
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
    return plot


def coverage(inspector: Inspector) -> list[dict[str, Any]]:
    """What asking for a precision gives: pairs, share of the entities, and where test links tell,
    the precision reached and the share of links found."""
    known, right = inspector.judged(inspector.pairs)
    free = inspector.data["source"].num_nodes - inspector.known[0].unique().numel()
    num_links = inspector.test_links.size(1)
    rows = []
    for target in _TARGETS:
        threshold = inspector.aligner.calibrator.threshold(inspector.confidence, target)
        kept = inspector.confidence >= threshold.value
        num_known, num_right = int((kept & known).sum()), int((kept & right).sum())
        rows.append(
            {
                "target": target,
                "rule": threshold.rule,
                "threshold": threshold.value if math.isfinite(threshold.value) else None,
                "kept": int(kept.sum()),
                "coverage": float(kept.sum()) / max(free, 1),
                "judged": num_known,
                "precision": num_right / num_known if num_known else None,
                "found": num_right / num_links if num_links else None,
            }
        )
    return rows


def coverage_plot(inspector: Inspector) -> Plot:
    """Coverage and precision reached over the precision asked for."""
    rows = coverage(inspector)
    known = [row for row in rows if row["precision"] is not None]
    at = next(row for row in rows if row["target"] == 0.95)
    reached = "" if at["precision"] is None else f", of which {percent(at['precision'])} are right"
    plot = Plot(
        "coverage",
        "What a higher precision costs",
        f"Asked for 95%, the run keeps {at['kept']:,} pairs for {percent(at['coverage'])} of the "
        f"source entities without a seed{reached}.",
        Table(
            "By precision asked for",
            ["asked for", "threshold", "rule", "pairs", "coverage", "judged", "right", "found"],
            [
                [
                    percent(row["target"], 0),
                    number(row["threshold"]),
                    row["rule"],
                    str(row["kept"]),
                    percent(row["coverage"]),
                    str(row["judged"]),
                    percent(row["precision"]),
                    percent(row["found"]),
                ]
                for row in rows
            ],
        ),
    )
    with plot.draw("precision asked for") as axes:
        axes.plot([0.5, 1], [0.5, 1], color=TEXT, linewidth=0.8, linestyle=":")
        targets = [row["target"] for row in rows]
        axes.plot(targets, [row["coverage"] for row in rows], label="coverage", **line_style(0))
        if known:
            axes.plot(
                [row["target"] for row in known],
                [row["precision"] for row in known],
                label="precision on test links",
                **line_style(1),
            )
        axes.set(xlim=(0.48, 1.0), ylim=(0, 1.02))
    return plot


def confidence_plot(inspector: Inspector, threshold: float) -> Plot:
    """How many candidates there are of each confidence."""
    counts = torch.histc(inspector.confidence.double(), 20, 0, 1)
    edges = [i / 20 for i in range(20)]
    above = int((inspector.confidence >= threshold).sum())
    limit = f", {threshold:.3f}" if math.isfinite(threshold) else ""
    plot = Plot(
        "confidence",
        "Candidates by confidence",
        f"{above:,} of {inspector.confidence.numel():,} candidates reach the threshold{limit}.",
        Table(
            "Candidates by confidence",
            ["confidence", "candidates"],
            [
                [f"{low:.2f} to {low + 0.05:.2f}", str(int(count))]
                for low, count in zip(edges, counts.tolist(), strict=True)
            ],
        ),
    )
    with plot.draw("confidence", "candidates") as axes:
        axes.bar(edges, counts.tolist(), width=0.045, align="edge", color=SERIES[0])
        if math.isfinite(threshold):
            axes.axvline(threshold, color=SERIES[1], linestyle="--", label="threshold")
        axes.grid(False, axis="x")
    return plot
