"""Serves the evidence of a finished run."""

import json
from collections import defaultdict
from collections.abc import Iterable
from functools import cache, cached_property, lru_cache
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_mmea.calibration import Votes, in_force
from pyg_mmea.inspect.evidence import EntityCard, PairEvidence, Truth, Vote
from pyg_mmea.inspect.graph import Neighborhood
from pyg_mmea.inspect.label import label_of, printable
from pyg_mmea.inspect.thumbnail import make_thumbnail
from pyg_mmea.training import Aligner
from pyg_mmea.typing import ANCHOR_EDGE, SIDES, SPLIT_MASKS, Modality, Side
from pyg_mmea.utils.pairs import contains, judge

_MAX_ATTRIBUTES, _MAX_LENGTH = 20, 200  # of a card, and characters of a value


class Inspector:
    """Looks up entities and pairs of a finished run. What takes time is done when it is first asked
    for and kept.

    .. code-block:: python

        inspector = Inspector(data, Aligner.load(folder), Ledger(folder / LEDGER_NAME).read())
        source, target = inspector.pairs[:, 0].tolist()  # the surest candidate
        evidence = inspector.pair(source, target)
        evidence.confidence, evidence.votes, evidence.source.image.uri

    Args:
        data (HeteroData): The pair that was fitted.
        aligner (Aligner): The aligner, fitted or loaded.
        entries (Iterable[dict]): Entries of the ledger of the run. (default: :obj:`()`)
        max_relations (int): Triples on the card of an entity. (default: :obj:`12`)
        image_size (int): Largest width and height of a picture in pixels. (default: :obj:`200`)

    Raises:
        ValueError: If :obj:`data` is not the pair that was fitted.
    """

    def __init__(
        self,
        data: HeteroData,
        aligner: Aligner,
        entries: Iterable[dict[str, Any]] = (),
        max_relations: int = 12,
        image_size: int = 200,
    ) -> None:
        aligner.check(data)
        self.data = data
        self.aligner = aligner
        self.entries = list(in_force(entries))
        self.max_relations = max_relations
        self.image_size = image_size
        part = aligner.alignment
        order = part["confidence"].argsort(descending=True, stable=True)
        self.pairs: Tensor = part["pairs"][:, order]
        self.confidence: Tensor = part["confidence"][order]
        self.margin: Tensor = part["margin"][order]
        self.known: Tensor = part["known"]
        votes: Votes | None = part["votes"]
        self.votes = None if votes is None else votes.select(order)
        # Cards hold a picture each: as many are kept as a long page shows.
        self._card = lru_cache(maxsize=512)(self._make_card)
        self._graph = cache(lambda side: Neighborhood(data, side))

    @cached_property
    def links(self) -> tuple[Tensor, list[str]]:
        """All links of the data :math:`(2, A)` and the split of each."""
        anchors = self.data[ANCHOR_EDGE]
        links = anchors.edge_label_index.cpu()
        split = [""] * links.size(1)
        for mask in SPLIT_MASKS:
            for place in anchors[mask].nonzero().view(-1).tolist():
                split[place] = mask.removesuffix("_mask")
        return links, split

    @cached_property
    def test_links(self) -> Tensor:
        """Links that training never saw, nor did people accept them :math:`(2, L)`."""
        return self.aligner.links(self.data, "test").cpu()

    def judged(self, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Tells which pairs share an entity with a test link, and which are one.

        Args:
            pairs (torch.Tensor): Source and target ids :math:`(2, P)`.

        Returns:
            tuple: Two bool tensors :math:`(P)`.
        """
        return judge(pairs, self.test_links)

    def counterparts(self, side: Side, entity: int) -> list[int]:
        """True counterparts of an entity, by all links of the data."""
        links, row = self.links[0], SIDES.index(side)
        return links[1 - row, links[row] == entity].tolist()

    def label(self, side: Side, entity: int) -> str:
        """Name of an entity for people."""
        store = self.data[side]
        return label_of(store.uri[entity], store.name[entity] if "name" in store else None)

    def card(self, side: Side, entity: int) -> EntityCard:
        """What the data say of an entity.

        Raises:
            ValueError: If there is no such entity.
        """
        self._check(side, entity)
        return self._card(side, entity, frozenset())

    def pair(self, source: int, target: int) -> PairEvidence:
        """All that speaks for and against a pair, a candidate of the run or any other.

        Raises:
            ValueError: If there is no such entity.
        """
        self._check("source", source)
        self._check("target", target)
        shared = self._shared(source, target)
        z = self.aligner.embeddings
        rows = z["source"][source], z["target"][target]
        place = self._places.get((source, target))
        return PairEvidence(
            self._card("source", source, frozenset(shared[0])),
            self._card("target", target, frozenset(shared[1])),
            float(torch.cosine_similarity(*rows, dim=0)),
            None if place is None else float(self.confidence[place]),
            None if place is None else float(self.margin[place]),
            () if place is None else self._votes(place),
            tuple(self._history.get((source, target), ())),
            self._truth(source, target),
            len(shared[0]),
        )

    def nearest(self, side: Side, entity: int, k: int = 5) -> list[tuple[int, float]]:
        """The entities of the other graph that are most similar to one, with the cosines of the
        joint embeddings, best first.

        Raises:
            ValueError: If there is no such entity.
        """
        self._check(side, entity)
        z, other = self.aligner.embeddings, SIDES[1 - SIDES.index(side)]
        cosine = torch.cosine_similarity(z[side][entity].unsqueeze(0), z[other], dim=1)
        best = cosine.topk(min(k, cosine.numel()))
        return list(zip(best.indices.tolist(), best.values.tolist(), strict=True))

    @cached_property
    def _places(self) -> dict[tuple[int, int], int]:
        return {(s, t): i for i, (s, t) in enumerate(self.pairs.t().tolist())}

    @cached_property
    def _history(self) -> dict[tuple[int, int], list[dict[str, Any]]]:
        history: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
        for entry in self.entries:
            if "pair" in entry:
                source, target = entry["pair"]
                history[source, target].append(dict(entry))
        return history

    @cached_property
    def _aligned(self) -> dict[int, set[int]]:
        """Target entities that each source entity is aligned with, known or more likely right than
        wrong."""
        likely = self.pairs[:, self.confidence >= 0.5]
        aligned: dict[int, set[int]] = defaultdict(set)
        for source, target in torch.cat([self.known, likely], dim=1).t().tolist():
            aligned[source].add(target)
        return aligned

    def _shared(self, source: int, target: int) -> tuple[set[int], set[int]]:
        around = set(self._graph("target").neighbors(target).tolist()) - {target}
        shared: tuple[set[int], set[int]] = (set(), set())
        for neighbor in set(self._graph("source").neighbors(source).tolist()) - {source}:
            found = self._aligned.get(neighbor, set()) & around
            if found:
                shared[0].add(neighbor)
                shared[1].update(found)
        return shared

    def _truth(self, source: int, target: int) -> Truth:
        links, split = self.links
        pair = torch.tensor([[source], [target]])
        place = contains(pair, links).nonzero().view(-1).tolist()
        if place:
            return split[place[0]] or "unknown"
        return "wrong" if bool(judge(pair, links)[0]) else "unknown"

    def _votes(self, place: int) -> tuple[Vote, ...]:
        if self.votes is None:
            return ()
        votes = self.votes
        columns = (votes.agrees, votes.abstains, votes.rank, votes.margin, votes.probability)
        rows = zip(votes.voters, *(column[place].tolist() for column in columns), strict=True)
        return tuple(
            Vote(name, None if abstains else agrees, *numbers)
            for name, agrees, abstains, *numbers in rows
        )

    def _make_card(self, side: Side, entity: int, shared: frozenset[int]) -> EntityCard:
        store, graph = self.data[side], self._graph(side)
        path = store.image_path[entity] if "image_path" in store else None
        return EntityCard(
            side,
            entity,
            store.uri[entity],
            self.label(side, entity),
            self._attributes(side, entity),
            graph.relations(
                entity, lambda other: self.label(side, other), shared, self.max_relations
            ),
            int(graph.degree[entity]),
            tuple(name for name in Modality if self._lacks(side, entity, name)),
            make_thumbnail(path, self.image_size),
        )

    def _lacks(self, side: Side, entity: int, modality: Modality) -> bool:
        mask = f"{modality}_mask"
        return mask in self.data[side] and not bool(self.data[side][mask][entity])

    def _attributes(self, side: Side, entity: int) -> tuple[tuple[str, str], ...]:
        """Values where the data have them, else names of attributes, rare ones first."""
        store, names = self.data[side], self._attribute_names
        if "attribute_values" in store:
            values = json.loads(store.attribute_values[entity] or "[]")
            found = [(label_of(uri), printable(value, _MAX_LENGTH)) for uri, value in values]
            return tuple(found[:_MAX_ATTRIBUTES])
        if names is None:
            return ()
        x = store.x_attribute
        row = x[entity].coalesce() if x.is_sparse else x[entity].to_sparse()
        # Frequent attributes are in front of the vocabulary.
        columns = reversed(row.indices().view(-1).tolist())
        return tuple((names[i], "") for i in columns)[:_MAX_ATTRIBUTES]

    @cached_property
    def _attribute_names(self) -> list[str] | None:
        if "attribute_vocabulary" not in self.data:
            return None
        return [label_of(uri) for uri in self.data.attribute_vocabulary]

    def _check(self, side: Side, entity: int) -> None:
        num = self.data[side].num_nodes
        if not 0 <= entity < num:
            raise ValueError(f"'{side}' entities are in [0, {num}) (got {entity})")

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.pairs.size(1)} candidates)"
