"""What the verbs write for people: results to stdout, the rest to stderr."""

import sys
from collections.abc import Sequence
from typing import Any

DIRECTIONS = ("source_to_target", "target_to_source", "mean")
MEASURES = ("hits@1", "hits@5", "hits@10", "mrr", "mr")


def echo(text: str) -> None:
    """Writes a line to stdout."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Writes a line to stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def table(rows: Sequence[Sequence[str]]) -> str:
    """Aligns columns: the first one to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        [cell.rjust(width) if i else cell.ljust(width) for i, (cell, width) in enumerate(cells)]
        for cells in (zip(row, widths, strict=True) for row in rows)
    ]
    return "\n".join("  ".join(line).rstrip() for line in lines)


def metrics_table(metrics: dict[str, Any]) -> str:
    """Both directions and their mean, fractions in percent except MRR and mean rank."""
    head = (
        f"{metrics['num_links']} links, candidates: {metrics['candidates']}, "
        f"CSLS: {metrics['csls_k']}, matching: {metrics['matching']}"
    )
    rows = [["", *(name.upper() if name.startswith("m") else name for name in MEASURES)]]
    for direction in DIRECTIONS:
        values = metrics[direction]
        cells = [
            f"{100 * values[name]:.2f}%" if name.startswith("hits") else f"{values[name]:.4g}"
            for name in MEASURES
        ]
        rows.append([direction.replace("_", " "), *cells])
    return f"{head}\n{table(rows)}"
