"""Known links that look wrong."""

from torch import Tensor

from pyg_mmea.calibration.confidence import MAJORITY
from pyg_mmea.calibration.propose import Candidates
from pyg_mmea.calibration.similarity import SparseSimilarity
from pyg_mmea.calibration.vote import Votes
from pyg_mmea.utils.pairs import contains, judge


def doubtful_links(
    candidates: Candidates, votes: Votes, similarity: SparseSimilarity, links: Tensor
) -> Tensor:
    r"""Tells which of the links that no encoder was trained on look wrong: those whose entities are
    not even among the many nearest neighbours of each other, while for one of them most voters
    rank the same other entity first.

    A wrong link pairs an entity with one that has nothing in common with it, and whatever is
    proposed for either then counts as a mistake. Where a tenth of the links are wrong, no pair of
    entities would look more than nine tenths sure. The counterpart of an entity that the encoders
    get wrong is nearly always among its neighbours, or else they have no clear favourite.

    Confidence that is learned without these links is as good as this rule is: what it promises
    holds for entities whose right links do not look like that.

    Args:
        candidates (Candidates): The pairs that are proposed.
        votes (Votes): Their evidence.
        similarity (SparseSimilarity): The nearest neighbours of all entities without a link.
        links (torch.Tensor): Source and target ids :math:`(2, C)`.

    Returns:
        torch.Tensor: A bool tensor :math:`(C)`.
    """
    near = contains(similarity.pairs, links.to(similarity.pairs.device)).to(links.device)
    favoured = candidates.pairs[:, votes.share_first() >= MAJORITY].to(links.device)
    contested, _ = judge(links, favoured)
    return contested & ~near
