"""Names that every subpackage shares: modalities, graph sides and edge types."""

from enum import StrEnum
from typing import Literal

from torch import Tensor
from torch.nn import ModuleDict

#: Names of the source nodes, the relation and the target nodes.
EdgeType = tuple[str, str, str]
#: One of the two graphs.
Side = Literal["source", "target"]
#: Embeddings of both graphs by side and modality.
Embeddings = dict[str, dict[str, Tensor]]


class Modality(StrEnum):
    """The kinds of evidence an entity can carry; the value is the key used in data and models."""

    STRUCTURE = "structure"
    RELATION = "relation"
    ATTRIBUTE = "attribute"
    IMAGE = "image"
    NAME = "name"
    RELATION_TEXT = "relation_text"
    ATTRIBUTE_TEXT = "attribute_text"


#: Node types of the two graphs.
SIDES: tuple[Side, Side] = ("source", "target")
#: Edge type of the triples of each graph.
RELATION_EDGE: dict[str, EdgeType] = {
    "source": ("source", "relation", "source"),
    "target": ("target", "relation", "target"),
}
#: Edge type of the links, which has :obj:`edge_label_index` and no :obj:`edge_index`.
ANCHOR_EDGE: EdgeType = ("source", "anchor", "target")
#: Names of embeddings that stand for no features.
_DERIVED = ("structure", "joint", "late")
#: Which links train, validate and test.
SPLIT_MASKS = ("train_mask", "val_mask", "test_mask")


def is_reserved(modality: str) -> bool:
    """Tells whether a name cannot be that of a modality with features: models give it to other
    embeddings, or it is an attribute of the module that holds the encoders."""
    return modality in _DERIVED or hasattr(ModuleDict, modality)
