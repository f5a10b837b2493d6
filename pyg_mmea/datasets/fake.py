"""A tiny generated pair with every modality, for tests."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch_geometric.data import HeteroData, InMemoryDataset

from pyg_mmea.data.alignment import make_pair
from pyg_mmea.data.split import split_anchors
from pyg_mmea.data.tables import GraphTables
from pyg_mmea.typing import Modality

_DENSE = (Modality.IMAGE, Modality.NAME, Modality.RELATION_TEXT, Modality.ATTRIBUTE_TEXT)
_ALL = (Modality.RELATION, Modality.ATTRIBUTE, *_DENSE)


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
        transform: Callable[[HeteroData], HeteroData] | None = None,
    ) -> None:
        super().__init__(None, transform)
        for name, value in (("noise", noise), ("missing", missing)):
            if not 0 <= value < 1:
                raise ValueError(f"'{name}' needs to be in [0, 1) (got {value})")
        if num_links < 1:
            raise ValueError(f"'num_links' needs to be positive (got {num_links})")
        self._generator = torch.Generator().manual_seed(seed)
        self._noise, self._missing = noise, missing

        # Concepts: the linked ones, then what only the source has, then what only the target has.
        num_concepts = num_links + 2 * num_dangling
        num_triples = round(avg_degree * num_concepts)
        triples = torch.stack(
            [
                self._integers(num_concepts, num_triples),
                self._integers(num_relations, num_triples),
                self._integers(num_concepts, num_triples),
            ],
            dim=1,
        )
        attributes = self._rand(num_concepts, num_attributes) < 0.4
        dense = {
            name: torch.randn(num_concepts, num_channels, generator=self._generator)
            for name in _DENSE
        }
        linked = torch.arange(num_links)
        first_own = num_links + torch.arange(num_dangling)
        graphs, local = [], []
        for side, own in (("source", first_own), ("target", first_own + num_dangling)):
            concepts = torch.cat([linked, own])
            order = torch.randperm(concepts.numel(), generator=self._generator)
            concepts = concepts[order]
            number = torch.full((num_concepts,), -1)
            number[concepts] = torch.arange(concepts.numel())
            graphs.append(
                self._graph(side, concepts, number, triples, num_relations, attributes, dense)
            )
            local.append(number[:num_links])

        masks = split_anchors(num_links, seed_ratio, val_ratio, split_seed)
        self._data = make_pair(
            graphs[0],
            graphs[1],
            torch.stack(local),
            masks,
            features=features,
            dataset="FakeMMKG",
        )

    def _rand(self, *size: int) -> Tensor:
        return torch.rand(*size, generator=self._generator)

    def _integers(self, high: int, size: int) -> Tensor:
        return torch.randint(high, (size,), generator=self._generator)

    def _graph(
        self,
        side: str,
        concepts: Tensor,
        number: Tensor,
        triples: Tensor,
        num_relations: int,
        attributes: Tensor,
        dense: dict[Modality, Tensor],
    ) -> GraphTables:
        head, relation, tail = number[triples[:, 0]], triples[:, 1], number[triples[:, 2]]
        kept = (head >= 0) & (tail >= 0) & (self._rand(len(triples)) >= self._noise)
        has = attributes[concepts]
        has &= self._rand(*has.shape) >= self._noise
        features = {}
        for name, x in dense.items():
            mask = self._rand(concepts.numel()) >= self._missing
            noisy = x[concepts] + self._noise * torch.randn(
                concepts.numel(), x.size(1), generator=self._generator
            )
            features[name.value] = (noisy * mask.view(-1, 1), mask)
        return GraphTables(
            uri=[f"http://{side}.example/entity/{i}" for i in range(concepts.numel())],
            triples=torch.stack([head, relation, tail], dim=1)[kept],
            relation_uri=[f"http://fake.example/relation/{i}" for i in range(num_relations)],
            attributes=has.nonzero(),
            attribute_uri=[f"http://fake.example/attribute/{i}" for i in range(has.size(1))],
            name=[f"thing {concept}" for concept in concepts.tolist()],
            features=features,
        )
