"""From confidence to a set of pairs of a promised precision."""

import torch
from torch import Tensor

_ROUNDING = 1e-7  # 1 - 0.95 is not 0.05, and 0.95 in single precision not 0.95


def precision_threshold(
    confidence: Tensor,
    case_confidence: Tensor,
    case_right: Tensor,
    precision: float,
    floor: float = 0.0,
) -> float:
    r"""Finds the smallest confidence above which candidates have the precision asked for, by
    conformal selection: `"Selection by Prediction with Conformal p-values"
    <https://arxiv.org/abs/2210.01408>`_ (Jin and Candes, 2023, algorithm 1).

    Of :math:`C` candidates the truth is known, of :math:`P` it is asked. Candidate :math:`j` of
    the latter gets the p-value

    .. math::
        p_j = \frac{1 + |\{c : c \text{ wrong}, \; s_c \geq s_j\}|}{C + 1}

    and the procedure of Benjamini and Hochberg at level :math:`1 -` precision selects those with
    :math:`s_j \geq s`, the smallest :math:`s` with
    :math:`p(s) \, P \leq (1 - \text{precision}) \, |\{j : s_j \geq s\}|`.

    **Promise:** if cases and candidates are exchangeable, the expected share of right ones among
    the selected candidates is at least :obj:`precision`, for any number of cases and any quality
    of the confidence. It is a promise on average over runs, not for each. Nothing can be selected
    from less than :math:`1 / (1 - \text{precision}) - 1` cases, 19 for 0.95.

    With a :obj:`floor`, it is the smallest :math:`s` of those at or above it that satisfies the
    inequality. The promise holds for a floor that is fixed, or depends on the candidates alone and
    does not rise with their confidence (`"Two simple sufficient conditions for FDR control"
    <https://arxiv.org/abs/0802.1406>`_, Blanchard and Roquain, 2008).

    Args:
        confidence (torch.Tensor): Confidence of the candidates :math:`(P)`.
        case_confidence (torch.Tensor): Confidence of the cases, of a model that was fitted without
            them :math:`(C)`.
        case_right (torch.Tensor): Which of them are right :math:`(C)`.
        precision (float): The precision asked for.
        floor (float): Least threshold. (default: :obj:`0.0`)

    Returns:
        float: The threshold, infinity where none suffices.

    Raises:
        ValueError: If :obj:`precision` is not in [0, 1].
    """
    if not 0 <= precision <= 1:
        raise ValueError(f"'precision' needs to be in [0, 1] (got {precision})")
    ordered = confidence.double().sort(descending=True).values
    wrong = case_confidence.double()[~case_right].sort().values
    above = wrong.numel() - torch.searchsorted(wrong, ordered)  # wrong cases at least as sure
    level = (1 + above).double() / (case_right.numel() + 1) * ordered.numel()
    count = torch.searchsorted(-ordered, -ordered, right=True).double()  # of equal ones all or none
    enough = level <= (1 - precision) * count * (1 + _ROUNDING)
    enough = (enough & (ordered >= floor)).nonzero()
    return float(ordered[enough.max()]) if enough.numel() else float("inf")


def expected_threshold(confidence: Tensor, precision: float) -> float:
    """Finds the smallest confidence such that all candidates that reach it have
    :obj:`precision` on average. It is as good as the confidence is calibrated, and promises
    nothing.

    Args:
        confidence (torch.Tensor): Confidence of the candidates :math:`(P)`.
        precision (float): The mean asked for.

    Returns:
        float: The threshold, infinity where none suffices.
    """
    ordered = confidence.double().sort(descending=True).values
    count = torch.searchsorted(-ordered, -ordered, right=True)  # of equal ones all or none
    mean = ordered.cumsum(0)[count - 1] / count
    enough = (mean * (1 + _ROUNDING) >= precision).nonzero()
    return float(ordered[enough.max()]) if enough.numel() else float("inf")
