"""Guesses at what attributes and predicates of a graph mean."""

from collections.abc import Mapping, Sequence

from pyg_mmea.data.guess import PICTURES, Guess, guess_column, share_of_pictures
from pyg_mmea.data.pairspec import ColumnSpec
from pyg_mmea.data.tables import GraphTables
from pyg_mmea.data.values import parse_dates


def attribute_columns(
    names: Sequence[str], values: Sequence[str], ids: Mapping[str, set[str]]
) -> list[Guess]:
    """What the attributes are that stand in rows of name and value.

    Args:
        names (Sequence[str]): Attribute of each row.
        values (Sequence[str]): Its value.
        ids (Mapping[str, set[str]]): Ids of the entities by table.
    """
    cells: dict[str, list[str]] = {}
    for name, value in zip(names, values, strict=True):
        cells.setdefault(name.strip(), []).append(value)
    return [guess_column(name, texts, ids) for name, texts in cells.items() if name]


def graph_columns(graph: GraphTables, has_images: bool) -> list[Guess]:
    """What the attributes of a graph are; with pictures, also the first predicate that names any.

    Args:
        graph (GraphTables): The graph.
        has_images (bool): Whether a predicate may name pictures.
    """
    names = [graph.attribute_uri[i] for i in graph.attribute_triples[:, 1].tolist()]
    guesses = attribute_columns(names, graph.attribute_value, {})
    guesses += _picture_relations(graph) if has_images else []
    kept = next((g for g in guesses if has_images and g.spec.role == "image"), None)
    for guess in guesses:
        dates = parse_dates(guess.values) if guess.label in graph.dates else None
        if dates is not None and len(dates.problem) <= 0.1 * len(guess.values):
            guess.spec, guess.numbers = ColumnSpec("date", guess.label), dates
            guess.why = "dates by their datatype"
        elif guess.spec.role in ("name", "category"):  # names and relations are there
            guess.spec = ColumnSpec("attribute", guess.label)
            guess.why += "; the graph has names and relations of its own"
        elif guess.spec.role == "image" and guess is not kept:
            guess.spec = ColumnSpec("attribute", guess.label)
            guess.why += "; another one is the image" if kept else "; only their presence counts"
    return guesses


def _picture_relations(graph: GraphTables) -> list[Guess]:
    """Relations whose ends are IRIs of files that are pictures."""
    ends: dict[int, list[str]] = {}
    for _, relation, tail in graph.triples.tolist():
        ends.setdefault(relation, []).append(graph.uri[tail])
    guesses = [
        guess_column(graph.relation_uri[i], uris, {})
        for i, uris in sorted(ends.items())
        if share_of_pictures(uris) >= PICTURES
    ]
    return [guess for guess in guesses if guess.spec.role == "image"]  # those on the web are not
