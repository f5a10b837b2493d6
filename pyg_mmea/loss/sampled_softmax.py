"""Softmax cross entropy of links against many sampled negatives."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pyg_mmea.loss._pairs import check_pairs, check_positive, pair_share, true_ends
from pyg_mmea.utils.similarity import unit_rows

_CHUNK_SIZE = 1024  # rows whose scores exist at the same time


class SampledSoftmaxLoss(torch.nn.Module):
    r"""InfoNCE of `"Representation Learning with Contrastive Predictive Coding"
    <https://arxiv.org/abs/1807.03748>`_ (eq. 4) with negatives from all entities instead of from
    the links of the batch:

    .. math::
        \mathcal{L}_{i \to j} = - \log \frac{\exp(\cos(\mathbf{x}_i, \mathbf{x}_j) / \tau)}
        {\exp(\cos(\mathbf{x}_i, \mathbf{x}_j) / \tau) +
        \sum_n \exp(\cos(\mathbf{x}_i, \mathbf{x}_n) / \tau)}

    and likewise for the other direction. Most entities of a graph have no known link, so
    negatives that are drawn from all of them are more, and other ones, than a batch has.

    The gradient is computed with the value, a block of links at a time, so that no
    :math:`B \times M` matrix is kept; second derivatives do not exist.

    Args:
        temperature (float, optional): The temperature :math:`\tau`. (default: :obj:`0.05`)

    Shapes:
        - **input:** ``x_s`` and ``x_t`` :math:`(B, D)`, row :math:`i` of both is a link;
          ``negatives_s`` :math:`(M_s, D)` and ``negatives_t`` :math:`(M_t, D)`; ``weight``,
          ``index_s`` and ``index_t`` :math:`(B)`; ``negative_index_s`` :math:`(M_s)` and
          ``negative_index_t`` :math:`(M_t)`
        - **output:** scalar, the mean of both directions over links, weighted by ``weight`` if
          given; zero with a gradient path if there is no link.

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
        negatives_s: Tensor,
        negatives_t: Tensor,
        index_s: Tensor | None = None,
        index_t: Tensor | None = None,
        negative_index_s: Tensor | None = None,
        negative_index_t: Tensor | None = None,
        weight: Tensor | None = None,
    ) -> Tensor:
        """Computes the loss.

        Args:
            x_s (torch.Tensor): Source embeddings of the links.
            x_t (torch.Tensor): Target embeddings of the links.
            negatives_s (torch.Tensor): Source embeddings that replace the source of each link.
            negatives_t (torch.Tensor): Target embeddings that replace the target of each link.
            index_s (torch.Tensor, optional): Source entity ids of the links; together with
                :obj:`negative_index_s` they take a link's own source out of its negatives, and
                with :obj:`index_t` the sources of other links to the same target.
                (default: :obj:`None`)
            index_t (torch.Tensor, optional): Likewise for the target. (default: :obj:`None`)
            negative_index_s (torch.Tensor, optional): Entity ids of :obj:`negatives_s`.
                (default: :obj:`None`)
            negative_index_t (torch.Tensor, optional): Entity ids of :obj:`negatives_t`.
                (default: :obj:`None`)
            weight (torch.Tensor, optional): Weight of each link, a constant.
                (default: :obj:`None`)

        Raises:
            ValueError: If the shapes do not match, or only one of a side's two indices is given.
        """
        check_pairs(x_s, x_t, weight=weight, index_s=index_s, index_t=index_t)
        own_s = true_ends("s", index_s, index_t, negatives_s, negative_index_s)  # [2, K]
        own_t = true_ends("t", index_t, index_s, negatives_t, negative_index_t)
        x_s, x_t = unit_rows(x_s), unit_rows(x_t)
        share = pair_share(x_s, weight) / 2  # [B]
        negatives_s, negatives_t = unit_rows(negatives_s), unit_rows(negatives_t)
        apply, tau = _SampledCrossEntropy.apply, self.temperature
        with torch.autocast(x_s.device.type, enabled=False):
            loss_t = apply(x_s, x_t, negatives_t, own_t, share, tau)
            loss_s = apply(x_t, x_s, negatives_s, own_s, share, tau)
        return loss_s + loss_t

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(temperature={self.temperature})"


class _SampledCrossEntropy(torch.autograd.Function):
    """One direction: anchors ``[B, D]``, positives ``[B, D]``, candidates ``[M, D]``, unit rows.

    The value is a plain sum over links, so the gradient is known up to one factor as soon as the
    scores are; they are dropped block by block.
    """

    @staticmethod
    def forward(
        ctx: Any,
        anchor: Tensor,
        positive: Tensor,
        candidates: Tensor,
        own: Tensor,
        share: Tensor,
        temperature: float,
    ) -> Tensor:
        value = anchor.new_zeros(())
        grad_anchor = torch.empty_like(anchor)
        grad_positive = torch.empty_like(positive)
        grad_candidates = torch.zeros_like(candidates)
        for start in range(0, anchor.size(0), _CHUNK_SIZE):
            rows = slice(start, start + _CHUNK_SIZE)
            x, y = anchor[rows], positive[rows]  # [b, D]
            inside = (own[0] >= start) & (own[0] < start + _CHUNK_SIZE)
            score = (x / temperature) @ candidates.t()  # [b, M]
            score[own[0, inside] - start, own[1, inside]] = -torch.inf
            gold = (x * y).sum(dim=1) / temperature  # [b]
            top = gold if score.size(1) == 0 else torch.maximum(gold, score.amax(dim=1))
            weight = score.sub_(top.view(-1, 1)).exp_()
            rest = weight.sum(dim=1)
            total = rest + (gold - top).exp()
            part = share[rows]
            value += (part * (top + total.log() - gold)).sum()

            weight.mul_((part / total / temperature).view(-1, 1))  # gradient of <x_i, x_n>
            pull = (part * rest / total / temperature).view(-1, 1)  # minus that of <x_i, y_i>
            grad_anchor[rows] = torch.addmm(pull * y, weight, candidates, beta=-1)
            grad_candidates.addmm_(weight.t(), x)
            grad_positive[rows] = -pull * x
        ctx.save_for_backward(grad_anchor, grad_positive, grad_candidates)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grads = (grad * saved for saved in ctx.saved_tensors)
        return (*grads, None, None, None)
