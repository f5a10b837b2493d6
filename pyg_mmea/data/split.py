"""Seeded splits of links, independent of any other random state."""

import torch
from torch import Tensor

Masks = tuple[Tensor, Tensor, Tensor]


def _check_ratio(name: str, value: float, upper_included: bool) -> None:
    if not (0 <= value < 1 or (upper_included and value == 1)):
        bound = "[0, 1]" if upper_included else "[0, 1)"
        raise ValueError(f"'{name}' needs to be in {bound} (got {value})")


def split_seeds(seed_mask: Tensor, val_ratio: float = 0.1, split_seed: int = 0) -> Masks:
    """Splits given seeds into training and validation links; all other links are for the test.

    Args:
        seed_mask (Tensor): True for the links that may be used for learning.
        val_ratio (float): Fraction of the seeds that validate. (default: :obj:`0.1`)
        split_seed (int): Seed of the draw. (default: :obj:`0`)

    Shapes:
        - **input:** :math:`(A)` *(bool)*
        - **output:** training, validation and test mask, each :math:`(A)` *(bool)*, disjoint,
          together all links

    Raises:
        ValueError: If :obj:`val_ratio` is not in :math:`[0, 1)`.
    """
    _check_ratio("val_ratio", val_ratio, upper_included=False)
    generator = torch.Generator().manual_seed(split_seed)
    seeds = seed_mask.nonzero().view(-1)
    seeds = seeds[torch.randperm(seeds.numel(), generator=generator)]
    val_mask = torch.zeros_like(seed_mask)
    val_mask[seeds[: round(val_ratio * seeds.numel())]] = True
    return seed_mask & ~val_mask, val_mask, ~seed_mask


def split_anchors(
    num_links: int, seed_ratio: float = 0.3, val_ratio: float = 0.1, split_seed: int = 0
) -> Masks:
    """Draws training, validation and test links.

    Args:
        num_links (int): Number of links :math:`A`.
        seed_ratio (float): Fraction of all links that are seeds. (default: :obj:`0.3`)
        val_ratio (float): Fraction of the seeds that validate. (default: :obj:`0.1`)
        split_seed (int): Seed of the draw. (default: :obj:`0`)

    Returns:
        Training, validation and test mask, each :math:`(A)`, disjoint, together all links.

    Raises:
        ValueError: If a ratio is out of range.
    """
    _check_ratio("seed_ratio", seed_ratio, upper_included=True)
    generator = torch.Generator().manual_seed(split_seed)
    order = torch.randperm(num_links, generator=generator)
    seed_mask = torch.zeros(num_links, dtype=torch.bool)
    seed_mask[order[: round(seed_ratio * num_links)]] = True
    return split_seeds(seed_mask, val_ratio, split_seed)


def sample_links(links: Tensor, num: int | None) -> Tensor:
    """Returns a random sample of links, the same at every call, in their order; all of them if
    there are no more.

    Args:
        links (torch.Tensor): Source and target ids :math:`(2, L)`.
        num (int, optional): Largest number of links; :obj:`None` means all.
    """
    if num is None or links.size(1) <= num:
        return links
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(links.size(1), generator=generator)[:num]
    return links[:, chosen.sort().values.to(links.device)]
