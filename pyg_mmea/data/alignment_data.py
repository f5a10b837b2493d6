"""The object that holds a pair of graphs and the links between them."""

from typing import Any, Self

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.data.storage import EdgeStorage, NodeStorage

from pyg_mmea.typing import ANCHOR_EDGE, SIDES
from pyg_mmea.utils.io import fingerprint


class _EntityStorage(NodeStorage):
    """Holds entities. Lists of texts are labels, which samplers cannot and need not slice."""

    def is_node_attr(self, key: str) -> bool:
        return not isinstance(self[key], list) and super().is_node_attr(key)


class _TripleStorage(EdgeStorage):
    """Holds triples. The list of relation URIs is no edge attribute, whatever its length."""

    def is_edge_attr(self, key: str) -> bool:
        return not isinstance(self[key], list) and super().is_edge_attr(key)


class _AnchorStorage(_TripleStorage):
    """Holds links as supervision only.

    Samplers and :func:`~torch_geometric.nn.to_hetero` ask every edge type for its
    :obj:`edge_index`. Links answer with no edges, so nothing can pass messages over them.
    """

    @property
    def edge_index(self) -> Tensor:
        if "edge_index" in self:
            return self["edge_index"]
        return torch.empty(2, 0, dtype=torch.long, device=self.edge_label_index.device)

    @edge_index.setter
    def edge_index(self, edge_index: Tensor | None) -> None:
        self["edge_index"] = edge_index


class AlignmentData(HeteroData):
    """A :class:`~torch_geometric.data.HeteroData` of two graphs, :obj:`"source"` and
    :obj:`"target"`, whose edge type :obj:`("source", "anchor", "target")` holds links as
    :obj:`edge_label_index` and never as :obj:`edge_index`.

    It is what :func:`~pyg_mmea.data.make_pair` returns. Samplers slice the tensors and leave the
    lists of texts as they are: in a mini-batch, entity :obj:`i` has the URI
    :obj:`batch["source"].uri[batch["source"].n_id[i]]`.
    """

    def get_node_store(self, key: str) -> NodeStorage:
        if key not in self._node_store_dict:
            self._check_type_name(key)
            self._node_store_dict[key] = _EntityStorage(_parent=self, _key=key)
        return self._node_store_dict[key]

    def get_edge_store(self, src: str, rel: str, dst: str) -> EdgeStorage:
        key = (src, rel, dst)
        if key not in self._edge_store_dict:
            self._check_type_name(rel)
            storage = _AnchorStorage if key == ANCHOR_EDGE else _TripleStorage
            self._edge_store_dict[key] = storage(_parent=self, _key=key)
        return self._edge_store_dict[key]

    @classmethod
    def from_dict(cls, mapping: dict[Any, Any]) -> Self:
        out = cls()
        for key, value in mapping.items():
            store = out._global_store if key == "_global_store" else out[key]
            store.update(value)
        return out


def entity_fingerprint(data: HeteroData) -> str:
    """Identifies the entities of a pair and their order."""
    return fingerprint(*(data[side].uri for side in SIDES))
