"""MEAformer."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import Linear, ModuleDict
from torch_geometric.data import HeteroData

from pyg_mmea.nn.fusion import CrossModalTransformer
from pyg_mmea.nn.models.base import AlignmentModel, PairSpec
from pyg_mmea.nn.models.multimodal import MultiModalModel
from pyg_mmea.typing import Embeddings
from pyg_mmea.utils.rows import by_rows
from pyg_mmea.utils.similarity import unit_rows


class MEAformer(MultiModalModel):
    r"""The encoders of `"MEAformer: Multi-modal Entity Alignment Transformer for Meta Modality
    Hybrid" <https://arxiv.org/abs/2212.14454>`_ (ACM MM 2023): diagonal graph attention over
    learnable entity vectors, a linear layer for each other modality, and a
    :class:`~pyg_mmea.nn.CrossModalTransformer` over the modalities of each entity, which
    gives hidden states :math:`\hat{\mathbf{h}}_i^m` and weights :math:`\tilde{w}_i^m` of its own:

    .. math::
        \mathbf{z}_i = \Big\Vert_m \tilde{w}_i^m \frac{\mathbf{h}_i^m}{\lVert \mathbf{h}_i^m
        \rVert}, \qquad
        \hat{\mathbf{z}}_i = \Big\Vert_m \tilde{w}_i^m \frac{\hat{\mathbf{h}}_i^m}{\lVert
        \hat{\mathbf{h}}_i^m \rVert}

    The early fusion :math:`\mathbf{z}` is :obj:`"joint"`, by which the paper aligns; the late one
    :math:`\hat{\mathbf{z}}` is :obj:`"late"`, one more view beside the modalities. Entities are
    ranked by :obj:`"joint"` only where :obj:`training.rank_by` says so. Its objective is
    :class:`~pyg_mmea.loss.MEAformerObjective`. Different from paper and released code:

    * a modality that an entity lacks is a mask in the attention and has the weight zero, where the
      code attends to random vectors;
    * a structure encoder whose output has another size than the tokens gets a linear layer in
      front of the transformer;
    * the weights of graph attention are those of the GAT paper, see
      :class:`~pyg_mmea.nn.MCLEA`;
    * there is no replay of hard entities, which the released code has, too, but leaves off.

    Args:
        spec (PairSpec): The sizes of the pair of graphs.
        structure_encoder (str or torch.nn.Module): See
            :func:`~pyg_mmea.nn.structure_encoder`. (default: :obj:`"diag_gat"`)
        channels (int): Size of the entity vectors. (default: :obj:`300`)
        modality_channels (int): Size of the linear layers and of the tokens.
            (default: :obj:`300`)
        num_layers (int): Layers of the structure encoder. (default: :obj:`2`)
        heads (int): Heads of the transformer. (default: :obj:`1`)
        feedforward_channels (int): Hidden size of its feed-forward network.
            (default: :obj:`400`)
        fusion_dropout (float): Dropout probability in it. (default: :obj:`0.1`)
        modalities (list[str], optional): The modalities to use, of those that the data have.
            (default: :obj:`None`, which means all)
        dropout (float): Dropout probability of the embeddings. (default: :obj:`0.0`)

    Raises:
        ValueError: If a modality is asked for that the data lack, or the heads do not divide
            :obj:`modality_channels`.
    """

    def __init__(
        self,
        spec: PairSpec,
        structure_encoder: str | torch.nn.Module = "diag_gat",
        channels: int = 300,
        modality_channels: int = 300,
        num_layers: int = 2,
        heads: int = 1,
        feedforward_channels: int = 400,
        fusion_dropout: float = 0.1,
        modalities: Sequence[str] | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            spec,
            structure_encoder,
            channels,
            modality_channels,
            num_layers,
            modalities=modalities,
            dropout=dropout,
        )
        self.token_channels = modality_channels
        self.project = ModuleDict(
            {
                name: Linear(size, modality_channels)
                for name, size in self.sizes.items()
                if size != modality_channels
            }
        )
        self.fusion = CrossModalTransformer(
            modality_channels, heads, feedforward_channels, fusion_dropout
        )

    @property
    def out_channels(self) -> dict[str, int]:
        late = len(self.sizes) * self.token_channels
        return {**self.sizes, "late": late, "joint": sum(self.sizes.values())}

    def join(self, out: dict[str, Tensor], masks: dict[str, Tensor]) -> dict[str, Tensor]:
        first = next(iter(out.values()))
        full = torch.ones(first.size(0), dtype=torch.bool, device=first.device)
        mask = torch.stack([masks.get(name, full) for name in self.sizes], dim=1)  # [N, M]
        sizes = [self.out_channels[name] for name in ("late", "joint")]
        late, joint = by_rows(self._fuse, mask, *out.values()).split(sizes, dim=1)
        return {**out, "late": late, "joint": joint}

    def _fuse(self, mask: Tensor, *embeddings: Tensor) -> Tensor:
        """Returns late and early fusion beside each other."""
        tokens = [
            self.project[name](x) if name in self.project else x
            for name, x in zip(self.sizes, embeddings, strict=True)
        ]
        hidden, weight = self.fusion(torch.stack(tokens, dim=1), mask)
        blocks = [*hidden.unbind(dim=1), *embeddings]  # late, then early
        weights = [*weight.unbind(dim=1), *weight.unbind(dim=1)]
        scaled = [unit_rows(x) * w.view(-1, 1) for x, w in zip(blocks, weights, strict=True)]
        return torch.cat(scaled, dim=1)

    def embed_modalities(self, data: HeteroData) -> Embeddings:
        # The late fusion is among what calibration asks, and takes all of the forward pass.
        return AlignmentModel.embed_modalities(self, data)
