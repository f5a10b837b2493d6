"""What an extension needs to know of a training, and a pair in its terms."""

import copy
import logging
from collections.abc import Mapping
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_mmea.data.features import bag_mask
from pyg_mmea.nn.models import PairSpec
from pyg_mmea.typing import RELATION_EDGE, SIDES

logger = logging.getLogger(__name__)

_SAMPLE = 4096  # entities of a graph whose dense features are kept, to compare with
_SAME = 0.05  # median difference of features that mean the same, as a share of their length
_CLOSE = 0.3  # the one that a linear map may leave

Samples = dict[str, tuple[Tensor, Tensor]]


class Trained(NamedTuple):
    """What an extension needs to know of the pair that was trained on.

    Attributes:
        uri (dict[str, list[str]]): Entities of each graph, in their order.
        relations (list[str]): Relations of both graphs by joint id, see
            :class:`~pyg_mmea.nn.PairSpec`.
        vocabulary (dict[str, list[str]]): Columns of each bag by modality.
        in_channels (dict[str, int]): Size of the features of each modality.
        samples (dict): Of each modality with dense features, for each side some entities that
            have it, and their features.
    """

    uri: dict[str, list[str]]
    relations: list[str]
    vocabulary: dict[str, list[str]]
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
            {
                name: list(data[f"{name}_vocabulary"])
                for name in in_channels
                if f"{name}_vocabulary" in data
            },
            in_channels,
            {name: _sample(data, name) for name in in_channels if _is_dense(data, name)},
        )

    def places(self, data: HeteroData) -> dict[str, Tensor]:
        """Returns for each entity of another pair its id in this one, or -1 :math:`(N)`."""
        places: dict[str, Tensor] = {}
        for side in SIDES:
            known = {uri: i for i, uri in enumerate(self.uri[side])}
            places[side] = torch.tensor([known.get(uri, -1) for uri in data[side].uri])
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
    data: HeteroData,
    trained: Trained,
    today: Mapping[str, Tensor],
) -> HeteroData:
    """Returns a pair in the relations and features of the one that was trained on.

    Bags are brought to the columns of training. Where dense features of entities that were there in
    training are not what they were, as those of a projection that is fitted anew to all pictures,
    the linear map that fits half of these entities is taken, if it holds for the other half.

    Args:
        data (HeteroData): The pair, which stays as it is.
        trained (Trained): What it is brought to.
        today (dict): See :meth:`Trained.today`.

    Raises:
        ValueError: If a modality is missing, or if its features mean something else.
    """
    out = copy.copy(data)
    _bring_relations(out, trained.relations)
    for name in PairSpec.from_data(out).in_channels.keys() - trained.in_channels.keys():
        for side in SIDES:
            del out[side][f"x_{name}"]
    for name, size in trained.in_channels.items():
        if any(f"x_{name}" not in out[side] for side in SIDES):
            raise ValueError(f"'data' needs features of '{name}', as in training (got none)")
        if name in trained.vocabulary:
            if f"{name}_vocabulary" not in data:
                raise ValueError(f"'data' needs '{name}_vocabulary', as in training (got none)")
            _bring_bags(out, name, trained.vocabulary[name], data[f"{name}_vocabulary"])
        if (found := out["source"][f"x_{name}"].size(1)) != size:
            raise ValueError(f"'x_{name}' needs {size} columns, as in training (got {found})")
        if name in trained.samples:
            _bring_dense(out, name, trained.samples[name], today)
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


def _bring_bags(data: HeteroData, name: str, old: list[str], new: list[str]) -> None:
    if old == new:
        return
    column = {uri: i for i, uri in enumerate(old)}
    target = torch.tensor([column.get(uri, -1) for uri in new], dtype=torch.long)
    for side in SIDES:
        bag = data[side][f"x_{name}"].to_sparse_coo().coalesce()
        row, col = bag.indices()[0], target[bag.indices()[1]]
        kept = col >= 0
        bag = torch.sparse_coo_tensor(
            torch.stack([row, col])[:, kept], bag.values()[kept], (bag.size(0), len(old))
        ).coalesce()
        data[side][f"x_{name}"], data[side][f"{name}_mask"] = bag, bag_mask(bag)


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


def _bring_dense(
    data: HeteroData, name: str, samples: Samples, today: Mapping[str, Tensor]
) -> None:
    now, before = [], []
    for side, (ids, rows) in samples.items():
        at = today[side][ids]
        kept = at >= 0
        kept[kept.clone()] &= data[side][f"{name}_mask"][at[kept]]
        now.append(data[side][f"x_{name}"][at[kept]].float())
        before.append(rows[kept])
    x, y = torch.cat(now), torch.cat(before)
    if x.size(0) == 0 or _difference(x, y) < _SAME:
        return
    left = _difference(x[1::2] @ _linear_map(x[::2], y[::2]), y[1::2]) if len(x) > 1 else 1.0
    if left > _CLOSE:
        raise ValueError(
            f"'x_{name}' of entities that were trained on needs to be what it was in training (a "
            f"linear map leaves a median difference of {left:.0%}); features that are fitted to "
            "all texts or pictures cannot be extended"
        )
    change = _linear_map(x, y)
    for side in SIDES:
        data[side][f"x_{name}"] = data[side][f"x_{name}"] @ change.to(data[side][f"x_{name}"])


def _difference(x: Tensor, y: Tensor) -> float:
    """The median distance of rows, as a share of their length in training."""
    length = y.norm(dim=1).clamp(min=1e-12)
    return float(((x - y).norm(dim=1) / length).median())


def _linear_map(x: Tensor, y: Tensor) -> Tensor:
    """The ridge regression of one on the other."""
    gram = x.t().double() @ x.double()
    scale = gram.diagonal().mean().clamp(min=1e-12)
    ridge = 1e-6 * scale * torch.eye(x.size(1), dtype=torch.double)
    return torch.linalg.solve(gram + ridge, x.t().double() @ y.double()).float()
