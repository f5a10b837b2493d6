"""What a person needs to see to judge a pair of entities."""

from dataclasses import dataclass
from typing import Any, Literal

from pyg_mmea.inspect.thumbnail import Thumbnail

Truth = Literal["train", "val", "test", "wrong", "unknown"]


@dataclass(frozen=True)
class Relation:
    """A triple, as one of its two entities sees it.

    Args:
        label (str): Name of the relation.
        outgoing (bool): Whether the entity is the head.
        neighbor (int): Local id of the other entity.
        neighbor_label (str): Its name.
        shared (bool): Whether the other entity of a pair is joined to what this neighbour is
            aligned with; only ever true in a :class:`PairEvidence`.
    """

    label: str
    outgoing: bool
    neighbor: int
    neighbor_label: str
    shared: bool = False


@dataclass(frozen=True)
class EntityCard:
    """What the data say of an entity.

    Args:
        side (str): :obj:`"source"` or :obj:`"target"`.
        id (int): Local id.
        uri (str): As it is in the data; for display see
            :func:`~pyg_mmea.inspect.printable`.
        label (str): Its name, or a readable one made of the URI.
        attributes (tuple): Name and value of each attribute; the value is empty where the data
            keep the name alone.
        relations (tuple): Its triples, the most telling ones first: those shared with the other
            entity of a pair, then those that few entities have.
        degree (int): Number of all its triples, of which :obj:`relations` may be a part.
        missing (tuple): Modalities that the entity lacks.
        image (Thumbnail): Its picture, or why there is none.
    """

    side: str
    id: int
    uri: str
    label: str
    attributes: tuple[tuple[str, str], ...]
    relations: tuple[Relation, ...]
    degree: int
    missing: tuple[str, ...]
    image: Thumbnail


@dataclass(frozen=True)
class Vote:
    """What one voter says of a candidate, see :class:`~pyg_mmea.calibration.Votes`.

    Args:
        voter (str): A modality, a view or :obj:`"momentum"`.
        agrees (bool, optional): :obj:`None` where it abstains, since an entity lacks the modality.
        rank (float): The worse of both ranks, NaN where it abstains.
        margin (float): Gap between the cosine of the pair and that of the best rival.
        probability (float): The smaller one of both probabilities.
    """

    voter: str
    agrees: bool | None
    rank: float
    margin: float
    probability: float


@dataclass(frozen=True)
class PairEvidence:
    """A pair and all that speaks for and against it.

    Args:
        source (EntityCard): The source entity.
        target (EntityCard): The target entity.
        similarity (float): Cosine of the joint embeddings.
        confidence (float, optional): :obj:`None` where the pair is no candidate of the run.
        margin (float, optional): How far it is ahead of the runner-up of either entity.
        votes (tuple): A :class:`Vote` of each voter; empty where the pair is no candidate, and
            for runs of older versions.
        history (tuple): Entries of the ledger on this pair, oldest first.
        truth (str): :obj:`"train"`, :obj:`"val"` or :obj:`"test"` for a known link,
            :obj:`"wrong"` if one of the entities has another counterpart, :obj:`"unknown"` if
            neither has any. Do not show it to whoever is to judge the pair.
        num_shared (int): Neighbours of the source entity that are aligned with neighbours of the
            target entity.
    """

    source: EntityCard
    target: EntityCard
    similarity: float
    confidence: float | None = None
    margin: float | None = None
    votes: tuple[Vote, ...] = ()
    history: tuple[dict[str, Any], ...] = ()
    truth: Truth = "unknown"
    num_shared: int = 0
