import torch

from pyg_mmea.utils.ranges import list_ranges


def test_list_ranges_agrees_with_a_loop() -> None:
    start, count = torch.tensor([5, 0, 7, 2]), torch.tensor([2, 0, 1, 3])
    which, number = list_ranges(start, count)
    wanted = [
        (i, first + step)
        for i, (first, num) in enumerate(zip(start.tolist(), count.tolist(), strict=True))
        for step in range(num)
    ]
    assert list(zip(which.tolist(), number.tolist(), strict=True)) == wanted


def test_list_ranges_of_nothing() -> None:
    none = torch.empty(0, dtype=torch.long)
    assert [x.tolist() for x in list_ranges(none, none)] == [[], []]
    zero = torch.tensor([0])
    assert [x.tolist() for x in list_ranges(zero, zero)] == [[], []]
