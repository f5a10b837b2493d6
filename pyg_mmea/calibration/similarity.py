"""The pairs worth a look, and how similar each voter finds them."""

from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor

from pyg_mmea.typing import Embeddings
from pyg_mmea.utils.matching import mutual_best
from pyg_mmea.utils.pairs import contains
from pyg_mmea.utils.ranges import list_ranges
from pyg_mmea.utils.search import nearest_pairs, principal_rows
from pyg_mmea.utils.sparse import SparsePattern, sddmm


class SparseSimilarity:
    r"""The nearest neighbours of all entities without a link by the joint embedding, with the
    cosine of each voter: the joint embedding, every modality, and the joint embedding of the
    momentum encoder. Nothing is :math:`N \times N`: there are at most :math:`k (N_s + N_t)` pairs.

    Neighbours are searched by the principal components of the joint embedding, and compared by the
    embeddings themselves. A search that is not exact misses a counterpart now and then, which
    calibration can afford; :mod:`pyg_mmea.metrics` is exact. Entities of which nothing is known,
    whose joint embedding is zero, have no pairs.

    Args:
        pairs (torch.Tensor): Source and target ids, sorted by source :math:`(2, P)`.
        cosine (dict[str, torch.Tensor]): Cosine by voter, NaN where an entity lacks the modality
            :math:`(P)`.
    """

    def __init__(self, pairs: Tensor, cosine: Mapping[str, Tensor]) -> None:
        self.pairs = pairs
        self.cosine = dict(cosine)
        # Rows and columns: the entities that occur, numbered anew.
        self.ends = [_renumber(ids) for ids in pairs]
        self.num_ends = [1 + int(end.max()) if end.numel() else 0 for end in self.ends]

    @cached_property
    def orders(self) -> list[Tensor]:
        """The places of the pairs by source, and by target."""
        source, target = self.ends
        return [torch.arange(source.numel(), device=source.device), target.argsort(stable=True)]

    @classmethod
    def build(
        cls,
        online: Embeddings,
        momentum: Embeddings | None,
        free_s: Tensor,
        free_t: Tensor,
        excluded: Tensor | None = None,
        k: int = 50,
        channels: int = 128,
        search: str = "auto",
    ) -> "SparseSimilarity":
        """Compares entities without a link.

        Args:
            online (dict): Embeddings of the online encoder, by side and modality, without
                gradients: :obj:`"joint"`, by which neighbours are found, and any that vote.
            momentum (dict, optional): Those of the momentum encoder, of which :obj:`"joint"`
                votes.
            free_s (torch.Tensor): Ids of source entities without a link :math:`(F_s)`.
            free_t (torch.Tensor): Ids of target entities without a link :math:`(F_t)`.
            excluded (torch.Tensor, optional): Pairs that are known to be wrong :math:`(2, X)`.
                (default: :obj:`None`)
            k (int): Neighbours of each entity. (default: :obj:`50`)
            channels (int): Principal components that the search compares. (default: :obj:`128`)
            search (str): How neighbours are searched, see :func:`~pyg_mmea.utils.nearest_pairs`;
                processes of a group share the search. (default: :obj:`"auto"`)
        """
        voters = {name: (x, online["target"][name]) for name, x in online["source"].items()}
        if momentum is not None:
            voters["momentum"] = (momentum["source"]["joint"], momentum["target"]["joint"])
        free = free_s, free_t
        if min(end.numel() for end in free) == 0:
            none = online["source"]["joint"].new_empty(0)
            return cls(free_s.new_empty(2, 0), dict.fromkeys(voters, none))
        rows = principal_rows(*voters["joint"], channels, *free)
        local = nearest_pairs(rows[0], rows[1], k, search=search, shared=True)
        del rows
        pairs = torch.stack([free_s[local[0]], free_t[local[1]]])
        present = [x.any(dim=1) for x in voters["joint"]]
        pairs = pairs[:, present[0][pairs[0]] & present[1][pairs[1]]]
        if excluded is not None:
            pairs = pairs[:, ~contains(excluded.to(pairs.device), pairs)]
        sizes = voters["joint"][0].size(0), voters["joint"][1].size(0)
        pattern = SparsePattern(pairs[0], pairs[1], sizes)
        cosine = {}
        for name, (x_s, x_t) in voters.items():
            # By the norms of rows instead of rows of length one, which would be a copy.
            scale = _norms(name, x_s)[pairs[0]] * _norms(name, x_t)[pairs[1]]
            dots = sddmm(pattern, x_s, x_t)
            cosine[name] = dots / scale.masked_fill_(scale == 0, torch.nan).to(dots.dtype)
        return cls(pairs, cosine)

    @property
    def num_pairs(self) -> int:
        """Number of pairs :math:`P`."""
        return self.pairs.size(1)

    def csls(self, k: int = 10) -> Tensor:
        r"""Returns the joint score of each pair by cross-domain similarity local scaling (CSLS),
        :math:`2 \cos(i, j) - r_s(i) - r_t(j)`, the plain cosine if :math:`k` is zero
        :math:`(P)`."""
        cosine = self.cosine["joint"]
        if k == 0:
            return cosine
        score = 2 * cosine
        best_first = cosine.argsort(descending=True, stable=True)
        for end, num in zip(self.ends, self.num_ends, strict=True):
            order = best_first[end[best_first].argsort(stable=True)]  # by entity, best first
            count = end.bincount(minlength=num)
            place = torch.arange(end.numel(), device=end.device)
            first = (place - (count.cumsum(0) - count)[end[order]]) < k
            total = cosine.new_zeros(num).index_add(0, end[order][first], cosine[order][first])
            score = score - (total / count.clamp(max=k))[end]
        return score

    def mutual_best(self, score: Tensor) -> Tensor:
        """Returns the places of the pairs that both ends score highest and no other pair as high,
        so that no entity is in two of them."""
        return mutual_best(self.pairs, score)

    def rivals(self, places: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Lists for some pairs all other pairs of the same source, and of the same target.

        Args:
            places (torch.Tensor): Places of the pairs :math:`(C)`.

        Returns:
            list: For source and target two tensors :math:`(Q)`: which of :obj:`places`, and the
            place of its rival.
        """
        found = []
        for end, num, order in zip(self.ends, self.num_ends, self.orders, strict=True):
            count = end.bincount(minlength=num)
            start = count.cumsum(0) - count
            which, place = list_ranges(start[end[places]], count[end[places]])
            rival = order[place]
            other = rival != places[which]
            found.append((which[other], rival[other]))
        return found

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.num_pairs}, voters={list(self.cosine)})"


def _renumber(ids: Tensor) -> Tensor:
    """Numbers the ids that occur, in ascending order; nothing needs to be sorted for that."""
    return ((ids.bincount() > 0).cumsum(0) - 1)[ids]


def _norms(name: str, x: Tensor) -> Tensor:
    # In double precision, where squares neither over- nor underflow.
    norms = torch.linalg.vector_norm(x, dim=1, dtype=torch.double)
    if not bool(norms.isfinite().all()):
        raise ValueError(f"embeddings of '{name}' need to be finite (got NaN or infinity)")
    return norms
