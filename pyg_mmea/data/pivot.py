"""Seeds of what looks or reads alike."""

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.transforms import BaseTransform

from pyg_mmea.data.split import split_seeds
from pyg_mmea.typing import ANCHOR_EDGE, SIDES
from pyg_mmea.utils.matching import Matches, mutual_nearest
from pyg_mmea.utils.pairs import contains, judge, unconfirmed_links

_VAL_RATIO = 0.1


class PivotAnchors(BaseTransform):
    r"""Makes seeds of what looks or reads alike, the visual pivoting of `"Visual Pivoting for
    (Unsupervised) Entity Alignment" <https://arxiv.org/abs/2009.13603>`_ (EVA, section 3.4), for
    any modality: of the pairs of entities that are each other's nearest neighbours by CSLS of
    their features, those with the highest scores become seeds. Seeds that are made this way are
    wrong now and then.

    **Without a known link**, they become training and validation links. Links that were known all
    the same become test links, whatever they were before, as nothing may be learned from them; a
    pair that is among them counts as a seed alone. Confidence is calibrated on such seeds, too, so
    a precision that is promised is one against what looks alike, not against the truth, and metrics
    of validation links are, too.

    **With few known links** (:obj:`keep_known`), training and validation links stay what they are,
    and pairs of two entities that none of them names train beside them; a test link among these is
    none any more. Known links alone validate, so that confidence and promises are against the
    truth. They are approximate: the entities of validation links are spared by such seeds, wrong
    ones among them, and those that are left are harder. Known links also tell what such seeds are
    worth: of all ends of pairs that score as high as the last one that trains, :obj:`pivot_judged`
    of the links has how many are in a right pair, and how many in a known link.

    :obj:`pivot` of the links is :obj:`modality` then, and :obj:`pivot_mask` tells which of them are
    made this way.

    Args:
        modality (str): The modality to compare, such as :obj:`"image"` or :obj:`"name"`.
        num_links (int, optional): Number of seeds; fewer if there are fewer such pairs.
            (default: :obj:`None`, which means a tenth of the smaller number of entities that have
            the modality)
        val_ratio (float, optional): Fraction of the seeds that validate.
            (default: :obj:`None`, which means a tenth without known links, and none with them)
        csls_k (int): Neighbourhood of CSLS. (default: :obj:`10`)
        split_seed (int): Seed of the draw of validation links, without :obj:`keep_known`.
            (default: :obj:`0`)
        keep_known (bool): Whether known training and validation links stay such.
            (default: :obj:`False`)

    Raises:
        ValueError: If :obj:`num_links` is below one, if :obj:`val_ratio` is given with
            :obj:`keep_known`, if the data lack the modality, or if their links are made this way
            already and :obj:`keep_known` would take them for known ones.
    """

    def __init__(
        self,
        modality: str,
        num_links: int | None = None,
        val_ratio: float | None = None,
        csls_k: int = 10,
        split_seed: int = 0,
        keep_known: bool = False,
    ) -> None:
        if num_links is not None and num_links < 1:
            raise ValueError(f"'num_links' needs to be at least 1 (got {num_links})")
        if keep_known and val_ratio is not None:
            raise ValueError(
                "'val_ratio' cannot be given with 'keep_known', where known links alone validate "
                f"(got {val_ratio})"
            )
        self.modality = modality
        self.num_links = num_links
        self.val_ratio = _VAL_RATIO if val_ratio is None else val_ratio
        self.csls_k = csls_k
        self.split_seed = split_seed
        self.keep_known = keep_known

    def forward(self, data: HeteroData) -> HeteroData:
        if self.keep_known and "pivot" in data[ANCHOR_EDGE]:
            raise ValueError(
                "'keep_known' needs known links, and there are some of 'PivotAnchors' by "
                f"'{data[ANCHOR_EDGE].pivot}' among those of 'data'"
            )
        matches, num_entities = self._match(data)
        alike = matches.index.cpu()  # best first
        anchors = data[ANCHOR_EDGE]
        device = anchors.edge_label_index.device
        given = anchors.edge_label_index.cpu()
        train, val = (given[:, anchors[f"{name}_mask"].cpu()] for name in ("train", "val"))
        known = torch.cat([train, val], dim=1) if self.keep_known else given[:, :0]
        judged, right = judge(alike, known)
        chosen = (~judged).nonzero().view(-1)[: self.num_links or max(num_entities // 10, 1)]
        pivots = alike[:, chosen]
        links = torch.cat([pivots, given], dim=1).unique(dim=1)
        is_pivot = contains(pivots, links)
        for key in list(anchors.keys()):
            del anchors[key]
        if self.keep_known:
            is_val = contains(val, links)
            is_train = contains(train, links) & ~is_val | is_pivot
            masks = is_train, is_val, ~(is_train | is_val)
            last = int(chosen[-1]) + 1 if chosen.numel() else alike.size(1)
            # By ends, since either one is enough to tell that a pair is wrong.
            named = [torch.isin(alike[i, :last], known[i]).sum() for i in range(2)]
            anchors.pivot_judged = [2 * int(right[:last].sum()), int(sum(named))]
        else:
            masks = split_seeds(is_pivot, self.val_ratio, self.split_seed)
        anchors.edge_label_index = links.to(device)
        anchors.pivot, anchors.pivot_mask = self.modality, is_pivot.to(device)
        for name, mask in zip(("train", "val", "test"), masks, strict=True):
            anchors[f"{name}_mask"] = mask.to(device)
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
        known = ", keep_known=True" if self.keep_known else ""
        return f"{self.__class__.__name__}('{self.modality}', num_links={self.num_links}{known})"


def pivot_note(data: HeteroData) -> str | None:
    """Says what nobody has confirmed of the links of a pair, a clause; :obj:`None` where
    :class:`PivotAnchors` made none."""
    anchors = data[ANCHOR_EDGE]
    if "pivot" not in anchors:
        return None
    if validates_on_pivots(data):
        return (
            f"training and validation links are what looks alike by '{anchors.pivot}': nobody has "
            "confirmed them"
        )
    num_pivots, num_train = unconfirmed_links(data).size(1), int(anchors.train_mask.sum())
    right, judged = anchors.pivot_judged
    worth = f"; of {judged} entities of known links in such pairs, {right} are paired right"
    return (
        f"{num_pivots} of {num_train} training links are what looks alike by '{anchors.pivot}': "
        f"nobody has confirmed them{worth if judged else ''}"
    )


def validates_on_pivots(data: HeteroData) -> bool:
    """Tells whether confidence is learned on links that nobody has confirmed."""
    anchors = data[ANCHOR_EDGE]
    return "pivot" in anchors and "pivot_judged" not in anchors
