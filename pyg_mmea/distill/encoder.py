"""The student itself: a small network that knows no entity."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Dropout, LayerNorm, Linear, ModuleDict

from pyg_mmea.distill.inputs import InputSpec


class EntityEncoder(torch.nn.Module):
    r"""Embeds entities by their :func:`~pyg_mmea.distill.entity_inputs` alone: no parameter
    belongs to an entity, so that those that no training has seen are embedded like the others.

    Each input :math:`\mathbf{x}_m` is prepared, a bag as :math:`\log(1 + \mathbf{x}_m)` of unit
    length, dense features by the mean and standard deviation of training. With :math:`p_m` one
    where the entity has the input, else zero,

    .. math::
        \mathbf{h} = \mathrm{GELU}(\mathrm{LN}(\mathbf{b} + \sum_m p_m (\mathbf{W}_m \mathbf{x}_m
        + \mathbf{b}_m))), \quad
        \mathbf{h}^{\prime} = \mathbf{h} + \mathrm{GELU}(\mathrm{LN}(\mathbf{W} \mathbf{h})),
        \quad \mathbf{z} = \frac{\mathbf{V} \mathbf{h}^{\prime}}
        {\lVert \mathbf{V} \mathbf{h}^{\prime} \rVert}

    Args:
        spec (InputSpec): The inputs.
        channels (int, optional): Size of the embedding. (default: :obj:`64`)
        hidden_channels (int, optional): Size of :math:`\mathbf{h}`. (default: :obj:`512`)
        dropout (float, optional): Dropout probability of hidden units; inputs have half of it.
            (default: :obj:`0.2`)

    Shapes:
        - **input:** a dictionary with each input :math:`(B, D_m)`, dense, and its mask :math:`(B)`
          *(bool)*
        - **output:** rows of unit length :math:`(B, C)`

    Raises:
        ValueError: If a size is below one or a probability not in [0, 1).
    """

    def __init__(
        self,
        spec: InputSpec,
        channels: int = 64,
        hidden_channels: int = 512,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        for name, size in (("channels", channels), ("hidden_channels", hidden_channels)):
            if size < 1:
                raise ValueError(f"'{name}' needs to be positive (got {size})")
        if not 0 <= dropout < 1:
            raise ValueError(f"'dropout' needs to be in [0, 1) (got {dropout})")
        self.spec = spec
        self.channels = channels
        self.hidden_channels = hidden_channels
        self.dropout = dropout
        self.lins = ModuleDict()
        for field, name in spec.fields.items():
            self.lins[field] = Linear(spec.channels[name], hidden_channels)
            if name not in spec.bags:
                self.register_buffer(f"mean_{field}", torch.zeros(spec.channels[name]))
                self.register_buffer(f"scale_{field}", torch.ones(spec.channels[name]))
        self.bias = torch.nn.Parameter(torch.empty(hidden_channels))
        self.norm = LayerNorm(hidden_channels)
        self.lin = Linear(hidden_channels, hidden_channels)
        self.lin_norm = LayerNorm(hidden_channels)
        self.lin_out = Linear(hidden_channels, channels)
        self.drop_input, self.drop = Dropout(dropout / 2), Dropout(dropout)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Resets all learnable parameters."""
        for layer in (*self.lins.values(), self.norm, self.lin, self.lin_norm, self.lin_out):
            layer.reset_parameters()  # type: ignore[operator]
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
            # Rows of about unit length, whatever the size; a constant feature stays zero.
            scale = x.size(1) ** -0.5 / std.masked_fill(std < 1e-6, torch.inf)
            self.get_buffer(f"mean_{field}").copy_(mean)
            self.get_buffer(f"scale_{field}").copy_(scale)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Embeds entities."""
        h: Any = self.bias
        for field, name in self.spec.fields.items():
            x, mask = inputs[field], inputs[f"{field}_mask"].unsqueeze(-1)
            if name in self.spec.bags:
                x = F.normalize(x.log1p(), dim=-1)
            else:
                x = (x - self.get_buffer(f"mean_{field}")) * self.get_buffer(f"scale_{field}")
            x = self.lins[field](self.drop_input(x))
            h = h + x.masked_fill(~mask, 0.0)
        h = F.gelu(self.norm(h))
        h = h + F.gelu(self.lin_norm(self.lin(self.drop(h))))
        return F.normalize(self.lin_out(self.drop(h)), dim=-1)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({list(self.spec.fields)}, channels={self.channels}, "
            f"hidden_channels={self.hidden_channels})"
        )
