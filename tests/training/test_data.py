import logging
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from pyg_mmea.data import AlignmentData
from pyg_mmea.training import LinkDataModule
from pyg_mmea.training.data import _num_batches
from pyg_mmea.typing import ANCHOR_EDGE, SIDES


def links_of(data: AlignmentData) -> Tensor:
    return data[ANCHOR_EDGE].edge_label_index


def epoch(module: LinkDataModule, rank: int = 0, world_size: int = 1, current_epoch: int = 0):
    module.trainer = SimpleNamespace(
        global_rank=rank, world_size=world_size, current_epoch=current_epoch
    )
    return list(module.train_dataloader())


def global_links(batch: list) -> Tensor:
    """The links of a batch by the ids of the whole pair ``[B, 2]``."""
    if len(batch) == 1:
        return batch[0]
    ends = zip(SIDES, batch[0].t(), strict=True)
    return torch.stack([batch[1][side].n_id[end] for side, end in ends], dim=1)


@pytest.mark.parametrize("num_mini_batches", [1, 3])
@pytest.mark.parametrize(("world_size", "accumulate"), [(1, 1), (1, 2), (2, 1), (2, 3)])
def test_processes_share_out_the_same_batches(
    fake: AlignmentData, num_mini_batches: int, world_size: int, accumulate: int
) -> None:
    if num_mini_batches > 1:
        pytest.importorskip("pymetis")
    links = links_of(fake)

    def make(accumulate: int) -> LinkDataModule:
        arguments = links, links[:, :0], None, 7, 0, fake, num_mini_batches, accumulate
        return LinkDataModule(*arguments)

    alone = epoch(make(world_size * accumulate))
    shared = [epoch(make(accumulate), rank, world_size) for rank in range(world_size)]
    assert len(alone) % (world_size * accumulate) == 0
    assert {len(batches) for batches in shared} == {len(alone) // world_size}
    for i, batch in enumerate(alone):
        other = shared[i % world_size][i // world_size]
        assert torch.equal(global_links(batch), global_links(other))
        assert 0 < len(batch[0]) <= 7
    seen = torch.cat([global_links(batch) for batch in alone]).t()
    assert torch.equal(seen.unique(dim=1), links.unique(dim=1))
    assert seen.size(1) == links.size(1)


def test_every_epoch_joins_other_parts(fake: AlignmentData) -> None:
    pytest.importorskip("pymetis")
    links = links_of(fake)
    module = LinkDataModule(links, links[:, :0], None, 100, 0, fake, 3)
    first, second, again = (
        [batch[1]["source"].n_id for batch in epoch(module, current_epoch=e)] for e in (0, 1, 0)
    )
    assert len(first) == 3
    assert torch.cat(first).sort().values.tolist() == list(range(66))
    assert all(torch.equal(x, y) for x, y in zip(first, again, strict=True))
    assert not all(torch.equal(x, y) for x, y in zip(first, second, strict=True))


def test_batches_in_a_row_share_their_mini_batch(fake: AlignmentData) -> None:
    pytest.importorskip("pymetis")
    links = links_of(fake)
    module = LinkDataModule(links, links[:, :0], None, 8, 0, fake, 2)
    batches = [batch[1] for batch in epoch(module)]
    assert len(batches) > 2
    assert len({id(batch) for batch in batches}) == 2


def test_new_links_stay_together(fake: AlignmentData, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("pymetis")
    links = links_of(fake)
    module = LinkDataModule(links[:, :10], links[:, :0], None, 100, 0, fake, 4)
    with caplog.at_level(logging.DEBUG, logger="pyg_mmea"):
        epoch(module)
        first = module._partition
        epoch(module)
        assert module._partition is first  # nothing to do anew
        module.train_links = links
        batches = epoch(module)
    assert sum(len(batch[0]) for batch in batches) == links.size(1)
    assert caplog.messages == ["0 links are in no common mini-batch"] * 3


def test_batches_a_step_takes() -> None:
    assert _num_batches([10, 0, 21], 10, 1) == [1, 0, 3]
    assert _num_batches([10, 0, 21], 10, 3) == [2, 0, 4]
    assert _num_batches([1, 9], 10, 4) == [1, 3]
    assert _num_batches([1, 2, 1], 10, 2) == [1, 2, 1]
    with pytest.raises(ValueError, match="3 links in 3 mini-batch"):
        _num_batches([1, 1, 1], 10, 2)


def test_wrong_arguments(fake: AlignmentData) -> None:
    links = links_of(fake)
    with pytest.raises(ValueError, match="'pair' needs to be given"):
        LinkDataModule(links, links, None, 10, 0, num_mini_batches=2)
    module = LinkDataModule(links[:, :3], links[:, :0], None, 10, 0, accumulate=4)
    with pytest.raises(ValueError, match=r"number of links, 3 \(got 4\)"):
        module.train_dataloader()
