"""What an extension needs to know of a training, and a pair in its terms."""

import copy
import logging
from collections.abc import Mapping
from typing import NamedTuple, Self

import pandas as pd
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_mmea.data.fits import Fits, feature_fits
from pyg_mmea.nn.models import PairSpec
from pyg_mmea.typing import RELATION_EDGE, SIDES

logger = logging.getLogger(__name__)

_SAMPLE = 4096  # entities of a graph whose dense features are kept, to compare with
_SAME = 0.05  # median difference of features that mean the same, as a share of their length

Samples = dict[str, tuple[Tensor, Tensor]]


class Trained(NamedTuple):
    """What an extension needs to know of the pair that was trained on.

    Attributes:
        uri (dict[str, list[str]]): Entities of each graph, in their order.
        relations (list[str]): Relations of both graphs by joint id, see
            :class:`~pyg_mmea.nn.PairSpec`.
        in_channels (dict[str, int]): Size of the features of each modality.
        samples (dict): Of each modality with dense features, for each side some entities that
            have it, and their features.
    """

    uri: dict[str, list[str]]
    relations: list[str]
    in_channels: dict[str, int]
    samples: dict[str, Samples]

    @classmethod
    def of(cls, data: HeteroData) -> Self:
        """Takes notes of a pair."""
        in_channels = PairSpec.from_data(data).in_channels
        return cls(
            {side: list(data[side].uri) for side in SIDES},
            list(
                dict.fromkeys(u for edge in RELATION_EDGE.values() for u in data[edge].relation_uri)
            ),
            in_channels,
            {name: _sample(data, name) for name in in_channels if _is_dense(data, name)},
        )

    def places(self, data: HeteroData) -> dict[str, Tensor]:
        """Returns for each entity of another pair its id in this one, or -1 :math:`(N)`.

        Raises:
            ValueError: If a graph has no entity of this pair.
        """
        places: dict[str, Tensor] = {}
        for side in SIDES:
            ids = pd.Index(self.uri[side]).get_indexer(data[side].uri)
            places[side] = torch.from_numpy(ids).long()
            if bool((places[side] < 0).all()):
                raise ValueError(
                    f"'data' needs {side} entities that training had, by their URIs, such as "
                    f"'{self.uri[side][0]}' (got none)"
                )
        return places

    def today(self, places: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns for each entity of this pair its id in the other one, or -1."""
        today = {}
        for side, place in places.items():
            found = (place >= 0).nonzero().view(-1)
            today[side] = torch.full((len(self.uri[side]),), -1)
            today[side][place[found]] = found
        return today


def bring(
    data: HeteroData, trained: Trained, fits: Fits, today: Mapping[str, Tensor]
) -> HeteroData:
    """Returns a pair in the relations and modalities of the one that was trained on, whose features
    need to mean what they meant there: bags have the same columns, and dense features of entities
    that were there are the same.

    Args:
        data (HeteroData): The pair, which stays as it is.
        trained (Trained): What it is brought to.
        fits (dict): What the features of the training were fitted to.
        today (dict): See :meth:`Trained.today`.

    Raises:
        ValueError: If a modality is missing, or if its features mean something else.
    """
    out = copy.copy(data)
    _bring_relations(out, trained.relations)
    for name in PairSpec.from_data(out).in_channels.keys() - trained.in_channels.keys():
        for side in SIDES:
            del out[side][f"x_{name}"]
    own = feature_fits(data)
    for name, size in trained.in_channels.items():
        if any(f"x_{name}" not in out[side] for side in SIDES):
            raise ValueError(f"'data' needs features of '{name}', as in training (got none)")
        if (found := out["source"][f"x_{name}"].size(1)) != size:
            raise ValueError(f"'x_{name}' needs {size} columns, as in training (got {found})")
        columns = [each.get(name, {}).get("vocabulary") for each in (fits, own)]
        differs = name in trained.samples and _differs(out, name, trained.samples[name], today)
        if columns[0] != columns[1] or differs:
            raise ValueError(
                f"'x_{name}' needs to mean what it meant in training; build the pair with "
                "'fitted', as 'align --extend' does, and texts without 'tfidf', which counts over "
                "all of them"
            )
    return out


def _bring_relations(data: HeteroData, relations: list[str]) -> None:
    joint = {uri: i for i, uri in enumerate(relations)}
    for edge in RELATION_EDGE.values():
        store = data[edge]
        new = torch.tensor([joint.get(uri, -1) for uri in store.relation_uri], dtype=torch.long)
        edge_type = new[store.edge_type]
        kept = edge_type >= 0
        if not bool(kept.all()):
            logger.warning(
                "left out %d triples of the %s graph, of relations that training did not see",
                int((~kept).sum()),
                edge[0],
            )
        store.edge_index, store.edge_type = store.edge_index[:, kept], edge_type[kept]
        store.relation_uri = relations


def tell_difference(trained: Mapping[str, list[str]], data: HeteroData) -> str:
    """Says how the entities of a pair differ from those that were trained on.

    Args:
        trained (dict): URIs of each graph in training.
        data (HeteroData): The pair.
    """
    before = {(side, uri) for side in SIDES for uri in trained[side]}
    now = {(side, uri) for side in SIDES for uri in data[side].uri}
    if before == now:
        return "its entities are in another order"
    return f"its entities differ: {len(now - before)} came, and {len(before - now)} are gone"


def _is_dense(data: HeteroData, name: str) -> bool:
    return data["source"][f"x_{name}"].layout == torch.strided


def _sample(data: HeteroData, name: str) -> Samples:
    generator = torch.Generator().manual_seed(0)
    samples: Samples = {}
    for side in SIDES:
        having = data[side][f"{name}_mask"].nonzero().view(-1).cpu()
        chosen = having[torch.randperm(having.numel(), generator=generator)[:_SAMPLE]]
        samples[side] = chosen, data[side][f"x_{name}"][chosen].float().cpu()
    return samples


def _differs(data: HeteroData, name: str, samples: Samples, today: Mapping[str, Tensor]) -> bool:
    """Whether dense features of most entities that were there in training are not what they were;
    those of some may have been edited."""
    now, before = [], []
    for side, (ids, rows) in samples.items():
        at = today[side][ids]
        kept = at >= 0
        kept[kept.clone()] &= data[side][f"{name}_mask"][at[kept]]
        now.append(data[side][f"x_{name}"][at[kept]].float())
        before.append(rows[kept])
    x, y = torch.cat(now), torch.cat(before)
    if x.size(0) == 0:
        return False
    length = y.norm(dim=1).clamp(min=1e-12)
    return float(((x - y).norm(dim=1) / length).median()) > _SAME
