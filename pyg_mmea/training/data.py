"""Links in batches."""

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from pyg_mmea.calibration import Calibrator


class LinkDataModule(LightningDataModule):
    """Hands out batches of links: the seed alignment and the pseudo-labels in use.

    The order of an epoch follows from seed and epoch alone, so that a resumed run sees the same
    batches.

    Args:
        train_links (torch.Tensor): Seed alignment :math:`(2, S)`.
        val_links (torch.Tensor): Validation links :math:`(2, V)`; may be empty.
        calibrator (Calibrator, optional): Whose pool to add. (default: :obj:`None`)
        batch_size (int): Largest number of links a batch.
        seed (int): Seed of the order.
    """

    def __init__(
        self,
        train_links: Tensor,
        val_links: Tensor,
        calibrator: Calibrator | None,
        batch_size: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.train_links = train_links
        self.val_links = val_links
        self.calibrator = calibrator
        self.batch_size = batch_size
        self.seed = seed

    def train_dataloader(self) -> DataLoader:
        """Batches of one epoch; batches of nearly equal size."""
        links = self.train_links
        if self.calibrator is not None:
            links = torch.cat([links, self.calibrator.pool.pairs], dim=1)
        epoch = self.trainer.current_epoch if self.trainer is not None else 0
        generator = torch.Generator().manual_seed(epoch_seed(self.seed, epoch))
        num_batches = -(-links.size(1) // self.batch_size)
        dataset = TensorDataset(links.t().contiguous())
        sampler = BatchSampler(
            RandomSampler(dataset, generator=generator),
            batch_size=-(-links.size(1) // num_batches),
            drop_last=False,
        )
        return DataLoader(dataset, sampler=sampler, batch_size=None)

    def val_dataloader(self) -> DataLoader | list:
        """All validation links in one batch."""
        if self.val_links.size(1) == 0:
            return []
        return DataLoader(TensorDataset(self.val_links.t().unsqueeze(0)), batch_size=None)


def epoch_seed(seed: int, epoch: int) -> int:
    """Returns the seed of everything random in one epoch, below :math:`2^{48}`."""
    return (seed * 1_000_003 + epoch) % 2**48
