"""The sum of losses that MEAformer is trained with."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch_geometric.nn.inits import reset

from pyg_mmea.loss._pairs import linked_rows, rows_of
from pyg_mmea.loss.info_nce import InfoNCELoss
from pyg_mmea.loss.uncertainty_weighting import UncertaintyWeighting
from pyg_mmea.nn.fusion import WeightedConcat
from pyg_mmea.typing import SIDES, Embeddings


class MEAformerObjective(torch.nn.Module):
    r"""The objective of `"MEAformer: Multi-modal Entity Alignment Transformer for Meta Modality
    Hybrid" <https://arxiv.org/abs/2212.14454>`_, all of :class:`~pyg_mmea.loss.InfoNCELoss`:

    * ``global``: of the concatenation of all modalities with one learned weight each, which are
      parameters of this module;
    * ``early``: of the joint embedding, whose weights are those of each entity;
    * ``late``: of the late fusion, :obj:`"late"`;
    * ``contrast``: of each modality, weighted by uncertainty; an entity pair counts as much as the
      less confident of its ends trusts the modality, :math:`\phi_m(i, j) =
      \min(\tilde{w}_i^m, \tilde{w}_j^m)`, a constant for the gradient;
    * ``late_contrast``: the same of each hidden state of the transformer.

    The released code has ``early``, ``contrast`` without :math:`\phi` and ``late_contrast``
    without :math:`\phi` only. The weight of a modality is read off the joint embedding, where it is
    the length of the block of that modality.

    Time and memory are quadratic in the links of a batch, which :obj:`training.batch_size` sets. A
    link of which an entity lacks a modality is no pair of that modality, and a modality without
    any pair is left out.

    Args:
        channels (dict[str, int]): Size of the embedding of each modality, of :obj:`"late"` and of
            :obj:`"joint"`.
        temperature (float): Of all contrasts. (default: :obj:`0.1`)
        global_weight (float): Weight of ``global``; zero leaves a term out.
            (default: :obj:`1.0`)
        early_weight (float): Weight of ``early``. (default: :obj:`1.0`)
        late_weight (float): Weight of ``late``. (default: :obj:`1.0`)
        contrast_weight (float): Weight of ``contrast``. (default: :obj:`1.0`)
        late_contrast_weight (float): Weight of ``late_contrast``. (default: :obj:`1.0`)

    Raises:
        ValueError: If the sizes are not those of a :class:`~pyg_mmea.nn.MEAformer`.
    """

    def __init__(
        self,
        channels: Mapping[str, int],
        temperature: float = 0.1,
        global_weight: float = 1.0,
        early_weight: float = 1.0,
        late_weight: float = 1.0,
        contrast_weight: float = 1.0,
        late_contrast_weight: float = 1.0,
    ) -> None:
        super().__init__()
        sizes = {name: size for name, size in channels.items() if name not in ("late", "joint")}
        if (
            "late" not in channels
            or sum(sizes.values()) != channels["joint"]
            or channels["late"] % len(sizes) != 0
        ):
            raise ValueError(
                f"'channels' needs to be those of a MEAformer, with 'late' and the modalities "
                f"making up 'joint' (got {dict(channels)})"
            )
        self.sizes = sizes
        self.weights = {
            "global": global_weight,
            "early": early_weight,
            "late": late_weight,
            "contrast": contrast_weight,
            "late_contrast": late_contrast_weight,
        }
        self.loss = InfoNCELoss(temperature)
        self.fusion = WeightedConcat(list(sizes), list(sizes.values()))
        self.contrast_balance = UncertaintyWeighting(list(sizes))
        self.late_contrast_balance = UncertaintyWeighting(list(sizes))

    def reset_parameters(self) -> None:
        """Resets all learnable parameters."""
        for module in self.children():
            reset(module)

    def forward(
        self,
        out: Embeddings,
        links: Tensor,
        weight: Tensor | None = None,
        negatives: Mapping[str, Tensor] | None = None,
        momentum: Embeddings | None = None,
    ) -> dict[str, Tensor]:
        """Computes the weighted terms; their sum is the loss.

        Args:
            out (dict): What the model returns.
            links (torch.Tensor): Rows of :obj:`out` that are the ends of the batch's links
                :math:`(2, B)`.
            weight (torch.Tensor, optional): Weight of each link, a constant :math:`(B)`.
                (default: :obj:`None`)
            negatives (dict, optional): Not looked at: negatives are those of the batch.
            momentum (dict, optional): Not looked at: there is no momentum contrast.

        Returns:
            dict: Scalars ``global``, ``early``, ``late``, ``contrast``, ``late_contrast``, those in
            use.
        """
        sides = [out[side] for side in SIDES]
        weights = self.weights
        terms: dict[str, Tensor] = {}
        if weights["global"] > 0:
            terms["global"] = self._contrast([self.fusion(side) for side in sides], links, weight)
        if weights["early"] > 0:
            terms["early"] = self._contrast([side["joint"] for side in sides], links, weight)
        if weights["late"] > 0:
            terms["late"] = self._contrast([side["late"] for side in sides], links, weight)
        trust = self._trust(out, links)
        if weights["contrast"] > 0:
            blocks = [[side[name] for name in self.sizes] for side in sides]
            terms["contrast"] = self._balanced(self.contrast_balance, blocks, trust, links, weight)
        if weights["late_contrast"] > 0:
            blocks = [list(side["late"].chunk(len(self.sizes), dim=1)) for side in sides]
            terms["late_contrast"] = self._balanced(
                self.late_contrast_balance, blocks, trust, links, weight
            )
        return {name: weights[name] * term for name, term in terms.items()}

    def _contrast(self, sides: Sequence[Tensor], links: Tensor, weight: Tensor | None) -> Tensor:
        x_s, x_t, index, share = linked_rows(sides, links, weight)
        return self.loss(x_s, x_t, share, None, *index)

    def _balanced(
        self,
        balance: UncertaintyWeighting,
        blocks: Sequence[Sequence[Tensor]],
        trust: Tensor,
        links: Tensor,
        weight: Tensor | None,
    ) -> Tensor:
        losses: dict[str, Tensor] = {}
        for name, x_s, x_t, share in zip(self.sizes, *blocks, trust, strict=True):
            share = share if weight is None else share * weight
            # Nobody trusts a modality that an end lacks: such a link has the weight zero.
            rows = linked_rows([x_s, x_t], links, share)
            if rows[0].size(0) > 0:
                losses[name] = self.loss(*rows[:2], rows[3], None, *rows[2])
        return balance(losses) if losses else trust.new_zeros(())

    def _trust(self, out: Embeddings, links: Tensor) -> Tensor:
        """Returns how far the less confident end of each link trusts each modality [M, B]."""
        sides = [
            torch.stack(
                [
                    block.norm(dim=1)
                    for block in out[side]["joint"].detach().split([*self.sizes.values()], 1)
                ],
                dim=1,
            )
            for side in SIDES
        ]
        return torch.minimum(*rows_of(sides, links)).t()
