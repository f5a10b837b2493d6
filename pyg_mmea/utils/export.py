"""An alignment as a table, and files of it for people (CSV), programs (Parquet) and the semantic
web (RDF, SSSOM)."""

import csv
import os
import re
import uuid
from collections.abc import Hashable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import pandas as pd
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_mmea.utils.io import atomic_write
from pyg_mmea.utils.pairs import contains, unconfirmed_links

COLUMNS = ("source", "target", "confidence", "rank_margin")
OWL_SAME_AS = "http://www.w3.org/2002/07/owl#sameAs"

_FORMULA_START = ("=", "+", "-", "@", "\t", "\r", "'")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_NOT_IN_IRI = re.compile(r'[\x00-\x20<>"{}|^`\\\ud800-\udfff]')  # N-Triples, rule IRIREF
_URI_CHARACTERS = "!#$%&'()*+,/:;=?@~"  # beside letters, digits and -._
# sssom-py knows a CURIE by a letter, digit or underscore behind the colon.
_NAMESPACE = re.compile(r"(.*[/#:]\W*)(\w.*)", re.ASCII)


def alignment_table(
    data: HeteroData,
    known: Tensor,
    found: Tensor,
    confidence: Tensor,
    margin: Tensor,
    accepted: Tensor | None = None,
    unconfirmed: Tensor | None = None,
) -> pd.DataFrame:
    """Returns links as a table of URIs, known ones in front. Seeds of
    :class:`~pyg_mmea.data.PivotAnchors`, which nobody has confirmed, have the origin "pivot" and no
    confidence.

    Args:
        data (HeteroData): The pair.
        known (torch.Tensor): Seeds :math:`(2, L)`.
        found (torch.Tensor): Predicted pairs, best first :math:`(2, P)`.
        confidence (torch.Tensor): Their confidence :math:`(P)`.
        margin (torch.Tensor): Their margin :math:`(P)`.
        accepted (torch.Tensor, optional): Seeds that people confirmed :math:`(2, C)`.
            (default: :obj:`None`)
        unconfirmed (torch.Tensor, optional): Seeds of :class:`~pyg_mmea.data.PivotAnchors` beside
            those of the pair :math:`(2, U)`. (default: :obj:`None`)
    """
    pairs = torch.cat([known.cpu(), found.cpu()], dim=1)
    num_known, num_found = known.size(1), found.size(1)
    uri_s, uri_t = data["source"].uri, data["target"].uri
    pivots = unconfirmed_links(data)
    if unconfirmed is not None:
        pivots = torch.cat([pivots, unconfirmed.cpu()], dim=1)
    is_pivot = contains(pivots, pairs[:, :num_known])
    if accepted is not None:
        is_pivot &= ~contains(accepted.cpu(), pairs[:, :num_known])
    origin = ["pivot" if pivot else "known" for pivot in is_pivot.tolist()]
    table = pd.DataFrame(
        {
            "source": [uri_s[i] for i in pairs[0].tolist()],
            "target": [uri_t[i] for i in pairs[1].tolist()],
            "confidence": [1.0] * num_known + confidence.tolist(),
            "rank_margin": [float("nan")] * num_known + margin.tolist(),
            "origin": origin + ["predicted"] * num_found,
        }
    )
    table.loc[table["origin"] == "pivot", "confidence"] = float("nan")
    table.attrs["abstained"] = data["source"].num_nodes - pairs[0].unique().numel()
    return table


def is_alignment(path: str | os.PathLike[str]) -> bool:
    """Tells whether an existing file is empty or looks like what :func:`write_alignment` writes."""
    name = Path(path).name.lower()
    if name.endswith(".parquet"):
        try:
            from pyarrow import parquet

            return set(COLUMNS) <= set(parquet.read_schema(path).names)
        except (ImportError, OSError, ValueError):
            return False
    with open(path, "rb") as file:
        if name.endswith(".nt"):
            return all(f"> <{OWL_SAME_AS}> <".encode() in line for line in file)
        start = file.read(1000)
    mark = ",".join(COLUMNS) if name.endswith(".csv") else "#mapping_set"
    return not start or start.startswith(mark.encode())


def write_alignment(
    path: str | os.PathLike[str], table: pd.DataFrame, base: str | None = None
) -> int:
    """Writes aligned pairs, best first, in the format that the suffix names.

    * ``.csv``: UTF-8, header ``source,target,confidence,rank_margin`` and any further columns.
      So that a spreadsheet does not run a name as a formula, a text that starts with ``=``,
      ``+``, ``-``, ``@``, a tab, a carriage return or an apostrophe gets one apostrophe in
      front; dropping one leading apostrophe gives the text back. URIs with a scheme start
      with a letter and are never touched.
    * ``.parquet``: the same columns, nothing changed.
    * ``.nt``: one ``owl:sameAs`` statement a pair, without the numbers.
    * ``.sssom.tsv``: `SSSOM <https://mapping-commons.github.io/sssom/>`_ with ``confidence``,
      the margin and further columns as ``key=value`` in its slot ``other``, percent-encoded, with
      ``|`` between two of them. Its tools drop rows whose identifiers hold anything but ASCII, so
      IRIs are written as URIs: other characters are percent-encoded as UTF-8 (RFC 3987, section
      3.1).

    The last two leave out pairs with a blank node (:obj:`_:` in front), which has no name outside
    of its file, and ``.nt``, which states what it holds, those of ``origin`` "pivot", which nobody
    has confirmed. The file is there in full or not at all.

    Args:
        path (str or PathLike): The file to write.
        table (pandas.DataFrame): One row a pair with at least the columns ``source`` and
            ``target`` (URIs), ``confidence`` (in [0, 1], may be missing where ``origin`` is
            "pivot") and ``rank_margin``.
        base (str, optional): Put before identifiers without a scheme, as YAGO's
            ``Marco_Reich``, in ``.nt`` and ``.sssom.tsv``. (default: :obj:`None`)

    Returns:
        int: Number of pairs that are in the file.

    Raises:
        ValueError: If the suffix is none of these, a column is missing, a confidence is not in
            [0, 1], or the format needs IRIs and an identifier is none.
        ImportError: If Parquet is asked for and ``pyarrow`` is not installed.
    """
    name = Path(path).name.lower()
    write = next((w for suffix, w in _WRITERS.items() if name.endswith(suffix)), None)
    if write is None:
        raise ValueError(f"'path' needs to end in one of {list(_WRITERS)} (got '{path}')")
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        raise ValueError(f"'table' needs the columns {list(COLUMNS)} (missing: {missing})")
    sure = table[table["origin"] != "pivot"] if "origin" in table else table
    if not sure["confidence"].between(0, 1).all():
        raise ValueError("'confidence' needs to be in [0, 1] in every row")
    others = [column for column in table.columns if column not in COLUMNS]
    table = table[[*COLUMNS, *others]].sort_values(
        ["confidence", "rank_margin"], ascending=False, kind="stable", ignore_index=True
    )
    if write in (_write_nt, _write_sssom):
        blank = table["source"].str.startswith("_:") | table["target"].str.startswith("_:")
        table = table[~blank]
        if write is _write_nt and "origin" in table:
            table = table[table["origin"] != "pivot"]
        table = table.assign(
            **{side: [_iri(text, base) for text in table[side]] for side in ("source", "target")}
        )
    write(path, table)
    return len(table)


def _write_csv(path: str | os.PathLike[str], table: pd.DataFrame) -> None:
    rows = table.astype(object).where(table.notna(), "").itertuples(index=False, name=None)
    with atomic_write(path) as file:
        for row in (tuple(table.columns), *rows):
            file.write(",".join(map(_cell, row)) + "\n")


def _cell(value: Any) -> str:
    """Writes one cell of a CSV file; pandas would leave a lone carriage return unquoted."""
    text = str(value)
    if isinstance(value, str) and text.startswith(_FORMULA_START):
        text = f"'{text}"
    if any(character in text for character in ',"\r\n'):
        text = '"' + text.replace('"', '""') + '"'
    return text


def _write_parquet(path: str | os.PathLike[str], table: pd.DataFrame) -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "writing Parquet needs pyarrow: pip install '.[parquet]' from a clone"
        ) from error
    with atomic_write(path, "wb") as file:
        table.to_parquet(file, engine="pyarrow", index=False)


def _write_nt(path: str | os.PathLike[str], table: pd.DataFrame) -> None:
    with atomic_write(path) as file:
        for source, target in zip(table["source"], table["target"], strict=True):
            file.write(f"<{_escape(source)}> <{OWL_SAME_AS}> <{_escape(target)}> .\n")


def _write_sssom(path: str | os.PathLike[str], table: pd.DataFrame) -> None:
    # SSSOM/TSV wants CURIEs: every namespace that occurs gets a prefix.
    prefixes: dict[str, str] = {}
    subjects = [_curie(quote(iri, safe=_URI_CHARACTERS), prefixes) for iri in table["source"]]
    objects = [_curie(quote(iri, safe=_URI_CHARACTERS), prefixes) for iri in table["target"]]
    more = table.drop(columns=["source", "target", "confidence"])
    others = [_pairs(row) for row in more.to_dict("records")]
    rows = list(zip(subjects, objects, table["confidence"], others, strict=True))
    with atomic_write(path) as file:
        _write_sssom_header(file, prefixes, rows)
        writer = csv.writer(file, dialect="excel-tab", lineterminator="\n")
        writer.writerow(
            [
                *("subject_id", "predicate_id", "object_id", "mapping_justification"),
                *("confidence", "other"),
            ]
        )
        for subject, obj, confidence, other in rows:
            justification = "semapv:SemanticSimilarityThresholdMatching"
            sure = "" if pd.isna(confidence) else float(confidence)
            writer.writerow([subject, "owl:sameAs", obj, justification, sure, other])


def _pairs(row: Mapping[Hashable, Any]) -> str:
    """Cells that are there, as SSSOM writes what it has no slot for."""
    cells = (
        (quote(str(part), safe=" :+") for part in cell)
        for cell in row.items()
        if not (pd.api.types.is_scalar(cell[1]) and pd.isna(cell[1]))
    )
    return "|".join("=".join(cell) for cell in cells)


def _write_sssom_header(file: IO[str], prefixes: dict[str, str], rows: list[Any]) -> None:
    """Writes the mapping set's metadata: YAML, each line behind a ``#``."""
    # The identifier follows from the content: the same alignment gives the same file.
    identifier = uuid.uuid5(uuid.NAMESPACE_URL, repr((sorted(prefixes.items()), rows)))
    try:
        tool_version = version("pyg-mmea")
    except PackageNotFoundError:
        tool_version = "unknown"
    lines = [
        f"mapping_set_id: https://w3id.org/sssom/mappings/{identifier}",
        "license: https://w3id.org/sssom/license/unspecified",
        "mapping_tool: pyg-mmea",
        f'mapping_tool_version: "{tool_version}"',
        "curie_map:",
        "  owl: http://www.w3.org/2002/07/owl#",
        "  semapv: https://w3id.org/semapv/vocab/",
    ]
    lines += [f'  {prefix}: "{namespace}"' for namespace, prefix in prefixes.items()]
    file.writelines(f"#{line}\n" for line in lines)


def _curie(uri: str, prefixes: dict[str, str]) -> str:
    """Cuts a URI after the last ``/``, ``#`` or ``:`` that a name follows; fills the map."""
    match = _NAMESPACE.fullmatch(uri)
    namespace, local = match.groups() if match else (uri, "")
    return f"{prefixes.setdefault(namespace, f'ns{len(prefixes) + 1}')}:{local}"


def _iri(text: str, base: str | None) -> str:
    if not _SCHEME.match(text):
        if base is None:
            raise ValueError(f"'{text}' has no scheme and is no IRI; 'base' puts one before it")
        text = base + text
    return text


def _escape(iri: str) -> str:
    r"""Writes characters that may not stand between ``<`` and ``>`` as ``\uXXXX``."""
    return _NOT_IN_IRI.sub(lambda match: f"\\u{ord(match[0]):04X}", iri)


_WRITERS = {
    ".csv": _write_csv,
    ".parquet": _write_parquet,
    ".nt": _write_nt,
    ".sssom.tsv": _write_sssom,
}
