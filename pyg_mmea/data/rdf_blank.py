"""Names of blank nodes."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rdflib import Graph
    from rdflib.term import BNode, Node

_MAX_ROUNDS = 20  # longer chains of blank nodes of which the same is said are numbered


def blank_names(graph: Graph) -> dict[Node, str]:
    """Names blank nodes by what is said of them, as rdflib names them anew with each reading.

    A name is a hash of the triples of the node, in which other blank nodes stand with their hash of
    the round before. Nodes of which the same is said are told apart by a number.

    Args:
        graph (rdflib.Graph): The graph.

    Returns:
        dict: The name of each blank node, which starts with :obj:`"_:"`.
    """
    from rdflib import BNode

    facts: dict[BNode, list[tuple[str, str, Node]]] = {}
    for head, relation, tail in graph:
        if isinstance(head, BNode):
            facts.setdefault(head, []).append(("to", str(relation), tail))
        if isinstance(tail, BNode):
            facts.setdefault(tail, []).append(("from", str(relation), head))
    names: dict[Node, str] = dict.fromkeys(facts, "")
    num_names = 0
    for _ in range(_MAX_ROUNDS):
        names = {node: _digest(known, names) for node, known in facts.items()}
        before, num_names = num_names, len({*names.values()})
        if num_names == before:
            break
    seen: Counter[str] = Counter()
    for node, name in names.items():
        seen[name] += 1
        names[node] = f"_:{name}" if seen[name] == 1 else f"_:{name}-{seen[name]}"
    return names


def _digest(facts: list[tuple[str, str, Node]], names: dict[Node, str]) -> str:
    said = sorted((way, relation, names.get(end, repr(end))) for way, relation, end in facts)
    return hashlib.sha256(repr(said).encode("utf-8", "surrogatepass")).hexdigest()[:16]
