"""The sum of losses that EVA is trained with."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import ModuleDict

from pyg_mmea.loss._pairs import linked_rows
from pyg_mmea.loss.nca import NCALoss
from pyg_mmea.typing import SIDES, Embeddings


class EVAObjective(torch.nn.Module):
    r"""The objective of `"Visual Pivoting for (Unsupervised) Entity Alignment"
    <https://arxiv.org/abs/2009.13603>`_: :class:`~pyg_mmea.loss.NCALoss` of each modality and of
    the joint embedding, added up,

    .. math::
        \mathcal{L} = \mathcal{L}^z + \sum_m \mathcal{L}^m

    Time and memory are quadratic in the links of a batch, which :obj:`training.batch_size` sets. A
    link of which an entity lacks a modality, which is to say has a row of zeros there, is no pair
    of that modality.

    Args:
        channels (dict[str, int]): Size of the embedding of each modality and of :obj:`"joint"`.
        alpha (float): See :class:`~pyg_mmea.loss.NCALoss`. (default: :obj:`15.0`)
        structure_alpha (float): The same for structure. (default: :obj:`5.0`)
        beta (float): See :class:`~pyg_mmea.loss.NCALoss`. (default: :obj:`10.0`)
    """

    def __init__(
        self,
        channels: Mapping[str, int],
        alpha: float = 15.0,
        structure_alpha: float = 5.0,
        beta: float = 10.0,
    ) -> None:
        super().__init__()
        self.losses = ModuleDict(
            {
                name: NCALoss(structure_alpha if name == "structure" else alpha, beta)
                for name in channels
            }
        )

    def forward(
        self,
        out: Embeddings,
        links: Tensor,
        weight: Tensor | None = None,
        negatives: Mapping[str, Tensor] | None = None,
        momentum: Embeddings | None = None,
    ) -> dict[str, Tensor]:
        """Computes the terms; their sum is the loss.

        Args:
            out (dict): What the model returns.
            links (torch.Tensor): Rows of :obj:`out` that are the ends of the batch's links
                :math:`(2, B)`.
            weight (torch.Tensor, optional): Weight of each link, a constant :math:`(B)`.
                (default: :obj:`None`)
            negatives (dict, optional): Not looked at: negatives are those of the batch.
            momentum (dict, optional): Not looked at: there is no momentum contrast.

        Returns:
            dict: A scalar for each modality and ``joint``.
        """
        terms = {}
        for name, loss in self.losses.items():
            sides = [out[side][name] for side in SIDES]
            x_s, x_t, index, share = linked_rows(sides, links, weight)
            terms[name] = loss(x_s, x_t, share, *index)
        return terms
