"""Intra-modal contrastive loss over a batch of links."""

import torch
from torch import Tensor

from pyg_mmea.loss._pairs import check_pairs, check_positive, pair_share, same_entities
from pyg_mmea.loss.batch_similarity import BatchSimilarity


class InfoNCELoss(torch.nn.Module):
    r"""The intra-modal contrastive loss of `"Multi-modal Contrastive Representation Learning for
    Entity Alignment" <https://arxiv.org/abs/2209.00891>`_ (MCLEA).

    For the link :math:`(i, i)` of source entity :math:`s_i` and target entity :math:`t_i`, with
    :math:`\delta(u, v) = \exp(\cos(u, v) / \tau)`,

    .. math::
        q(s_i, t_i) = \frac{\delta(s_i, t_i)}
        {\delta(s_i, t_i) + \sum_{j \neq i} \delta(s_i, t_j) + \sum_{j \neq i} \delta(s_i, s_j)},
        \qquad
        \mathcal{L} = - \frac{1}{2 B} \sum_{i=1}^{B} \log q(s_i, t_i) + \log q(t_i, s_i)

    The paper writes the logarithm of the mean of both :math:`q`; like its code, we take the mean
    of both logarithms, so that one good direction cannot hide a bad one.

    An entity that occurs twice in the batch would be its own negative. With entity ids given,
    two links that share an entity are no negatives of each other, on either side.

    Args:
        temperature (float, optional): The temperature :math:`\tau`. (default: :obj:`0.1`)
        intra (bool, optional): If set to :obj:`False`, only counterparts are negatives, not the
            other entities of the own side. (default: :obj:`True`)

    Shapes:
        - **input:** ``x_s`` and ``x_t`` :math:`(B, D)`, row :math:`i` of both is a link;
          ``weight`` :math:`(B)`; ``mask`` :math:`(B)` *(bool)*; ids ``index_s`` and ``index_t``
          :math:`(B)` *(long)*
        - **output:** scalar, the mean over links, weighted by ``weight`` if given; zero with a
          gradient path if no link is left.

    Raises:
        ValueError: If the temperature is not positive.
    """

    def __init__(self, temperature: float = 0.1, intra: bool = True) -> None:
        super().__init__()
        check_positive(temperature=temperature)
        self.temperature = temperature
        self.intra = intra

    def forward(
        self,
        x_s: Tensor,
        x_t: Tensor,
        weight: Tensor | None = None,
        mask: Tensor | None = None,
        index_s: Tensor | None = None,
        index_t: Tensor | None = None,
    ) -> Tensor:
        """Computes the loss.

        Args:
            x_s (torch.Tensor): Source embeddings.
            x_t (torch.Tensor): Target embeddings.
            weight (torch.Tensor, optional): Weight of each link as anchor; a link with a small
                weight is still a full negative of the others. (default: :obj:`None`)
            mask (torch.Tensor, optional): Links whose entities both have the modality. The others
                are left out as anchors, as positives and as negatives. (default: :obj:`None`)
            index_s (torch.Tensor, optional): Source entity ids. (default: :obj:`None`)
            index_t (torch.Tensor, optional): Target entity ids. (default: :obj:`None`)

        Raises:
            ValueError: If the shapes do not match.
        """
        check_pairs(x_s, x_t, weight=weight, mask=mask, index_s=index_s, index_t=index_t)
        if mask is not None:
            x_s, x_t = x_s[mask], x_t[mask]
            weight, index_s, index_t = (
                None if value is None else value[mask] for value in (weight, index_s, index_t)
            )
        return self.of(BatchSimilarity(x_s, x_t), weight, index_s, index_t)

    def of(
        self,
        similarity: BatchSimilarity,
        weight: Tensor | None = None,
        index_s: Tensor | None = None,
        index_t: Tensor | None = None,
    ) -> Tensor:
        """Computes the loss from similarities that other losses may share.

        Args:
            similarity (BatchSimilarity): The cosines of the links.
            weight (torch.Tensor, optional): See :meth:`forward`. (default: :obj:`None`)
            index_s (torch.Tensor, optional): See :meth:`forward`. (default: :obj:`None`)
            index_t (torch.Tensor, optional): See :meth:`forward`. (default: :obj:`None`)
        """
        if similarity.num_links == 0:
            return similarity.nothing()
        inter = similarity.inter / self.temperature  # its transpose is the other direction
        same = same_entities(inter.size(0), index_s, index_t, device=inter.device)  # [B, B]
        positive = inter.diagonal().clone()  # [B]
        lowest = torch.finfo(inter.dtype).min  # finite: a row without any negative stays finite
        inter.masked_fill_(same, lowest)
        loss = positive.new_zeros(())
        for side, dim in (("own_s", 1), ("own_t", 0)):
            total = torch.logaddexp(positive, inter.logsumexp(dim))
            if self.intra:
                own = getattr(similarity, side) / self.temperature  # [B, B]
                own.masked_fill_(same, lowest)
                total = torch.logaddexp(total, own.logsumexp(1))
            loss = loss + (total - positive) / 2
        return (loss * pair_share(similarity.unit_s, weight)).sum()

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(temperature={self.temperature}, intra={self.intra})"
