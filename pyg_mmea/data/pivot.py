"""Seeds for a pair of graphs without any known link."""

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.transforms import BaseTransform

from pyg_mmea.data.split import split_seeds
from pyg_mmea.typing import ANCHOR_EDGE, SIDES
from pyg_mmea.utils.matching import Matches, mutual_nearest


class PivotAnchors(BaseTransform):
    r"""Makes seeds of what looks or reads alike, the visual pivoting of `"Visual Pivoting for
    (Unsupervised) Entity Alignment" <https://arxiv.org/abs/2009.13603>`_ (EVA, section 3.4), for
    any modality: of the pairs of entities that are each other's nearest neighbours by CSLS of
    their features, those with the highest scores become training and validation links.

    All links that were known become test links, whatever they were before, as nothing may be
    learned from them; a pair that is among them counts as a seed alone. Seeds that are made this
    way are wrong now and then. Confidence is calibrated on such seeds, too, so a precision that is
    promised is one against what looks alike, not against the truth, and metrics of validation links
    are, too. :obj:`pivot` of the links is :obj:`modality` then.

    Args:
        modality (str): The modality to compare, such as :obj:`"image"` or :obj:`"name"`.
        num_links (int, optional): Number of seeds; fewer if there are fewer such pairs.
            (default: :obj:`None`, which means a tenth of the smaller number of entities that have
            the modality)
        val_ratio (float): Fraction of the seeds that validate. (default: :obj:`0.1`)
        csls_k (int): Neighbourhood of CSLS. (default: :obj:`10`)
        split_seed (int): Seed of the draw of validation links. (default: :obj:`0`)

    Raises:
        ValueError: If :obj:`num_links` is below one, or if the data lack the modality.
    """

    def __init__(
        self,
        modality: str,
        num_links: int | None = None,
        val_ratio: float = 0.1,
        csls_k: int = 10,
        split_seed: int = 0,
    ) -> None:
        if num_links is not None and num_links < 1:
            raise ValueError(f"'num_links' needs to be at least 1 (got {num_links})")
        self.modality = modality
        self.num_links = num_links
        self.val_ratio = val_ratio
        self.csls_k = csls_k
        self.split_seed = split_seed

    def forward(self, data: HeteroData) -> HeteroData:
        matches, num_entities = self._match(data)
        num_links = self.num_links or max(num_entities // 10, 1)
        seeds = matches.index[:, :num_links]
        anchors = data[ANCHOR_EDGE]
        known = anchors.edge_label_index
        links, place = torch.cat([seeds.to(known), known], dim=1).unique(dim=1, return_inverse=True)
        is_seed = torch.zeros(links.size(1), dtype=torch.bool)
        is_seed[place[: seeds.size(1)].cpu()] = True
        masks = split_seeds(is_seed, self.val_ratio, self.split_seed)
        for key in list(anchors.keys()):
            del anchors[key]
        anchors.edge_label_index = links
        anchors.pivot = self.modality
        for name, mask in zip(("train", "val", "test"), masks, strict=True):
            anchors[f"{name}_mask"] = mask.to(links.device)
        return data

    def _match(self, data: HeteroData) -> tuple[Matches, int]:
        """Returns pairs by global ids, best first, and how many could be there at most."""
        rows: list[Tensor] = []
        ids: list[Tensor] = []
        for side in SIDES:
            if f"x_{self.modality}" not in data[side]:
                there = [str(key)[2:] for key in data[side] if str(key).startswith("x_")]
                raise ValueError(
                    f"'data' needs features of '{self.modality}' (the {side} has {there})"
                )
            x, mask = data[side][f"x_{self.modality}"], data[side][f"{self.modality}_mask"]
            ids.append(mask.nonzero().view(-1))
            rows.append((x.to_dense() if x.layout != torch.strided else x)[ids[-1]])
        if min(part.numel() for part in ids) == 0:
            raise ValueError(f"'data' needs entities with '{self.modality}' (got none)")
        matches = mutual_nearest(rows[0], rows[1], self.csls_k)
        index = torch.stack([part[end] for part, end in zip(ids, matches.index, strict=True)])
        return matches._replace(index=index), min(part.numel() for part in ids)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}('{self.modality}', num_links={self.num_links})"
