"""What the verbs write for people: results to stdout, the rest to stderr."""

import logging
import re
import sys
from collections.abc import Sequence
from typing import Any

from rich.cells import cell_len  # letters of Chinese take two places

from pyg_mmea.printable import printable

DIRECTIONS = ("source_to_target", "target_to_source", "mean")
_BREAKS = re.compile("([\n\t])")
MEASURES = ("hits@1", "hits@5", "hits@10", "mrr", "mr")


def _harmless(text: str) -> str:
    """Lines without characters that a terminal would obey; names come from files of others."""
    return "".join(part if part in "\n\t" else printable(part) for part in _BREAKS.split(text))


class HarmlessFormatter(logging.Formatter):
    """Takes control characters out of what is logged."""

    def format(self, record: logging.LogRecord) -> str:
        return _harmless(super().format(record))


def echo(text: str) -> None:
    """Writes a line to stdout."""
    sys.stdout.write(f"{_harmless(text)}\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Writes a line to stderr."""
    sys.stderr.write(f"{_harmless(text)}\n")
    sys.stderr.flush()


def table(rows: Sequence[Sequence[str]], num_left: int = 1) -> str:
    """Aligns columns: the first ones to the left, the others to the right."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell + " " * (width - cell_len(cell)) if i < num_left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


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
