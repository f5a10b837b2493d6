"""The student itself: a small network that knows no entity."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Dropout, Linear, ModuleDict, Parameter

from pyg_mmea.distill.inputs import InputSpec


class EntityEncoder(torch.nn.Module):
    r"""Embeds entities by their :func:`~pyg_mmea.distill.entity_inputs` alone: no parameter
    belongs to an entity, so that those that no training has seen are embedded like the others.

    Each input is prepared, a bag as :math:`\log(1 + \mathbf{x}_m)`, dense features by the mean and
    standard deviation of training, and scaled to unit length. With :math:`p_m` one where the
    entity has the input, else zero,

    .. math::
        \mathbf{h} = \mathbf{b} + \sum_m p_m \Big( \mathbf{W}_m
        \frac{\mathbf{x}_m}{\lVert \mathbf{x}_m \rVert} + \mathbf{b}_m \Big), \quad
        \mathbf{z} = \frac{\mathbf{h}}{\lVert \mathbf{h} \rVert}

    There is no hidden layer on purpose: with one, a student remembers the entities that it is
    trained on, and is worse with others.

    Args:
        spec (InputSpec): The inputs.
        channels (int, optional): Size of the embedding. (default: :obj:`64`)
        dropout (float, optional): Dropout probability of the prepared inputs.
            (default: :obj:`0.2`)

    Shapes:
        - **input:** a dictionary with each input :math:`(B, D_m)`, dense, and its mask :math:`(B)`
          *(bool)*
        - **output:** rows of unit length :math:`(B, C)`

    Raises:
        ValueError: If the size is below one or the probability not in [0, 1).
    """

    def __init__(self, spec: InputSpec, channels: int = 64, dropout: float = 0.2) -> None:
        super().__init__()
        if channels < 1:
            raise ValueError(f"'channels' needs to be positive (got {channels})")
        if not 0 <= dropout < 1:
            raise ValueError(f"'dropout' needs to be in [0, 1) (got {dropout})")
        self.spec = spec
        self.channels = channels
        self.dropout = dropout
        self.lins = ModuleDict()
        for field, name in spec.fields.items():
            self.lins[field] = Linear(spec.channels[name], channels)
            if name not in spec.bags:
                self.register_buffer(f"mean_{field}", torch.zeros(spec.channels[name]))
                self.register_buffer(f"scale_{field}", torch.ones(spec.channels[name]))
        self.bias = Parameter(torch.empty(channels))
        self.drop = Dropout(dropout)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Resets all learnable parameters."""
        for lin in self.lins.values():
            lin.reset_parameters()  # type: ignore[operator]
        torch.nn.init.zeros_(self.bias)

    @torch.no_grad()
    def standardize(self, graphs: Sequence[dict[str, Tensor]]) -> None:
        """Takes mean and standard deviation of the dense features of some graphs.

        Args:
            graphs (Sequence[dict]): The inputs of the entities of each graph.
        """
        for field, name in self.spec.fields.items():
            if name in self.spec.bags:
                continue
            x = torch.cat([inputs[field][inputs[f"{field}_mask"]] for inputs in graphs]).double()
            if x.size(0) == 0:
                continue
            std, mean = torch.std_mean(x, dim=0, correction=0)
            self.get_buffer(f"mean_{field}").copy_(mean)
            # A constant feature stays zero.
            self.get_buffer(f"scale_{field}").copy_(1 / std.masked_fill(std < 1e-6, torch.inf))

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Embeds entities."""
        h = self.bias
        for field, name in self.spec.fields.items():
            x, mask = inputs[field], inputs[f"{field}_mask"].unsqueeze(-1)
            if name in self.spec.bags:
                x = x.log1p()
            else:
                x = (x - self.get_buffer(f"mean_{field}")) * self.get_buffer(f"scale_{field}")
            x = self.lins[field](self.drop(F.normalize(x, dim=-1)))
            h = h + x.masked_fill(~mask, 0.0)
        return F.normalize(h, dim=-1)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({list(self.spec.fields)}, channels={self.channels}, "
            f"dropout={self.dropout})"
        )
