"""Inter-modal alignment: every modality is to see the batch as the joint embedding does."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pyg_mmea.loss._pairs import check_pairs, check_positive, pair_share
from pyg_mmea.loss.batch_similarity import BatchSimilarity


class AlignmentKLLoss(torch.nn.Module):
    r"""The inter-modal alignment loss of `"Multi-modal Contrastive Representation Learning for
    Entity Alignment" <https://arxiv.org/abs/2209.00891>`_ (MCLEA) for one modality :math:`m`.

    Each entity of the batch has a distribution over the :math:`2 B - 1` entities it is compared
    with, those of the other side and, without itself, those of its own:

    .. math::
        P^m_{s_i}(x) = \frac{\exp(\cos(\mathbf{h}^m_{s_i}, \mathbf{h}^m_x) / \tau)}
        {\sum_{j} \exp(\cos(\mathbf{h}^m_{s_i}, \mathbf{h}^m_{t_j}) / \tau)
        + \sum_{j \neq i} \exp(\cos(\mathbf{h}^m_{s_i}, \mathbf{h}^m_{s_j}) / \tau)}

    With :math:`P^z` the same of the joint embedding, which gets no gradient,

    .. math::
        \mathcal{L}_m = \frac{1}{2 B} \sum_{i=1}^{B}
        \mathrm{KL}\big(P^z_{s_i} \Vert P^m_{s_i}\big) +
        \mathrm{KL}\big(P^z_{t_i} \Vert P^m_{t_i}\big)

    The released code averages the :math:`2 B` summands of each divergence, too, where we sum them,
    and scales the result by 0.1 twice; its loss is ours times :math:`0.01 / (2 B)`, so that it
    fades as the batch grows. Since cosines differ by 2 at most, a high temperature keeps both
    distributions close to uniform and the divergence small: of the order of
    :math:`\sigma^2 / (2 \tau^2)` for cosines that differ by :math:`\sigma`.

    Args:
        temperature (float, optional): The temperature :math:`\tau`. (default: :obj:`4.0`)
        intra (bool, optional): If set to :obj:`False`, the distribution is over the other side
            only. (default: :obj:`True`)

    Shapes:
        - **input:** modality embeddings ``x_s`` and ``x_t`` :math:`(B, D)`, joint embeddings
          ``joint_s`` and ``joint_t`` :math:`(B, D_z)`, row :math:`i` of all belongs to one link;
          ``weight`` :math:`(B)`; ``mask`` :math:`(B)` *(bool)*
        - **output:** scalar in nats, the mean over links, weighted by ``weight`` if given; zero
          with a gradient path if no link is left.

    Raises:
        ValueError: If the temperature is not positive.
    """

    def __init__(self, temperature: float = 4.0, intra: bool = True) -> None:
        super().__init__()
        check_positive(temperature=temperature)
        self.temperature = temperature
        self.intra = intra

    def forward(
        self,
        x_s: Tensor,
        x_t: Tensor,
        joint_s: Tensor,
        joint_t: Tensor,
        weight: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Computes the loss.

        Args:
            x_s (torch.Tensor): Source embeddings of the modality.
            x_t (torch.Tensor): Target embeddings of the modality.
            joint_s (torch.Tensor): Joint source embeddings, detached here.
            joint_t (torch.Tensor): Joint target embeddings, detached here.
            weight (torch.Tensor, optional): Weight of each link, a constant.
                (default: :obj:`None`)
            mask (torch.Tensor, optional): Links whose entities both have the modality; the others
                are left out of both distributions. (default: :obj:`None`)

        Raises:
            ValueError: If the shapes do not match.
        """
        check_pairs(x_s, x_t, weight=weight, mask=mask)
        check_pairs(joint_s, joint_t)
        if joint_s.size(0) != x_s.size(0):
            raise ValueError(
                f"'joint_s' needs to have {x_s.size(0)} rows like 'x_s' (got {joint_s.size(0)})"
            )
        if mask is not None:
            x_s, x_t, joint_s, joint_t = x_s[mask], x_t[mask], joint_s[mask], joint_t[mask]
            weight = None if weight is None else weight[mask]
        joint = self.log_distributions(BatchSimilarity(joint_s.detach(), joint_t.detach()))
        return self.of(BatchSimilarity(x_s, x_t), joint, weight)

    def of(
        self, similarity: BatchSimilarity, joint: Sequence[Tensor], weight: Tensor | None = None
    ) -> Tensor:
        """Computes the loss from similarities that other losses may share.

        Args:
            similarity (BatchSimilarity): The cosines of the links by the modality.
            joint (Sequence[torch.Tensor]): The :meth:`log_distributions` of the joint embedding.
            weight (torch.Tensor, optional): See :meth:`forward`. (default: :obj:`None`)
        """
        if similarity.num_links == 0:
            return similarity.nothing()
        loss = similarity.unit_s.new_zeros(())
        for log_p, log_q in zip(self.log_distributions(similarity), joint, strict=True):
            log_q = log_q.detach()  # [B, B]
            loss = loss + (log_q.exp() * (log_q - log_p)).sum(dim=1) / 2
        return (loss * pair_share(similarity.unit_s, weight)).sum()

    def log_distributions(self, similarity: BatchSimilarity) -> list[Tensor]:
        """Returns log-probabilities in blocks :math:`(B, B)`, a row an entity: for each side those
        over its own and those over the other one."""
        inter = similarity.inter / self.temperature  # [B, B]
        out = []
        for side, block in (("own_s", inter), ("own_t", inter.t())):
            total = block.logsumexp(dim=1, keepdim=True)  # [B, 1]
            if self.intra:
                own = getattr(similarity, side) / self.temperature  # [B, B]
                own.fill_diagonal_(torch.finfo(own.dtype).min)  # no longer finite would be NaN
                total = torch.logaddexp(total, own.logsumexp(dim=1, keepdim=True))
                # The entity itself has probability zero in both, and so no part in the divergence.
                out.append((own - total).fill_diagonal_(torch.finfo(own.dtype).min))
            out.append(block - total)
        return out

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(temperature={self.temperature}, intra={self.intra})"
