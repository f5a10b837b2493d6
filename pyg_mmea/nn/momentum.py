"""A slowly moving copy of any module."""

from typing import Any, Self

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class MomentumEncoder(torch.nn.Module):
    r"""The momentum encoder of `"Momentum Contrast for Unsupervised Visual Representation Learning"
    <https://arxiv.org/abs/1911.05722>`_ (MoCo): a copy of the online encoder whose parameters
    follow it

    .. math::
        \theta_k \leftarrow m \, \theta_k + (1 - m) \, \theta_q

    while its buffers are copied. The copy is frozen, always in evaluation mode, never records a
    gradient and shares no memory with the online encoder. Call it as the encoder itself.

    Args:
        module (torch.nn.Module): The online encoder, copied at once.
        momentum (float, optional): The momentum :math:`m`, an attribute that a schedule may change.
            (default: :obj:`0.999`)

    Raises:
        ValueError: If the momentum is not in :math:`[0, 1]`.
    """

    def __init__(self, module: torch.nn.Module, momentum: float = 0.999) -> None:
        super().__init__()
        if not 0 <= momentum <= 1:
            raise ValueError(f"'momentum' needs to be in [0, 1] (got {momentum})")
        self.momentum = momentum
        self.averaged = AveragedModel(module, multi_avg_fn=self._follow)
        # At zero, the first update would copy the online encoder instead of following it.
        self.averaged.n_averaged.fill_(1)
        self.averaged.requires_grad_(False)
        self.eval()

    def _follow(self, copy: Any, online: Any, num_averaged: Any) -> None:
        get_ema_multi_avg_fn(self.momentum)(copy, online, num_averaged)

    @property
    def module(self) -> torch.nn.Module:
        """The copy itself."""
        return self.averaged.module

    def update(self, module: torch.nn.Module) -> None:
        """Moves the copy towards the online encoder; once per optimiser step."""
        self.averaged.update_parameters(module)

    @torch.no_grad()
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the copy, without gradients."""
        return self.averaged(*args, **kwargs)

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode, whatever :obj:`mode` is."""
        return super().train(False)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.module}, momentum={self.momentum})"
