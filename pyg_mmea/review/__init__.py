"""Going through uncertain pairs with a person."""

from pyg_mmea.review.session import Progress, ReviewSession

__all__ = ["Progress", "ReviewSession"]
