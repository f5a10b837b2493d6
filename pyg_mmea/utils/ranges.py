"""Ranges of numbers, one behind the other."""

import torch
from torch import Tensor


def list_ranges(start: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Lists the numbers of ranges, such as the places of the entries of some rows of a CSR matrix.

    Args:
        start (torch.Tensor): First number of each range :math:`(R)`.
        count (torch.Tensor): How many numbers each range has :math:`(R)`.

    Returns:
        tuple: Of each of the :math:`T` numbers which range it is in, ascending :math:`(T)`, and the
        number itself :math:`(T)`.
    """
    which = torch.arange(count.numel(), device=count.device).repeat_interleave(count)
    within = torch.arange(which.numel(), device=count.device)
    return which, within + (start - (count.cumsum(0) - count))[which]
