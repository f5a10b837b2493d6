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

    People should look at these. Confidence is learned with them all the same: the promise of
    :func:`~pyg_mmea.calibration.precision_threshold` is for links that nobody has chosen among, and
    an entity whose right counterpart is far from it looks like that, too.

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
