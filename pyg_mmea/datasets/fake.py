"""A tiny generated pair with every modality, for tests."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch_geometric.data import HeteroData, InMemoryDataset
from torch_geometric.transforms import BaseTransform

from pyg_mmea.data.alignment import make_pair
from pyg_mmea.data.split import split_anchors
from pyg_mmea.data.tables import GraphTables
from pyg_mmea.typing import Modality

_DENSE = (Modality.IMAGE, Modality.NAME, Modality.RELATION_TEXT, Modality.ATTRIBUTE_TEXT)
_ALL = tuple(name.value for name in (Modality.RELATION, Modality.ATTRIBUTE, *_DENSE))


class FakeMMKG(InMemoryDataset):
    """Two noisy copies of one random graph, so that the links can be learned.

    Both graphs see the same triples, attributes and features, apart from noise, under local ids
    of their own. Nothing is read or written.

    Args:
        num_links (int): Entities that both graphs have. (default: :obj:`60`)
        num_dangling (int): Further entities of each graph without a counterpart.
            (default: :obj:`6`)
        num_relations (int): Relations. (default: :obj:`5`)
        num_attributes (int): Attributes. (default: :obj:`8`)
        avg_degree (float): Triples per entity. (default: :obj:`4.0`)
        num_channels (int): Size of the dense features. (default: :obj:`16`)
        noise (float): Fraction of triples and attributes that a graph lacks, and standard
            deviation of what is added to dense features, whose own is 1. (default: :obj:`0.1`)
        missing (float): Fraction of the entities without a dense feature, drawn for each
            modality. (default: :obj:`0.15`)
        features (Sequence[str]): Modalities to make. (default: all)
        seed_ratio (float): Fraction of the links that are seeds. (default: :obj:`0.3`)
        val_ratio (float): Fraction of the seeds that validate. (default: :obj:`0.1`)
        split_seed (int): Seed of the split. (default: :obj:`0`)
        seed (int): Seed of everything else. (default: :obj:`0`)
        transform (Callable, optional): Applied at every access. (default: :obj:`None`)
    """

    def __init__(
        self,
        num_links: int = 60,
        num_dangling: int = 6,
        num_relations: int = 5,
        num_attributes: int = 8,
        avg_degree: float = 4.0,
        num_channels: int = 16,
        noise: float = 0.1,
        missing: float = 0.15,
        features: Sequence[str] = _ALL,
        seed_ratio: float = 0.3,
        val_ratio: float = 0.1,
        split_seed: int = 0,
        seed: int = 0,
        transform: BaseTransform | Callable[[HeteroData], HeteroData] | None = None,
    ) -> None:
        super().__init__(None, transform)
        for name, value in (("noise", noise), ("missing", missing)):
            if not 0 <= value < 1:
                raise ValueError(f"'{name}' needs to be in [0, 1) (got {value})")
        if num_links < 1:
            raise ValueError(f"'num_links' needs to be positive (got {num_links})")
        make = _GraphMaker(num_links, num_dangling, noise, missing, seed)
        make.draw_concepts(num_relations, num_attributes, avg_degree, num_channels)
        source, source_links = make.graph("source")
        target, target_links = make.graph("target")
        self._data = make_pair(
            source,
            target,
            torch.stack([source_links, target_links]),
            split_anchors(num_links, seed_ratio, val_ratio, split_seed),
            features=features,
            dataset="FakeMMKG",
        )


class _GraphMaker:
    """Draws a graph of concepts and noisy copies of it.

    Concepts are numbered: first the linked ones, then what only the source has, then what only
    the target has.
    """

    def __init__(
        self, num_links: int, num_dangling: int, noise: float, missing: float, seed: int
    ) -> None:
        self.num_links, self.num_dangling = num_links, num_dangling
        self.noise, self.missing = noise, missing
        self.generator = torch.Generator().manual_seed(seed)

    def draw_concepts(
        self, num_relations: int, num_attributes: int, avg_degree: float, num_channels: int
    ) -> None:
        self.num_concepts = self.num_links + 2 * self.num_dangling
        self.num_relations = num_relations
        size = (round(avg_degree * self.num_concepts),)
        highs = (self.num_concepts, num_relations, self.num_concepts)
        columns = [torch.randint(high, size, generator=self.generator) for high in highs]
        self.triples = torch.stack(columns, dim=1)
        self.attributes = self._rand(self.num_concepts, num_attributes) < 0.4
        self.dense = {name: self._randn(self.num_concepts, num_channels) for name in _DENSE}

    def graph(self, side: str) -> tuple[GraphTables, Tensor]:
        """A copy, and the local ids of the linked entities."""
        first_own = self.num_links + (self.num_dangling if side == "target" else 0)
        own = torch.arange(first_own, first_own + self.num_dangling)
        concepts = torch.cat([torch.arange(self.num_links), own])
        concepts = concepts[torch.randperm(concepts.numel(), generator=self.generator)]
        local = torch.full((self.num_concepts,), -1)
        local[concepts] = torch.arange(concepts.numel())

        triples = self.triples.clone()
        triples[:, [0, 2]] = local[triples[:, [0, 2]]]
        kept = (triples >= 0).all(dim=1) & (self._rand(len(triples)) >= self.noise)
        has = self.attributes[concepts]
        has &= self._rand(*has.shape) >= self.noise
        features = {}
        for name, x in self.dense.items():
            mask = self._rand(concepts.numel()) >= self.missing
            noisy = x[concepts] + self.noise * self._randn(concepts.numel(), x.size(1))
            features[name.value] = (noisy * mask.view(-1, 1), mask)
        tables = GraphTables(
            uri=[f"http://{side}.example/entity/{i}" for i in range(concepts.numel())],
            triples=triples[kept],
            relation_uri=[f"http://fake.example/relation/{i}" for i in range(self.num_relations)],
            attributes=has.nonzero(),
            attribute_uri=[f"http://fake.example/attribute/{i}" for i in range(has.size(1))],
            name=[f"thing {concept}" for concept in concepts.tolist()],
            features=features,
        )
        return tables, local[: self.num_links]

    def _rand(self, *size: int) -> Tensor:
        return torch.rand(*size, generator=self.generator)

    def _randn(self, *size: int) -> Tensor:
        return torch.randn(*size, generator=self.generator)
