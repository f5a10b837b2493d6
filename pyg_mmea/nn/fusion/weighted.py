"""Joint embedding as a weighted concatenation of modality embeddings."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import Parameter

from pyg_mmea.utils.similarity import unit_rows

_POLICIES = ("zero", "renormalize", "noise")


class WeightedConcat(torch.nn.Module):
    r"""The joint embedding of `"Pseudo-Label Calibration Semi-supervised Multi-Modal Entity
    Alignment" <https://arxiv.org/abs/2403.01203>`_ (PCMEA), as in EVA and MCLEA.

    .. math::
        \mathbf{z}_i = \Big\Vert_{m=1}^{M} \mathrm{softmax}(\mathbf{w})_m
        \frac{\mathbf{h}_i^m}{\lVert \mathbf{h}_i^m \rVert}

    Args:
        modalities (Sequence[str]): The modalities in the order of the blocks of the output.
        channels (int or Sequence[int]): Size of the embedding of each modality.
        missing (str, optional): What stands for a modality that an entity lacks.
            :obj:`"zero"`: a zero block. :obj:`"renormalize"`: a zero block, and the weights of the
            modalities that the entity has are scaled to sum up to one. :obj:`"noise"`: a random
            direction, drawn anew at each call, to be compared with; published code draws features
            of these entities once, around the mean of the others. (default: :obj:`"zero"`)

    Shapes:
        - **input:** for each modality an embedding :math:`(N, D_m)` and optionally a mask
          :math:`(N)` *(bool)*, true where the entity has it
        - **output:** :math:`(N, \sum_m D_m)`

    Raises:
        ValueError: If there is no modality, one occurs twice, the number of sizes does not fit or
            the policy is unknown.
    """

    def __init__(
        self, modalities: Sequence[str], channels: int | Sequence[int], missing: str = "zero"
    ) -> None:
        super().__init__()
        self.modalities = [str(name) for name in modalities]
        num_modalities = len(self.modalities)
        if num_modalities == 0 or len(set(self.modalities)) < num_modalities:
            raise ValueError(f"'modalities' needs to hold distinct names (got {self.modalities})")
        sizes = [channels] * num_modalities if isinstance(channels, int) else list(channels)
        if len(sizes) != num_modalities:
            raise ValueError(
                f"'channels' needs to have {num_modalities} entries, one a modality (got {sizes})"
            )
        if missing not in _POLICIES:
            raise ValueError(f"'missing' needs to be one of {_POLICIES} (got '{missing}')")
        self.channels = sizes
        self.out_channels = sum(sizes)
        self.missing = missing
        self.weight = Parameter(torch.empty(num_modalities))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Gives all modalities the same weight."""
        torch.nn.init.ones_(self.weight)

    def forward(
        self,
        embeddings: Mapping[str, Tensor],
        masks: Mapping[str, Tensor] | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Computes the joint embedding.

        Args:
            embeddings (Mapping[str, torch.Tensor]): Embeddings by modality.
            masks (Mapping[str, torch.Tensor], optional): Masks by modality; a modality without one
                is present everywhere. (default: :obj:`None`)
            generator (torch.Generator, optional): Source of the noise of :obj:`missing="noise"`.
                Seed it differently for both graphs, or row :math:`i` of one gets the noise of row
                :math:`i` of the other. (default: :obj:`None`)

        Raises:
            ValueError: If a modality is missing or its size does not fit.
        """
        for name, size in zip(self.modalities, self.channels, strict=True):
            if name not in embeddings or embeddings[name].size(-1) != size:
                got = list(embeddings[name].size()) if name in embeddings else list(embeddings)
                raise ValueError(
                    f"'embeddings' needs to have '{name}' with shape [N, {size}] (got {got})"
                )
        blocks = [unit_rows(embeddings[name]) for name in self.modalities]  # M x [N, D_m]
        weight = self.weight.softmax(dim=0)  # [M]
        if masks is None or not any(name in masks for name in self.modalities):
            return torch.cat([block * weight[m] for m, block in enumerate(blocks)], dim=-1)

        full = blocks[0].new_ones(blocks[0].size(0), dtype=torch.bool)
        present = torch.stack([masks.get(name, full) for name in self.modalities], dim=1)  # [N, M]
        if self.missing == "noise":
            blocks = [
                torch.where(present[:, m : m + 1], block, _random_rows(block, generator))
                for m, block in enumerate(blocks)
            ]
            share = weight.expand_as(present)
        else:
            share = weight * present  # [N, M]
            if self.missing == "renormalize":
                total = share.sum(dim=1, keepdim=True)
                share = share / total.masked_fill(total == 0, 1.0)
        return torch.cat([block * share[:, m : m + 1] for m, block in enumerate(blocks)], dim=-1)

    def __repr__(self) -> str:
        sizes = ", ".join(
            f"{name}={size}" for name, size in zip(self.modalities, self.channels, strict=True)
        )
        return f"{self.__class__.__name__}({sizes}, missing='{self.missing}')"


def _random_rows(like: Tensor, generator: torch.Generator | None) -> Tensor:
    noise = torch.randn(like.size(), generator=generator, dtype=like.dtype, device=like.device)
    return unit_rows(noise)
