"""Learned weights of a sum of losses."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import Parameter


class UncertaintyWeighting(torch.nn.Module):
    r"""The weighting of `"Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry
    and Semantics" <https://arxiv.org/abs/1705.07115>`_, with learned log-variances :math:`s_m`:

    .. math::
        \mathcal{L} = \sum_m \exp(-s_m) \mathcal{L}_m + s_m

    At the optimum :math:`s_m = \log \mathcal{L}_m`, so this is for losses that stay above zero: a
    loss that can be negative (such as
    :class:`~pyg_mmea.loss.mutual_information.MutualInformationLoss`) has no optimum. Leave a loss
    that has no pairs out of the mapping, or its :math:`s_m` sinks as long as it is zero. Keep
    weight decay away from :obj:`log_variance`.

    Args:
        names (Sequence[str]): The names of the losses.

    Shapes:
        - **input:** scalar losses by name
        - **output:** scalar

    Raises:
        ValueError: If there is no name or one occurs twice.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = [str(name) for name in names]
        if not self.names or len(set(self.names)) < len(self.names):
            raise ValueError(f"'names' needs to hold distinct names (got {self.names})")
        self.log_variance = Parameter(torch.empty(len(self.names)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Gives all losses the weight one."""
        torch.nn.init.zeros_(self.log_variance)

    def forward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Returns the weighted sum over the losses that are there.

        Raises:
            ValueError: If there is no loss or one has an unknown name.
        """
        unknown = [name for name in losses if name not in self.names]
        if unknown or not losses:
            raise ValueError(
                f"'losses' needs to hold some of {self.names} and nothing else (got {list(losses)})"
            )
        total = self.log_variance.new_zeros(())
        for name, log_variance in zip(self.names, self.log_variance, strict=True):
            if name in losses:
                total = total + (-log_variance).exp() * losses[name] + log_variance
        return total

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({', '.join(self.names)})"
