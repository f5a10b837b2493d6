"""Transforms of a pair of graphs."""

from collections.abc import Iterable
from typing import Literal

from torch_geometric.data import HeteroData
from torch_geometric.transforms import BaseTransform

from pyg_mmea.typing import ANCHOR_EDGE, SIDES, SPLIT_MASKS, Modality


class HideAnchors(BaseTransform):
    """Keeps some of the links and leaves no trace of the others.

    Whatever trains or calibrates gets only the result of this transform.

    Args:
        keep (str): :obj:`"train"` or :obj:`"train+val"`. (default: :obj:`"train"`)

    Raises:
        ValueError: If :obj:`keep` is neither.
    """

    def __init__(self, keep: Literal["train", "train+val"] = "train") -> None:
        if keep not in ("train", "train+val"):
            raise ValueError(f"'keep' needs to be 'train' or 'train+val' (got '{keep}')")
        self.keep = keep

    def forward(self, data: HeteroData) -> HeteroData:
        # BaseTransform hands over a shallow copy, so the links of the original stay.
        anchors = data[ANCHOR_EDGE]
        kept = anchors.train_mask
        if self.keep == "train+val":
            kept = kept | anchors.val_mask
        hidden = {"edge_label_index": anchors.edge_label_index[:, kept]}
        hidden.update({key: anchors[key][kept] for key in SPLIT_MASKS})
        for key in list(anchors.keys()):
            del anchors[key]
        anchors.update(hidden)
        return data

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(keep='{self.keep}')"


class DropModality(BaseTransform):
    """Removes the features of modalities from both graphs.

    Labels and paths of pictures stay, since no model reads them.

    Args:
        names (str or Iterable[str]): Modalities; those of the library that the data lack are
            passed over.

    Raises:
        ValueError: If a name is neither one of those nor a modality of one's own in the data.
    """

    def __init__(self, names: str | Iterable[str]) -> None:
        self.names = [names] if isinstance(names, str) else list(names)

    def forward(self, data: HeteroData) -> HeteroData:
        allowed = [str(each) for each in Modality if each != Modality.STRUCTURE]
        for name in self.names:
            if name not in allowed and not any(f"x_{name}" in data[side] for side in SIDES):
                raise ValueError(
                    f"'names' needs to be among {', '.join(allowed)} or in the data (got '{name}')"
                )
            for side in SIDES:
                for key in (f"x_{name}", f"{name}_mask"):
                    data[side].pop(key, None)
            for key in (f"{name}_vocabulary", f"{name}_fit"):
                if key in data:
                    del data[key]
        return data

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.names})"
