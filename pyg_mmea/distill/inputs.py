"""What a student looks at: features of an entity, and means of those of its neighbours."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_mmea.nn import PairSpec
from pyg_mmea.typing import RELATION_EDGE, SIDES

MAX_HOPS = 2
# The neighbourhoods whose means are inputs, by the number of hops.
_NEAR: dict[int, tuple[str, ...]] = {
    0: (),
    1: ("tails", "heads"),
    2: ("tails", "heads", "two_hops"),
}


@dataclass(frozen=True)
class InputSpec:
    """Names and sizes of the inputs of a student.

    An input :obj:`"<modality>"` is the features of the entity itself, :obj:`"<modality>_tails"`
    and :obj:`"<modality>_heads"` are means over what its triples point at and over what points at
    it, and :obj:`"<modality>_two_hops"` is the mean over its neighbours of their neighbours' mean.

    Args:
        channels (dict[str, int]): Size of the features of each modality.
        bags (list[str]): The modalities that are counts; the others are dense features.
        hops (int): How far a student sees: 0, 1 or 2. (default: :obj:`2`)
        vocabulary (dict[str, list[str]]): What the columns of bags count, where the pair says so.
            (default: :obj:`{}`)

    Raises:
        ValueError: If there is no modality, or :obj:`hops` is none of these.
    """

    channels: dict[str, int]
    bags: list[str]
    hops: int = 2
    vocabulary: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.channels:
            raise ValueError("'channels' needs to have at least one modality (got none)")
        if self.hops not in _NEAR:
            raise ValueError(f"'hops' needs to be in [0, {MAX_HOPS}] (got {self.hops})")
        if len(self.fields) < len(self.channels) * (1 + len(_NEAR[self.hops])):
            raise ValueError(f"'channels' gives two inputs one name (got {list(self.channels)})")
        if not isinstance(self.vocabulary, dict):  # a file may hold anything
            raise TypeError(f"'vocabulary' needs to be a dict (got {type(self.vocabulary)})")

    @classmethod
    def from_data(
        cls, data: HeteroData, modalities: Sequence[str] | None = None, hops: int = 2
    ) -> Self:
        """Reads the sizes off a pair; what is sparse there is a bag.

        Args:
            data (HeteroData): The pair.
            modalities (Sequence[str], optional): Which modalities to take.
                (default: :obj:`None`, which means all)
            hops (int): See above. (default: :obj:`2`)

        Raises:
            ValueError: If the pair lacks one of them, or has none at all.
        """
        known = PairSpec.from_data(data).in_channels
        names = list(known) if modalities is None else list(dict.fromkeys(modalities))
        missing = [name for name in names if name not in known]
        if missing or not names:
            raise ValueError(
                f"'modalities' needs to be of {sorted(known)}, the features that the entities of "
                f"both graphs have (got {missing})"
            )
        bags = [name for name in names if data["source"][f"x_{name}"].layout != torch.strided]
        vocabulary = {
            name: list(data[f"{name}_vocabulary"]) for name in bags if f"{name}_vocabulary" in data
        }
        return cls({name: known[name] for name in names}, bags, hops, vocabulary)

    @property
    def fields(self) -> dict[str, str]:
        """The modality of each input, by name of the input."""
        places = ("", *(f"_{near}" for near in _NEAR[self.hops]))
        return {f"{name}{place}": name for name in self.channels for place in places}

    def check(self, data: HeteroData) -> None:
        """Makes sure that a pair has these features.

        Raises:
            ValueError: If it lacks some, if their size is another one, or if bags count something
                else.
        """
        for name, columns in self.vocabulary.items():
            key = f"{name}_vocabulary"
            if key not in data or list(data[key]) != columns:
                raise ValueError(
                    f"'data' needs to have the '{key}' of the run, in the same order, since these "
                    f"are the columns of 'x_{name}'"
                )
        for side in SIDES:
            for name, size in self.channels.items():
                x = data[side].get(f"x_{name}")
                if x is None or x.size(1) != size:
                    found = "none" if x is None else x.size(1)
                    raise ValueError(
                        f"'data' needs to have 'x_{name}' of size {size} for each {side} entity "
                        f"(got {found})"
                    )


def entity_inputs(data: HeteroData, side: str, spec: InputSpec) -> dict[str, Tensor]:
    r"""Computes the inputs of all entities of one graph, as in `"SIGN: Scalable Inception Graph
    Neural Networks" <https://arxiv.org/abs/2004.11198>`_: messages are passed once, over features,
    and whatever is learned comes after. Neighbours that lack a modality are left out of its means;
    parallel triples count once. Sparse bags have sparse means.

    Args:
        data (HeteroData): The pair.
        side (str): :obj:`"source"` or :obj:`"target"`.
        spec (InputSpec): Which inputs.

    Returns:
        dict: Each input :math:`(N, D)` by name, and with :obj:`"_mask"` behind it which entities
        have it :math:`(N)` *(bool)*; the other rows are zeros.

    Raises:
        ValueError: If the pair lacks a modality.
    """
    spec.check(data)
    store = data[side]
    # As (receiver, neighbour): an entity receives from the tails of its triples.
    tails = _distinct(data[RELATION_EDGE[side]].edge_index, store.num_nodes)
    both = _distinct(torch.cat([tails, tails.flip(0)], dim=1), store.num_nodes)
    out: dict[str, Tensor] = {}
    for name in spec.channels:
        x, mask = store[f"x_{name}"], store.get(f"{name}_mask")
        if mask is None:
            mask = torch.ones(store.num_nodes, dtype=torch.bool, device=x.device)
        if name in spec.bags and x.layout != torch.strided:
            x = x.to_sparse_coo().coalesce()
        found = {"": (x, mask)}
        if spec.hops >= 1:
            found["_tails"] = _mean(tails, x, mask)
            found["_heads"] = _mean(tails.flip(0), x, mask)
        if spec.hops >= 2:
            found["_two_hops"] = _mean(both, *_mean(both, x, mask))
        for place, (value, has) in found.items():
            out[f"{name}{place}"], out[f"{name}{place}_mask"] = value, has
    return out


def _distinct(edges: Tensor, num_nodes: int) -> Tensor:
    key = torch.unique(edges[0] * num_nodes + edges[1])
    return torch.stack([key // num_nodes, key % num_nodes])


def _mean(edges: Tensor, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The mean over the neighbours that have a modality, and who has such neighbours."""
    edges = edges[:, mask[edges[1]]]
    num_nodes = x.size(0)
    count = torch.bincount(edges[0], minlength=num_nodes)  # [N]
    share = count[edges[0]].to(x.dtype).reciprocal()
    matrix = torch.sparse_coo_tensor(
        edges, share, (num_nodes, num_nodes), check_invariants=False
    ).coalesce()
    near = torch.sparse.mm(matrix, x)
    return near.coalesce() if near.is_sparse else near, count > 0


def take_rows(inputs: dict[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    """The inputs of some entities, sparse ones as dense :math:`(B, D)`."""
    return {
        name: part.to_dense() if (part := x.index_select(0, rows)).is_sparse else part
        for name, x in inputs.items()
    }
