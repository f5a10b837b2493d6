"""Links in batches, with the mini-batch of entities that each batch needs."""

import logging

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torch_geometric.data import HeteroData

from pyg_mmea.calibration import Calibrator
from pyg_mmea.data import PartitionedPair, partition_pair

logger = logging.getLogger(__name__)

_PARTS_PER_BATCH = 4  # those that are joined change from epoch to epoch

Plan = list[tuple[Tensor | None, Tensor]]  # parts of the mini-batch, None for both graphs; links


class LinkDataModule(LightningDataModule):
    """Hands out batches of links: the seed alignment and the pseudo-labels in use.

    A batch is a list of links :math:`(B, 2)`, and with :obj:`num_mini_batches` above one the
    :class:`~torch_geometric.data.HeteroData` whose ids they have. Then both graphs are split into
    parts (:func:`~pyg_mmea.data.partition_pair`), which keep the ends of each link together, and
    every epoch joins other parts to mini-batches.

    The batches of an epoch follow from seed, epoch and links alone, so that a resumed run sees the
    same ones, and so does every process: of :math:`W` processes, process :math:`r` takes the
    batches :math:`r, r + W, \\dots` Their number is a multiple of the batches that a step takes;
    for that, batches are made smaller, and no link is dropped or seen twice.

    Args:
        train_links (torch.Tensor): Seed alignment :math:`(2, S)`.
        val_links (torch.Tensor): Validation links :math:`(2, V)`; may be empty.
        calibrator (Calibrator, optional): Whose pool to add. (default: :obj:`None`)
        batch_size (int): Largest number of links a batch.
        seed (int): Seed of the order.
        pair (HeteroData, optional): The pair, on the CPU; needed for mini-batches.
            (default: :obj:`None`)
        num_mini_batches (int): Mini-batches that make up the pair. (default: :obj:`1`)
        accumulate (int): Batches of each process that make a step. (default: :obj:`1`)

    Raises:
        ValueError: If mini-batches are asked for without a pair.
    """

    def __init__(
        self,
        train_links: Tensor,
        val_links: Tensor,
        calibrator: Calibrator | None,
        batch_size: int,
        seed: int,
        pair: HeteroData | None = None,
        num_mini_batches: int = 1,
        accumulate: int = 1,
    ) -> None:
        super().__init__()
        if num_mini_batches > 1 and pair is None:
            raise ValueError("'pair' needs to be given where 'num_mini_batches' is above 1")
        self.train_links = train_links
        self.val_links = val_links
        self.calibrator = calibrator
        self.batch_size = batch_size
        self.seed = seed
        self.pair = pair
        self.num_mini_batches = num_mini_batches
        self.accumulate = accumulate
        self._partition: tuple[Tensor, PartitionedPair] | None = None  # of which links, and parts

    def train_dataloader(self) -> DataLoader:
        """Batches of one epoch; batches of a mini-batch have nearly equal size.

        Raises:
            ValueError: If there are fewer links than batches in a step.
        """
        epoch, rank, world_size = 0, 0, 1
        if self.trainer is not None:
            epoch = self.trainer.current_epoch
            rank, world_size = self.trainer.global_rank, self.trainer.world_size
        links = self.train_links
        if self.calibrator is not None:
            # The first batches are made before CalibrationCallback takes labels back.
            links = torch.cat([links, self.calibrator.labels_beside(links)], dim=1)
        per_step = world_size * self.accumulate
        if links.size(1) < per_step:
            raise ValueError(
                f"'devices' times 'accumulate_grad_batches' needs to be at most the number of "
                f"links, {links.size(1)} (got {per_step})"
            )
        generator = torch.Generator().manual_seed(epoch_seed(self.seed, epoch))
        parts = self._parts(links)
        plan = _plan(links, parts, self.num_mini_batches, self.batch_size, per_step, generator)
        steps = _Steps(plan[rank::world_size], parts)
        return DataLoader(steps, batch_size=None, collate_fn=_as_it_is)

    def val_dataloader(self) -> DataLoader | list:
        """All validation links in one batch."""
        if self.val_links.size(1) == 0:
            return []
        return DataLoader(TensorDataset(self.val_links.t().unsqueeze(0)), batch_size=None)

    def _parts(self, links: Tensor) -> PartitionedPair | None:
        """Splits the pair, anew if other links are to stay together."""
        if self.num_mini_batches == 1 or self.pair is None:
            return None
        if self._partition is None or not torch.equal(self._partition[0], links):
            num_parts = self.num_mini_batches * _PARTS_PER_BATCH
            part = partition_pair(self.pair, links, num_parts)
            self._partition = links, PartitionedPair(self.pair, part)
        return self._partition[1]


class _Steps(Dataset):
    """The batches of a plan. The mini-batch at hand is kept, as batches that share it follow each
    other."""

    def __init__(self, plan: Plan, pair: PartitionedPair | None) -> None:
        self.plan = plan
        self.pair = pair
        self._parts: Tensor | None = None
        self._batch = HeteroData()

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, index: int) -> list[Tensor | HeteroData]:
        parts, links = self.plan[index]
        if parts is None or self.pair is None:
            return [links.t()]
        if parts is not self._parts:
            self._parts, self._batch = parts, self.pair.batch(parts)
        return [self.pair.locate(links, parts).t(), self._batch]


def _as_it_is(batch: list[Tensor | HeteroData]) -> list[Tensor | HeteroData]:
    return batch


def _plan(
    links: Tensor,
    pair: PartitionedPair | None,
    num_groups: int,
    batch_size: int,
    per_step: int,
    generator: torch.Generator,
) -> Plan:
    """Lists the batches of an epoch, those of a mini-batch in a row."""
    order = torch.randperm(links.size(1), generator=generator)
    if pair is None:
        sizes = _num_batches([links.size(1)], batch_size, per_step)
        return [(None, links[:, chosen]) for chosen in _split(order, sizes[0], per_step)]
    group = torch.randperm(pair.num_parts, generator=generator) % num_groups
    of_link = pair.group(links, group)[order]
    logger.debug("%d links are in no common mini-batch", int((of_link < 0).sum()))
    members = [order[of_link == g] for g in range(num_groups)]
    sizes = _num_batches([chosen.numel() for chosen in members], batch_size, per_step)
    plan: Plan = []
    for g, size in enumerate(sizes):
        parts = (group == g).nonzero().view(-1)
        plan += [(parts, links[:, chosen]) for chosen in _split(members[g], size, per_step)]
    return plan


def _num_batches(num_links: list[int], batch_size: int, per_step: int) -> list[int]:
    """Returns into how many batches the links of each mini-batch go, a multiple in total."""
    num = [-(-n // batch_size) for n in num_links]
    while sum(num) % per_step:
        largest = max(range(len(num)), key=lambda g: num_links[g] / max(num[g], 1))
        if num[largest] >= num_links[largest]:
            raise ValueError(
                f"'devices' times 'accumulate_grad_batches' needs to be smaller: {sum(num_links)} "
                f"links in {len(num_links)} mini-batch(es) make no multiple of {per_step} batches"
            )
        num[largest] += 1
    return num


def _split(order: Tensor, num: int, per_step: int) -> list[Tensor]:
    if num == 0:
        return []
    if per_step == 1:
        return list(order.split(-(-order.numel() // num)))
    return list(order.tensor_split(num))  # exactly as many as asked for


def epoch_seed(seed: int, epoch: int) -> int:
    """Returns the seed of everything random in one epoch, below :math:`2^{48}`."""
    return (seed * 1_000_003 + epoch) % 2**48
