"""Names that every subpackage shares: modalities, graph sides and edge types."""

from enum import StrEnum
from typing import Literal

EdgeType = tuple[str, str, str]
Side = Literal["source", "target"]


class Modality(StrEnum):
    """The kinds of evidence an entity can carry; the value is the key used in data and models."""

    STRUCTURE = "structure"
    RELATION = "relation"
    ATTRIBUTE = "attribute"
    IMAGE = "image"
    NAME = "name"
    RELATION_TEXT = "relation_text"
    ATTRIBUTE_TEXT = "attribute_text"


SIDES: tuple[Side, Side] = ("source", "target")
RELATION_EDGE: dict[str, EdgeType] = {
    "source": ("source", "relation", "source"),
    "target": ("target", "relation", "target"),
}
ANCHOR_EDGE: EdgeType = ("source", "anchor", "target")
SPLIT_MASKS = ("train_mask", "val_mask", "test_mask")
