"""Pairs from RDF graphs."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.request import url2pathname

import pandas as pd
import torch

from pyg_mmea.data.alignment import make_pair
from pyg_mmea.data.alignment_data import AlignmentData
from pyg_mmea.data.frames import read_links
from pyg_mmea.data.rdf_blank import blank_names
from pyg_mmea.data.rdf_check import check_rdf
from pyg_mmea.data.split import split_anchors
from pyg_mmea.data.tables import GraphTables
from pyg_mmea.errors import DataError
from pyg_mmea.typing import SIDES
from pyg_mmea.utils.io import inside

if TYPE_CHECKING:
    from rdflib import Graph

logger = logging.getLogger(__name__)

# The quotes keep rdflib an extra.
RDF: TypeAlias = "Graph | str | PathLike[str]"
Label: TypeAlias = tuple[int, str, str]  # place of the predicate, language, text

_NAMES = (
    "http://www.w3.org/2000/01/rdf-schema#label",
    "http://www.w3.org/2004/02/skos/core#prefLabel",
    "http://xmlns.com/foaf/0.1/name",
)
_FORMATS = ("xml", "n3", "turtle", "nt", "trix", "nquads", "trig", "json-ld")
RDF_SUFFIXES = (
    *(".ttl", ".nt", ".n3", ".nq", ".nquads", ".trig", ".trix", ".rdf", ".owl", ".xml"),
    *(".json", ".jsonld", ".json-ld"),
)
_DATES = {
    f"http://www.w3.org/2001/XMLSchema#{name}"
    for name in ("date", "dateTime", "gYear", "gYearMonth")
}
_SAME_AS = "http://www.w3.org/2002/07/owl#sameAs"


@contextmanager
def _as_it_stands() -> Iterator[None]:
    """Keeps rdflib from rewriting literals; it spells out the billion digits of 1e999999999."""
    import rdflib

    before, rdflib.NORMALIZE_LITERALS = rdflib.NORMALIZE_LITERALS, False
    try:
        yield
    finally:
        rdflib.NORMALIZE_LITERALS = before


def _load(graph: RDF) -> Graph:
    try:
        from rdflib import Graph
        from rdflib.util import guess_format
    except ImportError as error:
        raise ImportError("Reading RDF needs pip install '.[rdf]' from a clone") from error
    if isinstance(graph, Graph):
        return graph
    path = Path(graph)
    if not path.is_file():
        raise DataError("file is missing", path)
    form = guess_format(str(path)) or "turtle"
    if form not in _FORMATS:
        raise DataError(f"is RDF in a form that is not read ({form})", path)
    check_rdf(path, form)
    try:
        with _as_it_stands():
            return Graph().parse(path, format=form)
    except Exception as error:
        # Every parser of rdflib has errors of its own.
        raise DataError(f"is no RDF that can be read ({error})", path) from error


def is_language(tag: str, wanted: str) -> bool:
    """Whether a tag is of a language, as :obj:`"en-GB"` is of :obj:`"en"`."""
    return f"{tag}-".lower().startswith(f"{wanted}-".lower())


def read_rdf(
    source: RDF, side: str, image_predicate: str | None, language: str | None = None
) -> GraphTables:
    """One graph of RDF; see :func:`from_rdf`. Without a language, labels are in that of most.

    Raises:
        DataError: If the file cannot be read, or holds no entity.
        ImportError: If rdflib is not installed.
    """
    tables, labels = _read(source, side, image_predicate)
    _name(tables, labels, language)
    return tables


def shared_language(source: Mapping[str, int], target: Mapping[str, int]) -> str | None:
    """The language that most entities of both graphs have a label in.

    Args:
        source (dict[str, int]): See :class:`~pyg_mmea.data.tables.GraphTables`.
        target (dict[str, int]): The same of the target graph.
    """
    both = sorted(source.keys() & target.keys())
    return max(both, key=lambda tag: min(source[tag], target[tag]), default=None)


def _read(
    source: RDF, side: str, image_predicate: str | None
) -> tuple[GraphTables, dict[str, list[Label]]]:
    """A graph without names, and the labels of its entities."""
    graph = _load(source)
    from rdflib import Graph, Literal

    blank = blank_names(graph)
    # rdflib keeps no order; sorting makes local ids reproducible.
    rows = sorted(
        (
            *(blank.get(s, str(s)), str(p), isinstance(o, Literal), blank.get(o, str(o))),
            getattr(o, "language", None) or "",
        )
        for s, p, o in graph
    )
    labels: dict[str, list[Label]] = {}
    images: dict[str, str] = {}
    triples: list[tuple[str, str, str]] = []
    attributes: list[tuple[str, str, str]] = []
    for subject, predicate, is_literal, value, tag in rows:
        if predicate == image_predicate:
            images.setdefault(subject, value)
        elif is_literal and predicate in _NAMES:
            labels.setdefault(subject, []).append((_NAMES.index(predicate), tag, value))
        elif is_literal:
            attributes.append((subject, predicate, value))
        elif predicate != _SAME_AS:
            triples.append((subject, predicate, value))
    entities = {subject for subject, predicate, *_ in rows if predicate != _SAME_AS}
    uri = sorted(entities | {tail for _, _, tail in triples})
    if not uri:
        raise DataError(f"the {side} graph holds no entity")
    local = {name: i for i, name in enumerate(uri)}
    relation_uri = sorted({relation for _, relation, _ in triples})
    attribute_uri = sorted({attribute for _, attribute, _ in attributes})
    relations = {name: i for i, name in enumerate(relation_uri)}
    kinds = {name: i for i, name in enumerate(attribute_uri)}
    pairs = torch.tensor([(local[s], kinds[a]) for s, a, _ in attributes], dtype=torch.long)
    tables = GraphTables(
        uri=uri,
        triples=torch.tensor(
            [(local[h], relations[r], local[t]) for h, r, t in triples], dtype=torch.long
        ).view(-1, 3),
        relation_uri=relation_uri,
        attributes=pairs.view(-1, 2),
        attribute_uri=attribute_uri,
        attribute_triples=pairs.view(-1, 2),
        attribute_value=[value for _, _, value in attributes],
    )
    types: dict[str, set[str]] = {}
    for _, relation, literal in graph:
        if isinstance(literal, Literal):
            types.setdefault(str(relation), set()).add(str(literal.datatype))
    tables.dates = {name for name in attribute_uri if types[name] <= _DATES}
    tables.languages = _languages(labels.values())
    if images:
        paths = [images.get(name) for name in uri]
        tables.image_path = paths if isinstance(source, Graph) else _beside(Path(source), paths)
    return tables, labels


def _name(tables: GraphTables, labels: Mapping[str, list[Label]], language: str | None) -> None:
    languages = list(tables.languages)
    if labels:
        tables.name = [_best_label(labels.get(uri, []), languages, language) for uri in tables.uri]


def _languages(labels: Iterable[list[Label]]) -> dict[str, int]:
    """How many entities have a label in each language, most first."""
    found = Counter(tag for known in labels for tag in sorted({tag for _, tag, _ in known}))
    return {tag: count for tag, count in sorted(found.items(), key=lambda x: (-x[1], x[0])) if tag}


def _best_label(labels: list[Label], languages: list[str], language: str | None) -> str:
    """The label in the language that is asked for, then by predicate, then without a language or in
    that of most."""

    def rank(label: Label) -> tuple[bool, int, int, str]:
        predicate, tag, text = label
        place = languages.index(tag) if tag else -1
        return language is None or not is_language(tag, language), predicate, place, text

    return min(labels, key=rank, default=(0, "", ""))[2]


def _beside(file: Path, paths: list[str | None]) -> list[str | None]:
    """Paths of pictures from the folder of the file on, without those that lead out of it."""
    plain = [None if path is None else _path_of(path) for path in paths]
    found = [None if path is None else inside(file.parent, path) for path in plain]
    lost = [path for path, at in zip(paths, found, strict=True) if path is not None and at is None]
    if lost:
        logger.warning(
            "%s: left out %d pictures outside of its folder, first '%s'", file, len(lost), lost[0]
        )
    return [None if at is None else str(at) for at in found]


def _path_of(text: str) -> str:
    """The path in a ``file:`` IRI, or the text itself."""
    for start in ("file:///", "file://localhost/"):
        if text.startswith(start):
            return url2pathname(text[len(start) - 1 :])
    return text


def from_rdf(
    source: RDF,
    target: RDF,
    links: RDF | Iterable[tuple[str, str]],
    image_predicate: str | None = None,
    seed_ratio: float = 0.3,
    val_ratio: float = 0.1,
    split_seed: int = 0,
    language: str | None = None,
    **kwargs: Any,
) -> AlignmentData:
    """Builds a pair from two RDF graphs; needs the extra :obj:`rdf`.

    Triples between resources are relations, those with a literal are attributes, labels
    (:obj:`rdfs:label`, :obj:`skos:prefLabel`, :obj:`foaf:name`, in this order) are names. Blank
    nodes are entities, too; as their labels in a file mean nothing elsewhere, their URI is
    :obj:`"_:"` and a hash of what is said of them.

    Args:
        source (rdflib.Graph or str): Source graph, or the path of a file rdflib can read.
        target (rdflib.Graph or str): Target graph.
        links (rdflib.Graph, str or Iterable[tuple[str, str]]): Known links, as pairs of URIs or
            as RDF with :obj:`owl:sameAs` from source to target.
        image_predicate (str, optional): Predicate whose object is the path of a picture, for a
            file one inside of its folder. (default: :obj:`None`)
        seed_ratio (float): Fraction of the links that are seeds. (default: :obj:`0.3`)
        val_ratio (float): Fraction of the seeds that validate. (default: :obj:`0.1`)
        split_seed (int): Seed of the split. (default: :obj:`0`)
        language (str, optional): Tag of the language whose labels are names, such as :obj:`"en"`;
            an entity without any gets another one. (default: :obj:`None`, which means the
            language that most entities of both graphs have a label in, and where they share none,
            that of most in each)
        **kwargs: Further arguments of :func:`make_pair`.

    Raises:
        DataError: If a file cannot be read, or a link has an unknown entity.
        ImportError: If rdflib is not installed.
    """
    (graph_s, labels_s), (graph_t, labels_t) = (
        _read(graph, side, image_predicate)
        for side, graph in zip(SIDES, (source, target), strict=True)
    )
    chosen = language or shared_language(graph_s.languages, graph_t.languages)
    _name(graph_s, labels_s, chosen)
    _name(graph_t, labels_t, chosen)
    graphs = (graph_s, graph_t)
    pairs = read_same_as(links)
    index = read_links(pd.DataFrame(pairs, columns=list(SIDES), dtype=object), *graphs)
    masks = split_anchors(index.size(1), seed_ratio, val_ratio, split_seed)
    return make_pair(*graphs, index, masks, **{"dataset": "rdf", **kwargs})


def read_same_as(links: RDF | Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Pairs of URIs, sorted if they come from RDF."""
    from rdflib import Graph, URIRef

    if isinstance(links, (str, PathLike, Graph)):
        same = _load(links).subject_objects(URIRef(_SAME_AS))
        return sorted((str(head), str(tail)) for head, tail in same)
    return [(str(head), str(tail)) for head, tail in links]
