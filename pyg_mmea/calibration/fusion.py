"""Weights of modalities and their parts, learned from links that no encoder was trained on."""

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_mmea.data import sample_links
from pyg_mmea.typing import Embeddings
from pyg_mmea.utils.similarity import at_least_single

_SCALE = 10.0  # inverse temperature of equal weights, from where the fit starts


@torch.inference_mode(False)  # it takes gradients, and validations run in inference mode
def fit_view_weights(
    out: Embeddings,
    links: Tensor,
    num_negatives: int = 3000,
    penalty: float = 0.01,
    num_iters: int = 100,
    max_links: int = 2000,
) -> dict[str, float]:
    r"""Finds how much each modality, or each part of it (:func:`split_parts`), should count, by a
    conditional logit model: the probability that :math:`j` is the counterpart of :math:`i` among
    sampled candidates is

    .. math::
        p(j \mid i) \propto \exp \Big( \frac{10}{M} \sum_{m=1}^{M} e^{\theta_m}
        \cos(\mathbf{h}^m_i, \mathbf{h}^m_j) \Big)

    and :math:`\theta` maximises the likelihood of the links in both directions, minus a penalty
    on its spread and, a tenth as strong, on its mean. Encoders fit their training links almost
    perfectly, so weights that are learned on those links favour the modality that memorises best;
    links that were held back favour the one that generalises best. There is one parameter a
    modality or part, and the penalty pulls them together, so that a few dozen links are enough.

    Args:
        out (dict): Embeddings by side and modality; :obj:`"joint"` is passed over.
        links (torch.Tensor): Links that no encoder was trained on :math:`(2, C)`.
        num_negatives (int): Candidates sampled from each graph, at most as many as the smaller one
            has. (default: :obj:`3000`)
        penalty (float): Weight of the squared distance of :math:`\theta` from its mean.
            (default: :obj:`0.01`)
        num_iters (int): Largest number of L-BFGS iterations. (default: :obj:`100`)
        max_links (int): Of more links than these, a random sample is looked at, the same at every
            call; memory grows with it, and with the number of parts. (default: :obj:`2000`)

    Returns:
        dict: A positive weight for each modality, adding up to one.

    Raises:
        ValueError: If there is no link, or none is to be looked at.
    """
    if links.size(1) == 0:
        raise ValueError("'links' needs to hold at least one link (got none)")
    if max_links < 1:
        raise ValueError(f"'max_links' needs to be at least 1 (got {max_links})")
    links = sample_links(links, max_links)
    names = [name for name in out["source"] if name != "joint"]
    links = links.to(out["source"][names[0]].device)
    generator = torch.Generator().manual_seed(0)  # the same candidates at every call
    sizes = {side: out[side][names[0]].size(0) for side in ("source", "target")}
    num = min(num_negatives, *sizes.values())
    sample = {side: torch.randperm(sizes[side], generator=generator)[:num] for side in sizes}
    scores = _all_scores(out, names, links, sample)
    # In double precision: the line search tries steps that single precision cannot hold.
    theta = torch.zeros_like(scores[0, 0], dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([theta], max_iter=num_iters, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        logit = scores @ (theta.exp() * (_SCALE / len(names))).to(scores.dtype)
        loss = (logit.logsumexp(dim=1) - logit[:, 0]).mean()
        # Links that are told apart perfectly would drive the scale without end.
        loss = loss + penalty * (theta - theta.mean()).square().sum()
        loss = loss + penalty / 10 * theta.mean().square()
        loss.backward()
        return loss

    with torch.enable_grad(), torch.autocast(scores.device.type, enabled=False):
        optimizer.step(closure)
    weight = theta.detach().softmax(dim=0)
    return dict(zip(names, weight.tolist(), strict=True))


def _all_scores(
    out: Embeddings, names: list[str], links: Tensor, sample: Mapping[str, Tensor]
) -> Tensor:
    """Cosines of all views in both directions, the counterpart first ``[2 C, 1 + negatives, M]``,
    in place: beside its parts it would take twice the memory."""
    num_links, num = links.size(1), sample["source"].numel()
    views = [x for name in names for x in (out["source"][name], out["target"][name])]
    dtype = reduce(torch.promote_types, (x.dtype for x in views), torch.float32)
    scores = views[0].new_empty(2 * num_links, 1 + num, len(names), dtype=dtype)
    for i, name in enumerate(names):
        x_s, x_t = out["source"][name], out["target"][name]
        scores[:num_links, :, i] = _scores(x_s, x_t, links, sample["target"])
        scores[num_links:, :, i] = _scores(x_t, x_s, links.flip(0), sample["source"])
    return scores


def _scores(x: Tensor, y: Tensor, links: Tensor, sample: Tensor) -> Tensor:
    x, y, sample = x.detach(), y.detach(), sample.to(links.device)
    dtype = torch.promote_types(x.dtype, torch.float32)  # at least single precision
    anchor = F.normalize(x[links[0]].to(dtype), dim=1)  # [C, D]
    gold = (anchor * F.normalize(y[links[1]].to(dtype), dim=1)).sum(dim=1, keepdim=True)
    with torch.autocast(x.device.type, enabled=False):  # as precise as the sum above
        other = anchor @ F.normalize(y[sample].to(dtype), dim=1).t()  # [C, negatives]
    other.masked_fill_(links[1].view(-1, 1) == sample.view(1, -1), -1.0)
    return torch.cat([gold, other], dim=1)


def split_parts(views: Mapping[str, Tensor], num_parts: Mapping[str, int]) -> dict[str, Tensor]:
    """Takes views apart that are concatenations, such as of the layers of an encoder, so that each
    part can be weighed on its own.

    Args:
        views (dict): Embeddings by name :math:`(N, D_m)`; :obj:`"joint"` is left out.
        num_parts (dict): Of how many parts of equal size a view is made; one if it is not named.

    Returns:
        dict: Parts by name, :obj:`"<view>.0"` and so on, the name of the view where there is one;
        they share the memory of the views.

    Raises:
        ValueError: If the size of a view is no multiple of its number of parts.
    """
    parts: dict[str, Tensor] = {}
    for name, view in views.items():
        if name == "joint":
            continue
        num = num_parts.get(name, 1)
        if num < 1 or view.size(1) % num != 0:
            raise ValueError(
                f"'num_parts' of '{name}' needs to divide its size {view.size(1)} (got {num})"
            )
        if num == 1:
            parts[name] = view
        else:
            parts |= {f"{name}.{i}": part for i, part in enumerate(view.chunk(num, dim=1))}
    return parts


def sum_parts(weights: Mapping[str, float]) -> dict[str, float]:
    """Returns the weight of each view, given those of the parts of :func:`split_parts`."""
    total: dict[str, float] = {}
    for part, weight in weights.items():
        total[_view(part)] = total.get(_view(part), 0.0) + weight
    return total


def even_weights(parts: Iterable[str]) -> dict[str, float]:
    """Returns weights by which all views count the same, and all parts of a view."""
    parts = list(parts)
    num_parts = Counter(map(_view, parts))
    return {part: 1 / (len(num_parts) * num_parts[_view(part)]) for part in parts}


def _view(part: str) -> str:
    name, _, place = part.rpartition(".")
    return name if name and place.isdigit() else part


def weighted_joint(views: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    r"""Concatenates :math:`\sqrt{w_m} \, \mathbf{h}^m / \lVert \mathbf{h}^m \rVert`, so that the
    inner product of two rows is the weighted sum of the cosines of their modalities.

    Args:
        views (dict): Embeddings by modality :math:`(N, D_m)`; :obj:`"joint"` is passed over.
        weights (dict): Weight of each modality.

    Shapes:
        - **output:** :math:`(N, \sum_m D_m)`
    """
    views = {name: view for name, view in views.items() if name != "joint"}
    # Written in place: the normalised views beside their concatenation would double the peak.
    first = next(iter(views.values()))
    dtype = reduce(torch.promote_types, (view.dtype for view in views.values()))
    width = sum(view.size(1) for view in views.values())
    joint = first.new_empty(first.size(0), width, dtype=dtype)
    start = 0
    for name, view in views.items():
        stop = start + view.size(1)
        joint[:, start:stop] = weights[name] ** 0.5 * F.normalize(at_least_single(view), dim=1)
        start = stop
    return joint
