"""What models with one encoder a modality share."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import ModuleDict, ParameterDict
from torch_geometric.data import HeteroData
from torch_geometric.data.storage import NodeStorage
from torch_geometric.nn.inits import reset

from pyg_mmea.nn.attention import BagTextCrossAttention
from pyg_mmea.nn.dropout import ByteDropout
from pyg_mmea.nn.encoder.modality import BagEncoder, DenseEncoder
from pyg_mmea.nn.encoder.relation_reflection import RelationReflectionEncoder
from pyg_mmea.nn.encoder.structure import structure_encoder as make_structure_encoder
from pyg_mmea.nn.fusion import WeightedConcat
from pyg_mmea.nn.models.base import AlignmentModel, PairSpec
from pyg_mmea.typing import SIDES, Embeddings, Modality
from pyg_mmea.utils.rows import by_rows, take

_BAGS = (Modality.RELATION, Modality.ATTRIBUTE)
_TEXT_OF: dict[str, str] = {
    Modality.RELATION: Modality.RELATION_TEXT,
    Modality.ATTRIBUTE: Modality.ATTRIBUTE_TEXT,
}
_BAG_OF = {str(text): bag for bag, text in _TEXT_OF.items()}


class MultiModalModel(AlignmentModel):
    """Base class of models that embed every modality by an encoder of its own and join what these
    give: implement :meth:`join`.

    * structure: learnable entity vectors and a structure encoder;
    * relations, attributes: linear layer on the bag, which attends to the verbalised triples where
      text features exist and :obj:`cross_attention` is on;
    * pictures, names, texts whose bag does not attend to them, and modalities of one's own: linear
      layer on dense features.

    All but the structure encoder and the propagation treat each entity alone: of many, some are
    embedded after the others.

    Args:
        spec (PairSpec): The sizes of the pair of graphs.
        structure_encoder (str or torch.nn.Module): See
            :func:`~pyg_mmea.nn.structure_encoder`.
        channels (int): Size of the entity vectors.
        modality_channels (int): Size of the linear layers.
        num_layers (int): Layers of the structure encoder and of the propagation.
        propagate (bool): If set to :obj:`True`, a relation-reflection encoder propagates the
            embedding of each modality over the graph. (default: :obj:`False`)
        modalities (list[str], optional): The modalities to use, of those that the data have.
            (default: :obj:`None`, which means all)
        dropout (float): Dropout probability of the embeddings. (default: :obj:`0.0`)
        cross_attention (bool): Let bags attend to their texts. (default: :obj:`False`)

    Attributes:
        sizes (dict[str, int]): Size of the embedding of each modality.

    Raises:
        ValueError: If a modality is asked for that the data lack.
    """

    def __init__(
        self,
        spec: PairSpec,
        structure_encoder: str | torch.nn.Module,
        channels: int,
        modality_channels: int,
        num_layers: int,
        propagate: bool = False,
        modalities: Sequence[str] | None = None,
        dropout: float = 0.0,
        cross_attention: bool = False,
    ) -> None:
        super().__init__(spec)
        self.modalities = _choose(spec, modalities)
        self.propagate = propagate
        num_relations = 2 * spec.num_relations
        self.dropout = ByteDropout(dropout)
        self.entity = ParameterDict()
        sizes: dict[str, int] = {}
        if Modality.STRUCTURE in self.modalities:
            for side in SIDES:
                self.entity[side] = torch.empty(spec.num_entities[side], channels)
            self.structure = make_structure_encoder(
                structure_encoder, channels, num_relations, num_layers
            )
            sizes[Modality.STRUCTURE] = self.structure.out_channels
        self.encoders = ModuleDict()
        self.cross_attention = ModuleDict()
        self.propagation = ModuleDict()
        for name in self.modalities:
            joins_bag = cross_attention and _BAG_OF.get(name) in self.modalities
            if name == Modality.STRUCTURE or joins_bag:
                continue
            make = BagEncoder if name in _BAGS else DenseEncoder
            self.encoders[name] = make(spec.in_channels[name], modality_channels)
            text = _TEXT_OF.get(name)
            if cross_attention and text is not None and text in self.modalities:
                self.cross_attention[name] = BagTextCrossAttention(
                    modality_channels, spec.in_channels[text]
                )
            sizes[name] = modality_channels
            if propagate:
                layer = RelationReflectionEncoder(modality_channels, num_relations, num_layers)
                self.propagation[name] = layer
                sizes[name] = layer.out_channels
        self.sizes = {str(name): size for name, size in sizes.items()}
        self._reset_entities()  # not the rest: an encoder that is handed in may be trained

    @property
    def num_parts(self) -> dict[str, int]:
        layers: dict[str, Any] = dict(self.propagation.items())
        if Modality.STRUCTURE in self.modalities:
            layers[Modality.STRUCTURE] = self.structure
        return {str(name): layer.num_parts for name, layer in layers.items()}

    @abstractmethod
    def join(self, out: dict[str, Tensor], masks: dict[str, Tensor]) -> dict[str, Tensor]:
        """Returns the embeddings of one graph with :obj:`"joint"`.

        Args:
            out (dict): Embedding of each modality :math:`(N, D_m)`.
            masks (dict): True where an entity has the modality :math:`(N)`; a modality without a
                mask is present everywhere.
        """

    def reset_parameters(self) -> None:
        """Resets all learnable parameters, those of a structure encoder handed in, too."""
        self._reset_entities()
        for module in self.children():
            reset(module)

    def _reset_entities(self) -> None:
        for vectors in self.entity.values():
            torch.nn.init.normal_(vectors, std=vectors.size(0) ** -0.5)

    def forward(self, data: HeteroData, nodes: Mapping[str, Tensor] | None = None) -> Embeddings:
        """Embeds the entities of both graphs; see
        :meth:`AlignmentModel.forward <pyg_mmea.nn.AlignmentModel.forward>`."""
        return {
            side: self.join(*self.embed_side(data, side, None if nodes is None else nodes[side]))
            for side in SIDES
        }

    def embed_modalities(self, data: HeteroData) -> Embeddings:
        return {side: self.embed_side(data, side)[0] for side in SIDES}

    def embed_side(
        self, data: HeteroData, side: str, nodes: Tensor | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Returns the embeddings of one graph by modality, and the masks, see :meth:`join`."""
        edges = self.edges(data, side)
        out: dict[str, Tensor] = {}
        masks: dict[str, Tensor] = {}
        for name in self.sizes:
            if name == Modality.STRUCTURE:
                out[name] = self.dropout(self.structure(self._vectors(data, side), *edges, nodes))
                continue
            x = self._encode(data[side], name)
            if self.propagate:
                x = self.propagation[name](torch.tanh(x), *edges, nodes)
            else:
                x = take(x, nodes)
                masks[name] = take(data[side][f"{name}_mask"], nodes)
            out[name] = self.dropout(x)
        return out, masks

    def _vectors(self, data: HeteroData, side: str) -> Tensor:
        vectors, store = self.entity[side], data[side]
        if "n_id" in store:  # a mini-batch
            vectors = vectors.index_select(0, store.n_id)  # [] sorts in its backward pass
        if vectors.size(0) != store.num_nodes:
            raise ValueError(
                f"'data' needs to have {vectors.size(0)} {side} entities, or their 'n_id' "
                f"(got {store.num_nodes})"
            )
        return vectors

    def _encode(self, store: NodeStorage, name: str) -> Tensor:
        x = by_rows(self.encoders[name], store[f"x_{name}"], store[f"{name}_mask"])
        if name in self.cross_attention:
            text = _TEXT_OF[name]
            attention = self.cross_attention[name]
            x = by_rows(attention, x, store[f"x_{text}"], store[f"{text}_mask"])
        return x


class ConcatModel(MultiModalModel):
    """Base class of models whose joint embedding is a
    :class:`~pyg_mmea.nn.WeightedConcat`.

    Args:
        spec (PairSpec): The sizes of the pair of graphs.
        *args: See :class:`MultiModalModel`.
        missing (str): What :class:`~pyg_mmea.nn.WeightedConcat` does about missing
            modalities. (default: :obj:`"zero"`)
        **kwargs: See :class:`MultiModalModel`.
    """

    def __init__(self, spec: PairSpec, *args: Any, missing: str = "zero", **kwargs: Any) -> None:
        super().__init__(spec, *args, **kwargs)
        self.fusion = WeightedConcat(list(self.sizes), list(self.sizes.values()), missing)

    @property
    def out_channels(self) -> dict[str, int]:
        return {**self.sizes, "joint": self.fusion.out_channels}

    def join(self, out: dict[str, Tensor], masks: dict[str, Tensor]) -> dict[str, Tensor]:
        def fuse(*columns: Tensor) -> Tensor:
            embeddings = dict(zip(out, columns[: len(out)], strict=True))
            present = dict(zip(masks, columns[len(out) :], strict=True))
            return self.fusion(embeddings, present)

        return {**out, "joint": by_rows(fuse, *out.values(), *masks.values())}


def _choose(spec: PairSpec, modalities: Sequence[str] | None) -> list[str]:
    available = [str(Modality.STRUCTURE), *spec.in_channels]
    if modalities is None:
        return available
    for name in modalities:
        if name not in available:
            raise ValueError(
                f"'modalities' needs to be among {', '.join(available)} (got '{name}')"
            )
    return [name for name in available if name in modalities]
