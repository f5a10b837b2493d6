"""Dropout that spends little time on random numbers."""

import torch
import torch.nn.functional as F
from torch import Tensor


class ByteDropout(torch.nn.Module):
    r"""Dropout as in :class:`torch.nn.Dropout`, with one random byte an entry on a CPU, where
    drawing the mask costs more than everything else that dropout does. The probability is rounded
    to a multiple of 1/256, and what is kept is scaled by what was in fact kept.

    Args:
        p (float, optional): Probability of an entry to become zero. (default: :obj:`0.5`)

    Raises:
        ValueError: If the probability is not in :math:`[0, 1]`.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"'p' needs to be in [0, 1] (got {p})")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Drops entries of :obj:`x` in training."""
        threshold = round(self.p * 256)
        if not self.training or threshold in (0, 256) or x.device.type != "cpu":
            return F.dropout(x, self.p, self.training)
        words = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        kept = words.view(torch.uint8)[: x.numel()].view(x.size()) >= threshold
        return x * kept.to(x.dtype).mul_(256 / (256 - threshold))

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(p={self.p})"
