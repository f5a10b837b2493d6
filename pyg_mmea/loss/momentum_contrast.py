"""Contrast of the online encoder with its momentum encoder, across the two graphs."""

import torch
from torch import Tensor

from pyg_mmea.loss._pairs import (
    check_pairs,
    check_positive,
    pair_share,
    products,
    same_entities,
)
from pyg_mmea.utils.similarity import unit_rows


class MomentumContrastLoss(torch.nn.Module):
    r"""The contrastive loss of `"Momentum Contrast for Unsupervised Visual Representation Learning"
    <https://arxiv.org/abs/1911.05722>`_ (MoCo) across graphs, as in `"Pseudo-Label Calibration
    Semi-supervised Multi-Modal Entity Alignment" <https://arxiv.org/abs/2403.01203>`_ (PCMEA).

    With online embeddings :math:`\mathbf{z}` as queries and momentum embeddings
    :math:`\tilde{\mathbf{z}}` of the other graph as keys,

    .. math::
        \mathcal{L} = - \frac{1}{2 B} \sum_{i=1}^{B}
        \log \frac{\exp(\cos(\mathbf{z}_{s_i}, \tilde{\mathbf{z}}_{t_i}) / \tau)}
        {\sum_j \exp(\cos(\mathbf{z}_{s_i}, \tilde{\mathbf{z}}_{t_j}) / \tau)} +
        \log \frac{\exp(\cos(\mathbf{z}_{t_i}, \tilde{\mathbf{z}}_{s_i}) / \tau)}
        {\sum_j \exp(\cos(\mathbf{z}_{t_i}, \tilde{\mathbf{z}}_{s_j}) / \tau)}

    Keys never get a gradient. There is no queue: the keys are the links of the batch. With entity
    ids given, links that share an entity are no negatives of each other.

    Args:
        temperature (float, optional): The temperature :math:`\tau`. (default: :obj:`0.05`)

    Shapes:
        - **input:** ``x_s``, ``x_t`` (online) and ``momentum_s``, ``momentum_t`` :math:`(B, D)`,
          row :math:`i` of all belongs to one link; ``weight`` :math:`(B)`; ids ``index_s`` and
          ``index_t`` :math:`(B)` *(long)*
        - **output:** scalar, the mean over links, weighted by ``weight`` if given; zero with a
          gradient path if there is no link.

    Raises:
        ValueError: If the temperature is not positive.
    """

    def __init__(self, temperature: float = 0.05) -> None:
        super().__init__()
        check_positive(temperature=temperature)
        self.temperature = temperature

    def forward(
        self,
        x_s: Tensor,
        x_t: Tensor,
        momentum_s: Tensor,
        momentum_t: Tensor,
        weight: Tensor | None = None,
        index_s: Tensor | None = None,
        index_t: Tensor | None = None,
    ) -> Tensor:
        """Computes the loss.

        Args:
            x_s (torch.Tensor): Source embeddings of the online encoder.
            x_t (torch.Tensor): Target embeddings of the online encoder.
            momentum_s (torch.Tensor): Source embeddings of the momentum encoder, detached here.
            momentum_t (torch.Tensor): Target embeddings of the momentum encoder, detached here.
            weight (torch.Tensor, optional): Weight of each link, a constant.
                (default: :obj:`None`)
            index_s (torch.Tensor, optional): Source entity ids. (default: :obj:`None`)
            index_t (torch.Tensor, optional): Target entity ids. (default: :obj:`None`)

        Raises:
            ValueError: If the shapes do not match.
        """
        check_pairs(x_s, x_t, weight=weight, index_s=index_s, index_t=index_t)
        check_pairs(x_s, momentum_s)
        check_pairs(x_t, momentum_t)
        if x_s.size(0) == 0:
            return x_s.sum() + x_t.sum()
        same = same_entities(x_s.size(0), index_s, index_t, device=x_s.device)  # [B, B]
        loss = self._contrast(x_s, momentum_t, same) + self._contrast(x_t, momentum_s, same)
        return (loss / 2 * pair_share(x_s, weight)).sum()

    def _contrast(self, query: Tensor, key: Tensor, same: Tensor) -> Tensor:
        query, key = unit_rows(query), unit_rows(key.detach())
        score = products(query / self.temperature, key)  # [B, B]
        positive = score.diagonal().clone()  # [B]
        score.masked_fill_(same, torch.finfo(score.dtype).min)
        return torch.logaddexp(positive, score.logsumexp(dim=1)) - positive

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(temperature={self.temperature})"
