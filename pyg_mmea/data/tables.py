"""One graph as plain columns, the form every source is brought into first."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

Features = tuple[Tensor, Tensor]


def _no_rows(num_columns: int) -> Tensor:
    return torch.empty(0, num_columns, dtype=torch.long)


@dataclass
class GraphTables:
    """One graph as plain columns with local ids.

    Args:
        uri (list[str]): One URI per entity; the position is the local id.
        triples (Tensor): Head, relation, tail :math:`(E, 3)`.
        relation_uri (list[str]): One URI per relation.
        attributes (Tensor): Entity and attribute :math:`(P, 2)`, a row for each time the entity
            has the attribute.
        attribute_uri (list[str]): One URI per attribute.
        attribute_triples (Tensor): Entity and attribute :math:`(T, 2)` of the triples whose
            literal values are known.
        attribute_value (list[str]): Their values.
        name (list[str], optional): One label per entity, empty where there is none.
        dates (set[str]): Attributes whose literals all are dates by their datatype.
        languages (dict[str, int]): Tags of languages that labels are in, and how many entities
            have one in each, most first.
        image_path (list[str or None], optional): One picture per entity.
        features (dict[str, tuple[Tensor, Tensor]]): Ready-made features, modality to
            :math:`(N, D)` and mask :math:`(N)`.
    """

    uri: list[str]
    triples: Tensor = field(default_factory=lambda: _no_rows(3))
    relation_uri: list[str] = field(default_factory=list)
    attributes: Tensor = field(default_factory=lambda: _no_rows(2))
    attribute_uri: list[str] = field(default_factory=list)
    attribute_triples: Tensor = field(default_factory=lambda: _no_rows(2))
    attribute_value: list[str] = field(default_factory=list)
    name: list[str] | None = None
    dates: set[str] = field(default_factory=set)
    languages: dict[str, int] = field(default_factory=dict)
    image_path: list[str | None] | None = None
    features: dict[str, Features] = field(default_factory=dict)

    @property
    def num_entities(self) -> int:
        return len(self.uri)

    def add_features(self, modality: str, entities: np.ndarray, rows: np.ndarray) -> None:
        """Takes in features of some entities; the others have none.

        Args:
            modality (str): What they describe.
            entities (ndarray): Local ids :math:`(K)`.
            rows (ndarray): Features :math:`(K, D)`, which are kept in single precision.
        """
        x = torch.zeros(self.num_entities, rows.shape[1])
        mask = torch.zeros(self.num_entities, dtype=torch.bool)
        index = torch.from_numpy(np.ascontiguousarray(entities))
        x[index] = torch.from_numpy(np.array(rows, dtype=np.float32))
        mask[index] = True
        self.features[modality] = (x, mask)
