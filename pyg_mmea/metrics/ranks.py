"""Tie-aware ranks of anchor links among their candidates, in both directions."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from pyg_mmea.typing import SIDES
from pyg_mmea.utils.pairs import check_links, known_answers
from pyg_mmea.utils.similarity import CSLSTerms, unit_pair
from pyg_mmea.utils.topk import Tile, tile_width, tiles

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

    Without CSLS the matrix of similarities is computed once, with CSLS twice: its terms need to be
    known before the first score is. No more than one tile of it exists at a time, and ranks have
    no gradient.

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
        chunk_size (int, optional): Rows of a tile; on CPU the default keeps tiles in the cache.
            (default: :obj:`1024`)

    Shapes:
        - **input:** :math:`(N_s, D)`, :math:`(N_t, D)`, links :math:`(2, L)`
        - **output:** ranks source to target :math:`(L)` and target to source :math:`(L)`,
          float32

    Raises:
        ValueError: If there are no links, or an argument is out of range.
    """
    axes = candidate_axes(x_s.size(0), x_t.size(0), links.to(x_s.device), candidates)
    unit_s, unit_t = unit_pair(x_s[axes.source], x_t[axes.target])

    # First pass: neighbourhood terms, and the gold scores that the second pass needs at once.
    terms = CSLSTerms(unit_s, unit_t, csls_k)
    gold = unit_s.new_empty(axes.row.numel())
    needed = None if csls_k > 0 else _tiles_of_links(axes, chunk_size, tile_width(unit_t))
    for tile in tiles(unit_s, unit_t, chunk_size, needed):
        terms.add(tile)
        _take_gold(gold, axes, tile)
    # Half of CSLS has the same order as CSLS and needs no scaling of the tiles.
    half_s, half_t = (r / 2 for r in terms.finish())
    gold = gold - half_s[axes.row] - half_t[axes.column]

    # Second pass: rank = 1 + (number of wrong candidates + sum of signs) / 2.
    back = axes.column.argsort(stable=True)
    forth_counter = _SignCounter(axes.row, axes.column, gold, unit_t.size(0))
    back_counter = _SignCounter(axes.column[back], axes.row[back], gold[back], unit_s.size(0))
    linked = int(axes.row.max()), int(axes.column.max())
    for tile in tiles(
        unit_s,
        unit_t,
        chunk_size,
        lambda rows, columns: rows.start <= linked[0] or columns.start <= linked[1],
    ):
        tile.block.sub_(half_s[tile.rows, None]).sub_(half_t[tile.columns])
        forth_counter.add(tile.rows, tile.columns, tile.block)
        back_counter.add(tile.columns, tile.rows, tile.block.t())
    forth = torch.empty_like(gold, dtype=torch.float32)
    forth[axes.order] = forth_counter.ranks()
    backward = torch.empty_like(forth)
    backward[axes.order[back]] = back_counter.ranks()
    return forth, backward


def _tiles_of_links(axes: CandidateAxes, height: int, width: int) -> Callable[[slice, slice], bool]:
    """Tells which tiles have the score of a link in them."""
    places = torch.stack([axes.row // height, axes.column // width]).unique(dim=1)
    wanted = set(map(tuple, places.t().tolist()))
    return lambda rows, columns: (rows.start // height, columns.start // width) in wanted


def _take_gold(gold: Tensor, axes: CandidateAxes, tile: Tile) -> None:
    """Copies the scores of the links that are in the tile."""
    low, high = _span(axes.row, tile.rows.start, tile.rows.stop)
    column = axes.column[low:high]
    inside = ((column >= tile.columns.start) & (column < tile.columns.stop)).nonzero().view(-1)
    row = axes.row[low:high][inside] - tile.rows.start
    gold[low + inside] = tile.block[row, column[inside] - tile.columns.start]


class _SignCounter:
    """Sums, for every link, the signs of (score of a wrong candidate - score of the link) in one
    direction.

    Args:
        query (torch.Tensor): Place of each link's query, ascending :math:`(L)`.
        answer (torch.Tensor): Place of each link's answer among the candidates :math:`(L)`.
        gold (torch.Tensor): Score of each link :math:`(L)`.
        num_candidates (int): Number of candidates.
    """

    def __init__(self, query: Tensor, answer: Tensor, gold: Tensor, num_candidates: int) -> None:
        self.query, self.gold = query, gold
        # The largest number that is less than eight epsilons: a gap up to it is a tie.
        tolerance = gold.new_tensor(8 * torch.finfo(gold.dtype).eps)
        self.tolerance = float(torch.nextafter(tolerance, gold.new_tensor(0.0)))
        # Linked entities are in front, so that no rows need to be picked if each has one link.
        self.one_to_one = int(query[-1]) + 1 == query.numel()
        link, known = known_answers(query, answer)  # sorted by link
        self.num_wrong = num_candidates - link.bincount(minlength=query.numel())
        # The gap of a link to itself is zero; other true answers need to be left out.
        other = known != answer[link]
        self.link, self.known = link[other], known[other]
        self.signs = torch.zeros_like(gold, dtype=torch.float64)
        self._buffer = gold.new_empty(0)

    def add(self, queries: slice, candidates: slice, score: Tensor) -> None:
        """Counts for the links whose query is in these rows, over these candidates."""
        low, high = _span(self.query, queries.start, queries.stop)
        if low == high:
            return
        gap = (
            score[: high - low] if self.one_to_one else score[self.query[low:high] - queries.start]
        )
        gap = torch.sub(gap, self.gold[low:high, None], out=self._like(gap))
        if self.link.numel() > 0:
            first, last = _span(self.link, low, high)
            known = self.known[first:last]
            inside = (known >= candidates.start) & (known < candidates.stop)
            gap[self.link[first:last][inside] - low, known[inside] - candidates.start] = 0
        torch.hardshrink(gap, self.tolerance, out=gap)
        self.signs[low:high] += gap.sign_().sum(dim=1)

    def ranks(self) -> Tensor:
        """Realistic ranks: the wrong candidates are either ahead (+1), tied (0) or behind (-1)."""
        return ((self.num_wrong + self.signs) / 2 + 1).float()

    def _like(self, score: Tensor) -> Tensor:
        """Returns a buffer with the shape and the strides of the scores."""
        if self._buffer.numel() < score.numel():
            self._buffer = score.new_empty(score.numel())
        buffer = self._buffer[: score.numel()]
        if score.stride(0) == 1:
            return buffer.view(score.t().shape).t()
        return buffer.view(score.shape)


def candidate_axes(
    num_s: int, num_t: int, links: Tensor, candidates: Candidates = "test"
) -> CandidateAxes:
    """Lists the candidates of both sides and where each link is among them.

    Raises:
        ValueError: If ``links`` is empty, malformed or out of range, or ``candidates`` is
            none of the choices.
    """
    check_links("links", links, (num_s, num_t))
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
    for name, ids, num in zip(SIDES, extra, (num_s, num_t), strict=True):
        if isinstance(ids, Tensor) and ids.numel() > 0 and not 0 <= ids.min() <= ids.max() < num:
            low, high = int(ids.min()), int(ids.max())
            raise ValueError(f"{name} ids need to be in [0, {num}) (got {low} to {high})")
    source, row = _axis(links[0], num_s, extra[0])
    order = row.argsort(stable=True)
    target, column = _axis(links[1, order], num_t, extra[1])
    return CandidateAxes(source, target, row[order], column, order)


def _axis(linked: Tensor, num_entities: int, extra: Tensor | slice) -> tuple[Tensor, Tensor]:
    """Returns the candidates, linked ones in front, and the place of each link among them."""
    unique, place = linked.unique(return_inverse=True)
    if unique.numel() == linked.numel():  # keep the order of the links: no gathering later
        unique, place = linked, torch.arange(linked.numel(), device=linked.device)
    others = torch.zeros(num_entities, dtype=torch.bool, device=linked.device)
    others[extra] = True
    others[unique] = False
    return torch.cat([unique, others.nonzero().view(-1)]), place


def _span(ascending: Tensor, start: int, stop: int) -> tuple[int, int]:
    """The slice of an ascending vector whose values are in ``[start, stop)``."""
    bounds = torch.tensor([start, stop], device=ascending.device)
    low, high = torch.searchsorted(ascending.contiguous(), bounds).tolist()
    return low, high
