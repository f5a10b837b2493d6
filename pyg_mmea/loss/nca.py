"""Neighbourhood component analysis over a batch of links."""

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_mmea.loss._pairs import check_pairs, check_positive, pair_share, same_entities
from pyg_mmea.loss.batch_similarity import BatchSimilarity


class NCALoss(torch.nn.Module):
    r"""The loss of `"Visual Pivoting for (Unsupervised) Entity Alignment"
    <https://arxiv.org/abs/2009.13603>`_ (EVA), after neighbourhood component analysis. With
    :math:`S_{ij}` the cosine of source :math:`i` and target :math:`j`,

    .. math::
        \mathcal{L} = \frac{1}{B} \sum_{i=1}^{B} \Big( \frac{1}{\alpha} \log \big( 1 +
        \sum_{m \neq i} e^{\alpha S_{mi}} \big) + \frac{1}{\alpha} \log \big( 1 +
        \sum_{n \neq i} e^{\alpha S_{in}} \big) - \beta \, g(S_{ii}) \Big), \qquad
        g(s) = \begin{cases} \log(1 + s) & s > 0 \\ s & s \le 0 \end{cases}

    The released code has :math:`g(s) = \log(1 + \max(s, 0))`, which does not pull at links whose
    ends point apart: a modality that says nothing ends with all sources opposite to all targets.
    Its tangent takes over here. Links that share an entity are no negatives of each other if ids
    are given.

    Args:
        alpha (float, optional): The scale :math:`\alpha` of the negatives. (released code:
            15, of structure 5) (default: :obj:`15.0`)
        beta (float, optional): The weight :math:`\beta` of the links themselves.
            (default: :obj:`10.0`)

    Shapes:
        - **input:** ``x_s`` and ``x_t`` :math:`(B, D)`, row :math:`i` of both is a link;
          ``weight`` :math:`(B)`; ids ``index_s`` and ``index_t`` :math:`(B)` *(long)*
        - **output:** scalar, the mean over links, weighted by ``weight`` if given; zero with a
          gradient path if there is no link.

    Raises:
        ValueError: If :obj:`alpha` or :obj:`beta` is not positive.
    """

    def __init__(self, alpha: float = 15.0, beta: float = 10.0) -> None:
        super().__init__()
        check_positive(alpha=alpha, beta=beta)
        self.alpha = alpha
        self.beta = beta

    def forward(
        self,
        x_s: Tensor,
        x_t: Tensor,
        weight: Tensor | None = None,
        index_s: Tensor | None = None,
        index_t: Tensor | None = None,
    ) -> Tensor:
        """Computes the loss.

        Args:
            x_s (torch.Tensor): Source embeddings.
            x_t (torch.Tensor): Target embeddings.
            weight (torch.Tensor, optional): Weight of each link, a constant.
                (default: :obj:`None`)
            index_s (torch.Tensor, optional): Source entity ids. (default: :obj:`None`)
            index_t (torch.Tensor, optional): Target entity ids. (default: :obj:`None`)

        Raises:
            ValueError: If the shapes do not match.
        """
        check_pairs(x_s, x_t, weight=weight, index_s=index_s, index_t=index_t)
        similarity = BatchSimilarity(x_s, x_t)
        if similarity.num_links == 0:
            return similarity.nothing()
        inter = similarity.inter  # [B, B]
        own = inter.diagonal()
        positive = own.relu().log1p() + own.clamp(max=0.0)  # [B]
        same = same_entities(inter.size(0), index_s, index_t, device=inter.device)
        scaled = (self.alpha * inter).masked_fill(same, torch.finfo(inter.dtype).min)
        # softplus(log sum exp x) is log(1 + sum exp x), for large x, too.
        negative = F.softplus(scaled.logsumexp(0)) + F.softplus(scaled.logsumexp(1))
        loss = negative / self.alpha - self.beta * positive
        return (loss * pair_share(similarity.unit_s, weight)).sum()

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(alpha={self.alpha}, beta={self.beta})"
