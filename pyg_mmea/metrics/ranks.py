"""Tie-aware ranks of anchor links among their candidates, in both directions."""

from typing import NamedTuple

import torch
from torch import Tensor

from pyg_mmea.utils.similarity import CSLSTerms, blocks, unit_pair

Candidates = str | tuple[Tensor, Tensor]


class CandidateAxes(NamedTuple):
    """The candidates of both directions, those with an evaluated link in front.

    Attributes:
        source (torch.Tensor): Ids of the source candidates :math:`(M_s)`.
        target (torch.Tensor): Ids of the target candidates :math:`(M_t)`.
        row (torch.Tensor): Place of each link's source in ``source`` :math:`(L)`, ascending.
        column (torch.Tensor): Place of each link's target in ``target`` :math:`(L)`.
        order (torch.Tensor): Which link the entries of ``row`` and ``column`` belong to.
    """

    source: Tensor
    target: Tensor
    row: Tensor
    column: Tensor
    order: Tensor


def link_ranks(
    x_s: Tensor,
    x_t: Tensor,
    links: Tensor,
    candidates: Candidates = "test",
    csls_k: int = 10,
    chunk_size: int = 1024,
) -> tuple[Tensor, Tensor]:
    r"""Ranks the true counterpart of every link among the candidates, in both directions.

    Ranks start at 1 and are *realistic*: the mean of the optimistic and the pessimistic rank,

    .. math::
        1 + |\{j : s_j > s^*\}| + \tfrac{1}{2} |\{j : s_j = s^*\}|

    with :math:`j` over the wrong candidates, so a model that gives every pair the same score
    is at chance level. Scores less than eight machine epsilons apart count as equal, because
    a matrix product may round the same row differently in different places of a block.

    Args:
        x_s (torch.Tensor): Source embeddings.
        x_t (torch.Tensor): Target embeddings.
        links (torch.Tensor): True pairs of source and target ids. Where an entity has several,
            the counterparts in the other pairs are no wrong answers and are left out.
        candidates (str or tuple, optional): :obj:`"test"` compares a counterpart with the
            counterparts of the other links, :obj:`"all"` with every entity of its graph; a
            tuple of source and target ids adds those to the first. CSLS is computed over the
            candidates of both sides. (default: :obj:`"test"`)
        csls_k (int, optional): Neighbourhood of CSLS; zero ranks by plain cosine.
            (default: :obj:`10`)
        chunk_size (int, optional): Rows compared at once; the memory needed is a few times
            this many rows of candidate scores. (default: :obj:`1024`)

    Shapes:
        - **input:** :math:`(N_s, D)`, :math:`(N_t, D)`, links :math:`(2, L)`
        - **output:** ranks source to target :math:`(L)` and target to source :math:`(L)`,
          float32

    Raises:
        ValueError: If there are no links, or an argument is out of range.
    """
    axes = candidate_axes(x_s.size(0), x_t.size(0), links.to(x_s.device), candidates)
    unit_s, unit_t = unit_pair(x_s[axes.source], x_t[axes.target])

    num_linked_s = int(axes.row[-1]) + 1
    # First pass: neighbourhood terms, and the gold scores that the second pass needs at once.
    terms = CSLSTerms(unit_s, unit_t, csls_k)
    gold = unit_s.new_empty(axes.row.numel())
    rows = unit_s if csls_k > 0 else unit_s[:num_linked_s]
    for start, stop, block in blocks(rows, unit_t, chunk_size):
        terms.add(start, stop, block)
        low, high = _span(axes.row, start, stop)
        gold[low:high] = block[axes.row[low:high] - start, axes.column[low:high]]
    # Half of CSLS has the same order as CSLS and needs no scaling of the blocks.
    half_s, half_t = terms.r_s / 2, terms.finish() / 2
    gold = gold - half_s[axes.row] - half_t[axes.column]

    # Second pass: rank = 1 + (number of wrong candidates + sum of signs) / 2.
    counter = _SignCounter(axes, gold)
    for start, stop, block in blocks(unit_s[:num_linked_s], unit_t, chunk_size):
        block.sub_(half_s[start:stop, None]).sub_(half_t)
        counter.add_candidates_s(start, stop, block)
        counter.add_queries_s(start, stop, block)
    # Sources without a link are candidates only: compare them with the linked targets alone.
    num_linked_t = int(axes.column.max()) + 1
    for start, stop, block in blocks(unit_s[num_linked_s:], unit_t[:num_linked_t], chunk_size):
        start, stop = start + num_linked_s, stop + num_linked_s
        block.sub_(half_s[start:stop, None]).sub_(half_t[:num_linked_t])
        counter.add_candidates_s(start, stop, block)
    ranks = counter.ranks()
    ranks = torch.empty_like(ranks).index_copy_(1, axes.order, ranks)
    return ranks[0], ranks[1]


class _SignCounter:
    """Sums, for every link, the signs of (score of a wrong candidate - score of the link)."""

    def __init__(self, axes: CandidateAxes, gold: Tensor) -> None:
        self.axes, self.gold = axes, gold
        self.tolerance = 8 * torch.finfo(gold.dtype).eps
        num_links = gold.numel()
        # Where no entity has two links, rows and columns are in the order of the links.
        self.one_to_one_s = int(axes.row[-1]) + 1 == num_links
        self.one_to_one_t = int(axes.column.max()) + 1 == num_links
        self.known_t = known_answers(axes.row, axes.column)  # sorted by link
        known_s = known_answers(axes.column, axes.row)
        self.known_s = known_s[:, known_s[1].argsort()]  # sorted by row
        self.num_wrong = torch.stack(
            [
                axes.target.numel() - self.known_t[0].bincount(minlength=num_links),
                axes.source.numel() - self.known_s[0].bincount(minlength=num_links),
            ]
        )
        self.signs = gold.new_zeros(2, num_links)

    def add_candidates_s(self, start: int, stop: int, block: Tensor) -> None:
        """Counts for all links, over the sources in these rows."""
        num_links = self.gold.numel()
        linked = block[:, :num_links] if self.one_to_one_t else block[:, self.axes.column]
        gap = linked - self.gold
        first, last = _span(self.known_s[1], start, stop)
        gap[self.known_s[1, first:last] - start, self.known_s[0, first:last]] = 0
        self.signs[1] += self._signs(gap).sum(dim=0)

    def add_queries_s(self, start: int, stop: int, block: Tensor) -> None:
        """Counts for the links whose source is in these rows, over all targets; writes over
        ``block``."""
        low, high = _span(self.axes.row, start, stop)
        gap = block if self.one_to_one_s else block[self.axes.row[low:high] - start]
        gap.sub_(self.gold[low:high, None])
        first, last = _span(self.known_t[0], low, high)
        gap[self.known_t[0, first:last] - low, self.known_t[1, first:last]] = 0
        self.signs[0, low:high] = self._signs(gap).sum(dim=1)

    def ranks(self) -> Tensor:
        """Realistic ranks of both directions ``[2, L]``: the wrong candidates are either
        ahead (+1), tied (0) or behind (-1)."""
        return (self.num_wrong + self.signs).float() / 2 + 1

    def _signs(self, gap: Tensor) -> Tensor:
        return gap.div_(self.tolerance).trunc_().sign_()


def candidate_axes(
    num_s: int, num_t: int, links: Tensor, candidates: Candidates = "test"
) -> CandidateAxes:
    """Lists the candidates of both sides and where each link is among them.

    Raises:
        ValueError: If ``links`` is empty, malformed or out of range, or ``candidates`` is
            none of the choices.
    """
    if links.dim() != 2 or links.size(0) != 2 or links.is_floating_point():
        raise ValueError(f"'links' needs to be integers of shape [2, L] (got {list(links.shape)})")
    if links.size(1) == 0:
        raise ValueError("'links' needs at least one link to evaluate (got none)")
    extra: tuple[Tensor | slice, Tensor | slice]
    if candidates == "all":
        extra = (slice(None), slice(None))
    elif candidates == "test":
        extra = (slice(0), slice(0))
    elif isinstance(candidates, tuple) and len(candidates) == 2:
        extra = candidates
    else:
        raise ValueError(
            f"'candidates' needs to be 'test', 'all' or two tensors of ids (got {candidates!r})"
        )
    source, row = _axis("source", links[0], num_s, extra[0])
    order = row.argsort(stable=True)
    target, column = _axis("target", links[1, order], num_t, extra[1])
    return CandidateAxes(source, target, row[order], column, order)


def _axis(
    side: str, linked: Tensor, num_entities: int, extra: Tensor | slice
) -> tuple[Tensor, Tensor]:
    """Returns the candidates, linked ones in front, and the place of each link among them."""
    for ids in (linked, extra):
        if isinstance(ids, Tensor) and ids.numel() > 0:
            low, high = int(ids.min()), int(ids.max())
            if low < 0 or high >= num_entities:
                raise ValueError(
                    f"{side} ids need to be in [0, {num_entities}) (got {low} to {high})"
                )
    unique, place = linked.unique(return_inverse=True)
    if unique.numel() == linked.numel():  # keep the order of the links: no gathering later
        unique, place = linked, torch.arange(linked.numel(), device=linked.device)
    others = torch.zeros(num_entities, dtype=torch.bool, device=linked.device)
    others[extra] = True
    others[unique] = False
    return torch.cat([unique, others.nonzero().view(-1)]), place


def known_answers(query: Tensor, answer: Tensor) -> Tensor:
    """Pairs each link with all places that are true answers to its query, its own included;
    ``[2, P]``, sorted by link."""
    pairs = torch.stack([query, answer]).unique(dim=1)  # sorted by query
    start = torch.searchsorted(pairs[0].contiguous(), query.contiguous())
    stop = torch.searchsorted(pairs[0].contiguous(), query.contiguous(), right=True)
    count = stop - start
    link = torch.arange(query.numel(), device=query.device).repeat_interleave(count)
    within = torch.arange(link.numel(), device=query.device)
    within = within - (count.cumsum(0) - count)[link]
    return torch.stack([link, pairs[1, start[link] + within]])


def _span(ascending: Tensor, start: int, stop: int) -> tuple[int, int]:
    """The slice of an ascending vector whose values are in ``[start, stop)``."""
    bounds = torch.tensor([start, stop], device=ascending.device)
    low, high = torch.searchsorted(ascending.contiguous(), bounds).tolist()
    return low, high
