"""What a person needs to judge the pairs of a finished run: names, attributes, triples, pictures,
votes and history."""

from pyg_mmea.inspect.evidence import EntityCard, PairEvidence, Relation, Vote
from pyg_mmea.inspect.inspector import Inspector
from pyg_mmea.inspect.label import label_of, printable
from pyg_mmea.inspect.thumbnail import Thumbnail, make_thumbnail

__all__ = [
    "EntityCard",
    "Inspector",
    "PairEvidence",
    "Relation",
    "Thumbnail",
    "Vote",
    "label_of",
    "make_thumbnail",
    "printable",
]
