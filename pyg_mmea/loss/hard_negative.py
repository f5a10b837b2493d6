"""Normalised LogSumExp loss over many negatives."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pyg_mmea.loss._pairs import check_pairs, check_positive, pair_share, true_ends
from pyg_mmea.utils.similarity import unit_rows

_CHUNK_SIZE = 1024  # rows whose scores exist at the same time
_MIN_STD = 1e-4  # keeps the gradient bounded when all negatives are equally far


class HardNegativeLoss(torch.nn.Module):
    r"""The normalised hard sample mining loss of `"Boosting the Speed of Entity Alignment 10x: Dual
    Attention Matching Network with Normalized Hard Sample Mining"
    <https://arxiv.org/abs/2103.15452>`_ (Dual-AMN).

    With :math:`d` the squared Euclidean distance of embeddings scaled to length one, a link
    :math:`(i, j)` has one score for each negative :math:`n` that replaces its target

    .. math::
        l_n = d(i, j) - d(i, n), \qquad
        z_n = \frac{l_n - \mathrm{mean}(l)}{\mathrm{std}(l)}, \qquad
        \mathcal{L}_{i \to j} = \log \sum_n \exp(\lambda z_n)

    and likewise for those that replace its source. Mean and (population) standard deviation run
    over the negatives of the link and are constants for the gradient, so the hardest negatives
    get nearly all of it, whatever the scale of the distances. Since the mean takes it out again,
    :math:`d(i, j)` changes the gradient, which pulls both ends together, but not the value: read
    the value as the share of the hardest negatives, not as progress.

    Two things differ from the released code. Its margin and offset have no argument here: the
    normalisation cancels a margin exactly, and an offset only shifts the value. Ends of the link
    among the negatives are left out, where the code sets their score to zero.

    The gradient is computed with the value, a block of links at a time, so that no
    :math:`B \times M` matrix is kept; second derivatives do not exist.

    Args:
        scale (float, optional): The scale :math:`\lambda`; the larger, the fewer negatives count.
            (default: :obj:`20.0`)
        intra (bool, optional): If set to :obj:`True`, the other entities of the own side are
            negatives, too, as in the paper. (default: :obj:`False`)

    Shapes:
        - **input:** ``x_s`` and ``x_t`` :math:`(B, D)`, row :math:`i` of both is a link;
          ``negatives_s`` :math:`(M_s, D)` and ``negatives_t`` :math:`(M_t, D)`; ``weight``,
          ``index_s`` and ``index_t`` :math:`(B)`; ``negative_index_s`` :math:`(M_s)` and
          ``negative_index_t`` :math:`(M_t)`
        - **output:** scalar, the sum of both directions, averaged over links, weighted by
          ``weight`` if given; zero with a gradient path if there is no link or no negative.

    Raises:
        ValueError: If the scale is not positive.
    """

    def __init__(self, scale: float = 20.0, intra: bool = False) -> None:
        super().__init__()
        check_positive(scale=scale)
        self.scale = scale
        self.intra = intra

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
        negatives_s, negatives_t = unit_rows(negatives_s), unit_rows(negatives_t)
        candidates_s, candidates_t = negatives_s, negatives_t
        if self.intra:
            candidates_s = torch.cat([negatives_s, negatives_t])
            candidates_t = torch.cat([negatives_t, negatives_s])
            behind_s = own_s + own_s.new_tensor([[0], [negatives_t.size(0)]])
            behind_t = own_t + own_t.new_tensor([[0], [negatives_s.size(0)]])
            own_s, own_t = torch.cat([own_s, behind_t], 1), torch.cat([own_t, behind_s], 1)

        share = pair_share(x_s, weight)  # [B]
        apply = _NormalizedLogSumExp.apply
        with torch.autocast(x_s.device.type, enabled=False):
            loss_s = apply(x_t, x_s, candidates_s, own_s, share, self.scale)
            loss_t = apply(x_s, x_t, candidates_t, own_t, share, self.scale)
        return loss_s + loss_t

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(scale={self.scale}, intra={self.intra})"


def _center_(score: Tensor, row: Tensor, col: Tensor) -> Tensor:
    """Subtracts each row's mean in place and returns its standard deviation ``[b, 1]``.

    The entries at (:obj:`row`, :obj:`col`) do not count.
    """
    count = score.size(1) - torch.bincount(row, minlength=score.size(0)).view(-1, 1)  # [b, 1]
    count = count.clamp_(min=1)
    score[row, col] = 0
    score.sub_(score.sum(dim=1, keepdim=True) / count)
    score[row, col] = 0
    std = torch.linalg.vector_norm(score, dim=1, keepdim=True) / count.to(score.dtype).sqrt()
    return std.clamp_(min=_MIN_STD)


class _NormalizedLogSumExp(torch.autograd.Function):
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
        scale: float,
    ) -> Tensor:
        value = anchor.new_zeros(())
        grad_anchor = torch.zeros_like(anchor)
        grad_positive = torch.zeros_like(positive)
        grad_candidates = torch.zeros_like(candidates)
        ctx.save_for_backward(grad_anchor, grad_positive, grad_candidates)
        if candidates.size(0) == 0:
            return value

        for start in range(0, anchor.size(0), _CHUNK_SIZE):
            rows = slice(start, start + _CHUNK_SIZE)
            x, y = anchor[rows], positive[rows]  # [b, D]
            inside = (own[0] >= start) & (own[0] < start + _CHUNK_SIZE)
            row, col = own[0, inside] - start, own[1, inside]
            offset = (x * y).sum(dim=1, keepdim=True)  # [b, 1]
            # d(i, j) - d(i, n) = 2 <x_i, x_n> - 2 <x_i, y_i> for rows of length one.
            score = torch.addmm(offset, x, candidates.t(), beta=-2, alpha=2)  # [b, M]
            slope = scale / _center_(score, row, col)  # [b, 1]
            score.mul_(slope)
            score[row, col] = torch.finfo(score.dtype).min
            top = score.amax(dim=1, keepdim=True)
            total = score.sub_(top).exp_().sum(dim=1, keepdim=True)
            part = share[rows].view(-1, 1)
            part = part.masked_fill(top == torch.finfo(score.dtype).min, 0)  # no negative left
            value += (part * (top + total.log())).sum()

            score.mul_(2 * part * slope / total)  # from here on the gradient of 2 <x_i, x_n>
            torch.mm(score, candidates, out=grad_anchor[rows])
            grad_candidates.addmm_(score.t(), x)
            pull = 2 * part * slope  # [b, 1]
            grad_anchor[rows].addcmul_(pull, y, value=-1)
            torch.mul(-pull, x, out=grad_positive[rows])
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grads = (grad * saved for saved in ctx.saved_tensors)
        return (*grads, None, None, None)
