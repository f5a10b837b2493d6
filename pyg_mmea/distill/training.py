"""The training of a student."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_mmea.data import HideAnchors, sample_links
from pyg_mmea.distill.encoder import EntityEncoder
from pyg_mmea.distill.inputs import InputSpec, entity_inputs, take_rows
from pyg_mmea.distill.student import Student, embed_rows
from pyg_mmea.loss import AlignmentKLLoss, InfoNCELoss
from pyg_mmea.metrics import evaluate_alignment
from pyg_mmea.training import Aligner
from pyg_mmea.typing import ANCHOR_EDGE, SIDES
from pyg_mmea.utils.pairs import contains, free_entities
from pyg_mmea.utils.progress import track
from pyg_mmea.utils.search import principal_rows

_TEACHER_CHANNELS = 256  # principal components of the teacher, whose width costs most of a step
_VAL_LINKS = 5000


@dataclass
class DistillConfig:
    """The settings of a student and of its training.

    Args:
        modalities (Sequence[str], optional): The modalities that it looks at; by default all.
        channels (int): Size of its embedding.
        hops (int): How far it sees, see :class:`~pyg_mmea.distill.InputSpec`.
        epochs (int): Times that all entities are looked at.
        batch_size (int): Entities of each graph in a step, which are compared with each other.
        lr (float): The highest learning rate.
        weight_decay (float): That of AdamW.
        dropout (float): Dropout probability of what it looks at.
        temperature (float): Temperature of the distributions of teacher and student.
        link_weight (float): Weight of the contrastive loss on links and pairs beside the
            divergence from the teacher.
        val_every (int): Epochs between two validations, where the run has held links back.
        seed (int): Seed of initialisation, batches and dropout.

    Raises:
        ValueError: If a number is out of range.
    """

    modalities: Sequence[str] | None = None
    channels: int = 64
    hops: int = 2
    epochs: int = 60
    batch_size: int = 1024
    lr: float = 1e-2
    weight_decay: float = 1e-4
    dropout: float = 0.2
    temperature: float = 0.05
    link_weight: float = 0.3
    val_every: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "val_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"'{name}' needs to be at least 1 (got {getattr(self, name)})")
        if self.lr <= 0:
            raise ValueError(f"'lr' needs to be positive (got {self.lr})")
        for name in ("weight_decay", "link_weight"):
            if getattr(self, name) < 0:
                raise ValueError(f"'{name}' needs to be at least 0 (got {getattr(self, name)})")


class _Pairs(NamedTuple):
    """What a run knows or believes, and its validation links if no training has seen them."""

    links: Tensor  # [2, P], no entity twice a side
    weight: Tensor  # [P]
    val: Tensor  # [2, V]

    @classmethod
    def read(cls, data: HeteroData, aligner: Aligner) -> "_Pairs":
        visible = HideAnchors("train+val")(data)[ANCHOR_EDGE]  # no test link
        val = visible.edge_label_index[:, visible.val_mask].cpu()
        part = aligner.alignment
        known = part["known"]
        if aligner.refitted:
            val = val[:, :0]
        val = val[:, contains(known, val)]
        known = known[:, ~contains(val, known)]
        links = torch.cat([known, part["pairs"]], dim=1)
        weight = torch.cat([torch.ones(known.size(1)), part["confidence"].float()])
        keep = _first(links[0]) & _first(links[1])
        return cls(links[:, keep], weight[keep], val)


def distill(
    data: HeteroData,
    aligner: Aligner,
    config: DistillConfig | None = None,
    unseen: Mapping[str, Tensor] | None = None,
) -> Student:
    r"""Trains a small encoder to see both graphs as a finished run does.

    As in `"Distilling the Knowledge in a Neural Network" <https://arxiv.org/abs/1503.02531>`_
    (eq. 1), the student follows the teacher's softened distribution, here over the other entities
    of a batch, by cosine, since relations between examples carry over to a space of any size
    (`"Relational Knowledge Distillation" <https://arxiv.org/abs/1904.05068>`_); with the
    temperature :math:`\tau`,

    .. math::
        \mathcal{L} = \frac{1}{2 B} \sum_i
        \mathrm{KL}\big(P^{\mathrm{teacher}}_i \Vert P^{\mathrm{student}}_i\big) +
        \lambda \mathcal{L}_{\mathrm{InfoNCE}}

    where the second term is over the links that the run was trained on and the pairs that it found,
    weighted by their confidence. See :class:`~pyg_mmea.loss.AlignmentKLLoss` and
    :class:`~pyg_mmea.loss.InfoNCELoss`. The teacher is compared by its first 256 principal
    components.

    No test link is read. If the run has held its validation links back to the end
    (``--training.refit false``), the epoch with the best MRR on them is taken, else the last one.

    Args:
        data (HeteroData): The pair of the run.
        aligner (Aligner): The finished run.
        config (DistillConfig, optional): The settings. (default: :obj:`None`)
        unseen (Mapping[str, torch.Tensor], optional): For each graph the entities that are no
            examples, to measure later how the student does on new ones. Means over neighbours
            and over all entities have their features all the same. (default: :obj:`None`)

    Raises:
        ValueError: If the pair is another one, or lacks a modality that is asked for.
        RuntimeError: If the loss is not finite.
    """
    config = config or DistillConfig()
    aligner.check(data)
    spec = InputSpec.from_data(data, config.modalities, config.hops)
    inputs: dict[str, dict[str, Tensor]] = {side: entity_inputs(data, side, spec) for side in SIDES}
    pairs = _Pairs.read(data, aligner)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        encoder = EntityEncoder(spec, config.channels, config.dropout)
        encoder.standardize(list(inputs.values()))
        start = time.monotonic()
        ignored = unseen or {side: torch.empty(0, dtype=torch.long) for side in SIDES}
        batches = _Batches(pairs, data.collect("num_nodes"), config.batch_size, ignored)
        best = _train(encoder, inputs, aligner.embeddings, batches, pairs.val, config)
    result = {
        "config": asdict(config),
        "teacher_model": aligner.result.get("model"),
        "dataset": aligner.result.get("dataset"),
        "selection": "validation" if pairs.val.size(1) else "last",
        "train_seconds": round(time.monotonic() - start, 2),
        **best,
    }
    return Student(encoder.eval(), result)


def _train(
    encoder: EntityEncoder,
    inputs: dict[str, dict[str, Tensor]],
    embeddings: dict[str, Tensor],
    batches: "_Batches",
    val_links: Tensor,
    config: DistillConfig,
) -> dict[str, Any]:
    """Trains in place and returns the epoch that was taken, with its validation."""
    teacher = principal_rows(embeddings["source"], embeddings["target"], _TEACHER_CHANNELS)
    divergence = AlignmentKLLoss(config.temperature)
    contrast = InfoNCELoss(config.temperature, intra=False)
    optimizer = torch.optim.AdamW(
        encoder.parameters(), lr=config.lr, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.lr, total_steps=config.epochs * len(batches)
    )
    best: dict[str, Any] = {"epoch": config.epochs, "val": None}
    state: dict[str, Tensor] | None = None
    for epoch in track(range(1, config.epochs + 1), "distilling", unit="epochs"):
        encoder.train()
        for ids, weight in batches:
            z = [encoder(take_rows(inputs[side], x)) for side, x in zip(SIDES, ids, strict=True)]
            seen = [x[index] for x, index in zip(teacher, ids, strict=True)]
            loss = divergence(*z, *seen)
            if config.link_weight > 0:
                loss = loss + config.link_weight * contrast(*z, weight=weight)
            if not bool(torch.isfinite(loss)):
                raise RuntimeError(f"the loss of epoch {epoch} is not finite")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        if val_links.size(1) and (epoch % config.val_every == 0 or epoch == config.epochs):
            z_s, z_t = (embed_rows(encoder, inputs[side]) for side in SIDES)
            val = evaluate_alignment(z_s, z_t, sample_links(val_links, _VAL_LINKS), "all")
            if best["val"] is None or val["mean"]["mrr"] > best["val"]["mean"]["mrr"]:
                best = {"epoch": epoch, "val": val}
                state = {name: x.clone() for name, x in encoder.state_dict().items()}
    if state is not None:
        encoder.load_state_dict(state)
    return best


class _Batches:
    """Batches of pairs in which no entity occurs twice. Entities without a counterpart are put
    together at random, with weight zero, as there is only the teacher to learn them from."""

    def __init__(
        self, pairs: _Pairs, sizes: dict[str, int], batch_size: int, unseen: Mapping[str, Tensor]
    ) -> None:
        both_seen = torch.ones(pairs.links.size(1), dtype=torch.bool)
        for ids, side in zip(pairs.links, SIDES, strict=True):
            both_seen &= ~torch.isin(ids, unseen[side])
        self.links, self.weight = pairs.links[:, both_seen], pairs.weight[both_seen]
        self.free = [
            free_entities(sizes[side], torch.cat([taken, unseen[side]]))
            for taken, side in zip(self.links, SIDES, strict=True)
        ]
        num_pairs = self.links.size(1) + min(x.numel() for x in self.free)
        self.num_batches = max(1, num_pairs // batch_size)

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        num_free = min(x.numel() for x in self.free)
        others = torch.stack([x[torch.randperm(x.numel())[:num_free]] for x in self.free])
        links = torch.cat([self.links, others], dim=1)
        weight = torch.cat([self.weight, torch.zeros(num_free)])
        for part in torch.randperm(links.size(1)).tensor_split(self.num_batches):
            yield links[:, part], weight[part]


def _first(ids: Tensor) -> Tensor:
    """Where each id occurs for the first time."""
    order = ids.argsort(stable=True)
    first = torch.ones_like(ids, dtype=torch.bool)
    first[1:] = ids[order][1:] != ids[order][:-1]
    return torch.empty_like(first).scatter_(0, order, first)
