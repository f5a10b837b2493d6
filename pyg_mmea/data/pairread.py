"""From a ``pair.yaml`` to two graphs and their links."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pyg_mmea.data.findings import Findings
from pyg_mmea.data.image_check import ABSENT, ImageProblem, inspect_images
from pyg_mmea.data.layout import FolderPair, read_folder
from pyg_mmea.data.linktable import NO_HEADER, is_link, resolve_links
from pyg_mmea.data.pairfile import read_pair_file
from pyg_mmea.data.pairspec import LinkSpec, PairFile, SideSpec
from pyg_mmea.data.rdf import read_same_as
from pyg_mmea.data.sidebuilder import Side
from pyg_mmea.data.sidetables import read_side
from pyg_mmea.data.tablefile import SUFFIXES, read_table
from pyg_mmea.data.values import fits_better
from pyg_mmea.errors import DataError
from pyg_mmea.typing import SIDES


@dataclass
class TablePairContent:
    """What the files of a pair hold.

    Args:
        sides (tuple[Side, Side]): Both graphs.
        links (Tensor): Known links :math:`(2, A)`.
        seed_mask (Tensor, optional): True for the links to learn from :math:`(A)`, where the file
            says which.
    """

    sides: tuple[Side, Side]
    links: Tensor
    seed_mask: Tensor | None


def read_pair(pair: PairFile, findings: Findings) -> TablePairContent | None:
    """Reads all files that a ``pair.yaml`` names, except pictures.

    Args:
        pair (PairFile): What the file says.
        findings (Findings): Takes what is wrong.

    Returns:
        TablePairContent: The content, or :obj:`None` where a graph has no entity.

    Raises:
        DataError: If something is wrong and :obj:`findings` are strict.
    """
    folders: dict[str, FolderPair] = {}
    sides = []
    for which, name in enumerate(SIDES):
        spec: SideSpec = getattr(pair, name)
        try:
            if spec.folder and spec.folder not in folders:
                folders[spec.folder] = read_folder(pair.find(spec.folder))
            side = read_side(pair, spec, findings, folders.get(spec.folder), which)
        except DataError as error:
            findings.add("error", "file", error)
            return None
        if side.graph.num_entities == 0:
            findings.error("no entity", f"'{name}' has no entity", pair.path)
            return None
        sides.append(side)
    both = (sides[0], sides[1])
    _compare(pair, both, findings)
    _compare_dates(both, findings)
    _compare_pictures(pair, both, findings)
    links, seed_mask = _read_links(pair, both, findings, folders)
    return TablePairContent(both, links, seed_mask)


def _compare(pair: PairFile, sides: tuple[Side, Side], findings: Findings) -> None:
    """Says which columns find no partner, and whose units do not fit."""
    source, target = sides
    for kind in ("numbers", "texts"):
        columns = [getattr(side, kind) for side in sides]
        for side, own, other in zip(SIDES, columns, columns[::-1], strict=True):
            for column in own:
                if column not in other:
                    text = (
                        f"'{column}' of the {side} has no partner, so that its values do not "
                        "count; 'as' gives columns of both sides a common name"
                    )
                    findings.warning("column without partner", text, pair.path)
    for name in source.dimension.keys() & target.dimension.keys():
        units = [side.dimension[name] or "no unit" for side in sides]
        if units[0] != units[1] and source.scale[name] == target.scale[name] == "joint":
            text = (
                f"'{name}' measures {units[0]} in the source and {units[1]} in the target; 'unit' "
                "says what cells without one are in, 'scale: each' does without"
            )
            findings.error("unit", text, pair.path)


def _compare_dates(sides: tuple[Side, Side], findings: Findings) -> None:
    """Says which dates may have day and month the other way round, where the other side does not
    tell."""
    for side, partner in (sides, sides[::-1]):
        for doubt in side.doubts:
            known = partner.numbers.get(doubt.name, np.empty(0))
            also_unsure = any(each.name == doubt.name for each in partner.doubts)
            if also_unsure or not fits_better(known, doubt.taken, doubt.other):
                findings.add("warning", "day or month", doubt.problem)


def _compare_pictures(pair: PairFile, sides: tuple[Side, Side], findings: Findings) -> None:
    has = [side.num_images > 0 for side in sides]
    rule = "pictures of one side"
    if has[0] != has[1] and rule not in findings.rules:
        text = f"only the {SIDES[has.index(True)]} has pictures, so that they do not count"
        findings.warning(rule, text, pair.path)


def _read_links(
    pair: PairFile, sides: tuple[Side, Side], findings: Findings, folders: dict[str, FolderPair]
) -> tuple[Tensor, Tensor | None]:
    spec = pair.links
    none = torch.empty(2, 0, dtype=torch.long)
    if spec.folder:
        if spec.folder not in folders:
            text = "'links.folder' needs to be the folder of both sides"
            findings.error("pair.yaml", text, pair.path)
            return none, None
        return folders[spec.folder].links, folders[spec.folder].seed_mask
    if not spec.file:
        return none, None
    path = pair.find(spec.file)
    graphs = (sides[0].graph, sides[1].graph)
    if path.suffix.lower() not in SUFFIXES:
        try:
            same = read_same_as(path)
        except DataError as error:
            findings.add("error", "file", error)
            return none, None
        ends = ([head for head, _ in same], [tail for _, tail in same])
        return resolve_links(ends, graphs, findings, path)[0], None
    table = read_table(path, findings, spec.delimiter or None, spec.encoding)
    if table is None:
        return none, None
    if is_link(list(table.columns), (set(graphs[0].uri), set(graphs[1].uri))):
        findings.error("no header", NO_HEADER, path, 1)
        return none, None
    names = [spec.source, spec.target, *([spec.split] if spec.split else [])]
    missing = [name for name in names if name not in table.columns]
    for name in missing:
        text = f"there is no column '{name}' (columns: {', '.join(table.columns)})"
        findings.error("column missing", text, path)
    if missing:
        return none, None
    named = (spec.source, spec.target)
    ends = (table.columns[spec.source], table.columns[spec.target])
    links, rows = resolve_links(ends, graphs, findings, path, table.place, columns=named)
    if links.size(1) == 0:
        findings.error("no link", "holds no link", path)
    return links, _seeds(spec, table.columns, rows, path, findings)


def _seeds(
    spec: LinkSpec,
    columns: dict[str, list[str]],
    rows: np.ndarray,
    path: Path,
    findings: Findings,
) -> Tensor | None:
    if not spec.split:
        return None
    cells = [columns[spec.split][row].strip() for row in rows.tolist()]
    for cell in sorted(set(cells) - {"train", "test"}):
        text = f"column '{spec.split}' needs to be 'train' or 'test' (got '{cell}')"
        findings.error("split", text, path)
    return torch.tensor([cell == "train" for cell in cells], dtype=torch.bool)


def check_pair(path: str | Path, images: bool = True) -> tuple[Findings, TablePairContent | None]:
    """Finds everything that is wrong with a ``pair.yaml`` and the files it names.

    Args:
        path (str or Path): The file.
        images (bool): Also open each picture. (default: :obj:`True`)

    Returns:
        Findings: What is wrong, by rule, with file, line and totals.
        TablePairContent: What could be read, :obj:`None` if too little could. Pictures that were
        opened and cannot be used are left out.
    """
    findings = Findings()
    pair = read_pair_file(Path(path), findings)
    content = None if pair is None else read_pair(pair, findings)
    if pair is not None and not (pair.links.file or pair.links.folder):
        text = "names no 'links'; training needs some, or seeds by 'PivotAnchors'"
        findings.warning("no links", text, pair.path)
    if pair is None or content is None or not images:
        return findings, content
    for side in content.sides:
        files = side.graph.image_path or []
        named = {i: file for i, file in enumerate(files) if file is not None}
        for entity, problem in inspect_images(named):
            place = side.image_place.get(entity)
            _note_image(findings, problem, named[entity], place)
            if problem.kind in ABSENT:
                files[entity] = None
    _compare_pictures(pair, content.sides, findings)
    return findings, content


def _note_image(
    findings: Findings, problem: ImageProblem, file: str, place: tuple[Path, int | None] | None
) -> None:
    path, line = place or (Path(file), None)
    text = f"'{file}': {problem.text}" if place else problem.text
    findings.warning(f"picture: {problem.kind}", text, path, line)
