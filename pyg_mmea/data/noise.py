"""Noise put into a pair of graphs, to see what a method does about it."""

from abc import abstractmethod

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.data.storage import NodeStorage
from torch_geometric.transforms import BaseTransform

from pyg_mmea.typing import ANCHOR_EDGE, SIDES

_NOISE = 0x6E6F697365


class CorruptSeeds(BaseTransform):
    """Makes seeds wrong: a fraction of training and validation links trade their targets among
    themselves. The links that were right about these entities are no longer known.

    Args:
        ratio (float): Fraction of the seeds that trade; of links that are not one-to-one, some may
            be right nevertheless. A single one has nobody to trade with.
        noise_seed (int): Seed of the draw. (default: :obj:`0`)

    Raises:
        ValueError: If :obj:`ratio` is not in [0, 1].
    """

    def __init__(self, ratio: float, noise_seed: int = 0) -> None:
        self.ratio, self.noise_seed = _checked_ratio(ratio), noise_seed

    def forward(self, data: HeteroData) -> HeteroData:
        generator = _generator(self.noise_seed)
        anchors = data[ANCHOR_EDGE]
        links = anchors.edge_label_index.clone()
        seeds = (anchors.train_mask | anchors.val_mask).nonzero().view(-1).cpu()
        chosen = _draw(seeds, self.ratio, generator).to(links.device)
        links[1, chosen] = links[1, chosen.roll(1)]  # a cycle, so that none stays
        anchors.edge_label_index = links
        return data

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.ratio})"


class _CorruptFeatures(BaseTransform):
    def __init__(self, modality: str, ratio: float, noise_seed: int = 0) -> None:
        self.modality, self.ratio, self.noise_seed = modality, _checked_ratio(ratio), noise_seed

    def forward(self, data: HeteroData) -> HeteroData:
        generator = _generator(self.noise_seed)
        for side in SIDES:
            store = data[side]
            if f"x_{self.modality}" not in store:
                raise ValueError(f"'data' needs features of '{self.modality}' (got none in {side})")
            have = store[f"{self.modality}_mask"].nonzero().view(-1).cpu()
            self._corrupt(store, _draw(have, self.ratio, generator))
        return data

    @abstractmethod
    def _corrupt(self, store: NodeStorage, chosen: Tensor) -> None: ...

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}('{self.modality}', {self.ratio})"


class SwapFeatures(_CorruptFeatures):
    """Gives a fraction of the entities of each graph the features of another one of them, as where
    pictures were mixed up.

    Args:
        modality (str): Such as :obj:`"image"`.
        ratio (float): Fraction of the entities that have the modality.
        noise_seed (int): Seed of the draw. (default: :obj:`0`)

    Raises:
        ValueError: If :obj:`ratio` is not in [0, 1], or if the data lack the modality.
    """

    def _corrupt(self, store: NodeStorage, chosen: Tensor) -> None:
        rows = torch.arange(store[f"{self.modality}_mask"].numel())
        rows[chosen] = chosen.roll(1)
        store[f"x_{self.modality}"] = _rows(store[f"x_{self.modality}"], rows)


class HideFeatures(_CorruptFeatures):
    """Takes the features of a modality away from a fraction of the entities of each graph.

    Args:
        modality (str): Such as :obj:`"image"`.
        ratio (float): Fraction of the entities that have the modality.
        noise_seed (int): Seed of the draw. (default: :obj:`0`)

    Raises:
        ValueError: If :obj:`ratio` is not in [0, 1], or if the data lack the modality.
    """

    def _corrupt(self, store: NodeStorage, chosen: Tensor) -> None:
        x, mask = store[f"x_{self.modality}"], store[f"{self.modality}_mask"].clone()
        mask[chosen.to(mask.device)] = False
        store[f"{self.modality}_mask"] = mask
        store[f"x_{self.modality}"] = _masked(x, mask)


def _generator(seed: int) -> torch.Generator:
    # A split of the same seed must not draw the same links, or all of those that validate are hit.
    return torch.Generator().manual_seed(seed + _NOISE)


def _checked_ratio(ratio: float) -> float:
    if not 0 <= ratio <= 1:
        raise ValueError(f"'ratio' needs to be in [0, 1] (got {ratio})")
    return ratio


def _draw(index: Tensor, ratio: float, generator: torch.Generator) -> Tensor:
    """A fraction of the entries, in random order."""
    order = torch.randperm(index.numel(), generator=generator)
    return index[order[: round(ratio * index.numel())]]


def _rows(x: Tensor, rows: Tensor) -> Tensor:
    rows = rows.to(x.device)
    if x.layout == torch.strided:
        return x[rows]
    return x.index_select(0, rows).coalesce()


def _masked(x: Tensor, mask: Tensor) -> Tensor:
    if x.layout == torch.strided:
        return x * mask.view(-1, 1)
    kept = mask[x.indices()[0]]
    return torch.sparse_coo_tensor(
        x.indices()[:, kept], x.values()[kept], x.shape, is_coalesced=True
    )
