"""Known links in tables."""

from collections import Counter
from collections.abc import Callable, Container, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pyg_mmea.data.findings import Findings
from pyg_mmea.data.tables import GraphTables
from pyg_mmea.typing import SIDES

NO_HEADER = "no header: its first line is a link"


def is_link(header: Sequence[str], ids: tuple[Container[str], Container[str]]) -> bool:
    """Whether names of columns are ids of both sides, so that a table of links has no header."""
    # A name that was there twice bears its position, see read_table.
    cells = [(i, {name, name.removesuffix(f"_{i}")}) for i, name in enumerate(header, start=1)]
    source, target = (
        {i for i, names in cells if any(name in known for name in names)} for known in ids
    )
    return any(i != j for i in source for j in target)


def resolve_links(
    ends: tuple[Sequence[str], Sequence[str]],
    graphs: tuple[GraphTables, GraphTables],
    findings: Findings,
    path: Path | None = None,
    place: Callable[[int], int | None] = lambda row: None,
    what: str = "",
    columns: tuple[str, str] = SIDES,
) -> tuple[Tensor, np.ndarray]:
    """Turns pairs of ids into pairs of local ids.

    Unknown ids and links that are there twice are errors, entities with several links a warning.

    Args:
        ends (tuple[Sequence[str], Sequence[str]]): Ids of the source and the target graph.
        graphs (tuple[GraphTables, GraphTables]): The graphs.
        findings (Findings): Takes what is wrong.
        path (Path, optional): File of the links. (default: :obj:`None`)
        place (Callable): Line of a row.
        what (str): Stands before messages that no line belongs to. (default: :obj:`""`)
        columns (tuple[str, str]): Names of the columns of the ids, for messages.

    Returns:
        Links :math:`(2, A)`, and the rows they stand in.
    """
    numbers = [{uri: i for i, uri in enumerate(graph.uri)} for graph in graphs]
    kept: dict[tuple[int, int], int] = {}
    for row, texts in enumerate(zip(*ends, strict=True)):
        before = f"{what}, row {row}: " if what else ""
        local = []
        for column, text, number in zip(columns, texts, numbers, strict=True):
            entity = number.get(text.strip(), -1)
            local.append(entity)
            if entity < 0:
                rule = f"{before}entity '{text}' in column '{column}' is unknown"
                findings.error("link to unknown id", rule, path, place(row))
        pair = (local[0], local[1])
        if min(pair) < 0:
            continue
        if pair in kept:
            rule = f"{before}this link is there twice"
            findings.error("link twice", rule, path, place(row))
        else:
            kept[pair] = row
    for end, side in enumerate(SIDES):
        counts = Counter(pair[end] for pair in kept)
        for pair, row in kept.items():
            if counts[pair[end]] > 1:
                uri = graphs[end].uri[pair[end]]
                rule = f"{what and what + ': '}{side} entity '{uri}' has {counts[pair[end]]} links"
                findings.warning("one-to-many link", rule, path, place(row))
    links = torch.tensor(list(kept), dtype=torch.long).view(-1, 2).t().contiguous()
    return links, np.fromiter(kept.values(), dtype=np.int64, count=len(kept))
