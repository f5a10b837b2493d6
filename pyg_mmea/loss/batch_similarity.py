"""The similarities of a batch of links, computed once for all losses that look at them."""

from functools import cached_property

from torch import Tensor

from pyg_mmea.loss._pairs import products
from pyg_mmea.utils.similarity import unit_rows


class BatchSimilarity:
    r"""Cosines among the ends of a batch of links, in three blocks, each of which is computed when
    it is first asked for. :class:`~pyg_mmea.loss.InfoNCELoss` and
    :class:`~pyg_mmea.loss.AlignmentKLLoss` share them through their method :meth:`of`. Never in
    half precision, under autocast neither.

    Args:
        x_s (torch.Tensor): Source embeddings, row :math:`i` belongs to link :math:`i`
            :math:`(B, D)`.
        x_t (torch.Tensor): Target embeddings :math:`(B, D)`.
    """

    def __init__(self, x_s: Tensor, x_t: Tensor) -> None:
        self.unit_s, self.unit_t = unit_rows(x_s), unit_rows(x_t)

    @property
    def num_links(self) -> int:
        """Number of links :math:`B`."""
        return self.unit_s.size(0)

    @cached_property
    def inter(self) -> Tensor:
        """Sources by targets :math:`(B, B)`."""
        return products(self.unit_s, self.unit_t)

    @cached_property
    def own_s(self) -> Tensor:
        """Sources by sources :math:`(B, B)`."""
        return products(self.unit_s, self.unit_s)

    @cached_property
    def own_t(self) -> Tensor:
        """Targets by targets :math:`(B, B)`."""
        return products(self.unit_t, self.unit_t)

    def detached(self) -> "BatchSimilarity":
        """Returns the same similarities as constants, not computed again."""
        constant = BatchSimilarity(self.unit_s.detach(), self.unit_t.detach())
        for block in ("inter", "own_s", "own_t"):
            constant.__dict__[block] = getattr(self, block).detach()
        return constant

    def nothing(self) -> Tensor:
        """Returns zero with a gradient path, the loss of no link."""
        return self.unit_s[:0].sum() + self.unit_t[:0].sum()
