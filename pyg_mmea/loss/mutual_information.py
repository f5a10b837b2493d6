"""Lower bounds of the mutual information between a modality and the joint embedding."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Linear, ReLU, Sequential

from pyg_mmea.utils.similarity import at_least_single

_BOUNDS = ("dv", "infonce", "jsd")


class MLPCritic(torch.nn.Module):
    r"""Scores pairs by a two-layer perceptron on their concatenation
    :math:`T(\mathbf{h}, \mathbf{z}) = \mathrm{MLP}(\mathbf{h} \Vert \mathbf{z})`.

    Args:
        in_channels (int): Size of :math:`\mathbf{h}`.
        joint_channels (int): Size of :math:`\mathbf{z}`.
        hidden_channels (int, optional): Size of the hidden layer. (default: :obj:`128`)

    Shapes:
        - **input:** :math:`(N, D_h)`, :math:`(N, D_z)`
        - **output:** :math:`(N)`
    """

    def __init__(self, in_channels: int, joint_channels: int, hidden_channels: int = 128) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.joint_channels = joint_channels
        self.mlp = _mlp(in_channels + joint_channels, hidden_channels, 1)

    def reset_parameters(self) -> None:
        """Resets all learnable parameters."""
        _reset(self.mlp)

    def forward(self, h: Tensor, z: Tensor) -> Tensor:
        """Scores row :math:`i` of both."""
        return self.mlp(torch.cat([h, z], dim=-1)).squeeze(-1)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.in_channels}, {self.joint_channels})"


class SeparableCritic(torch.nn.Module):
    r"""Scores pairs by a dot product of what two perceptrons make of them
    :math:`T(\mathbf{h}, \mathbf{z}) = f(\mathbf{h})^\top g(\mathbf{z})`, so that all pairs cost
    one matrix product.

    Args:
        in_channels (int): Size of :math:`\mathbf{h}`.
        joint_channels (int): Size of :math:`\mathbf{z}`.
        hidden_channels (int, optional): Size of the hidden layers and of the dot product.
            (default: :obj:`128`)

    Shapes:
        - **input:** :math:`(N, D_h)`, :math:`(N, D_z)`
        - **output:** :math:`(N)`, or :math:`(N, N)` of all pairs
    """

    def __init__(self, in_channels: int, joint_channels: int, hidden_channels: int = 128) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.joint_channels = joint_channels
        self.scale = hidden_channels**-0.5
        self.mlp_h = _mlp(in_channels, hidden_channels, hidden_channels)
        self.mlp_z = _mlp(joint_channels, hidden_channels, hidden_channels)

    def reset_parameters(self) -> None:
        """Resets all learnable parameters."""
        _reset(self.mlp_h)
        _reset(self.mlp_z)

    def forward(self, h: Tensor, z: Tensor) -> Tensor:
        """Scores row :math:`i` of both."""
        return (self.mlp_h(h) * self.mlp_z(z)).sum(dim=-1) * self.scale

    def all_pairs(self, h: Tensor, z: Tensor) -> Tensor:
        """Scores every row of :obj:`h` with every row of :obj:`z`."""
        return (self.mlp_h(h) * self.scale) @ self.mlp_z(z).t()

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.in_channels}, {self.joint_channels})"


class MutualInformationLoss(torch.nn.Module):
    r"""The negative of a lower bound of the mutual information :math:`I(\mathbf{h}; \mathbf{z})`
    between a modality and the joint embedding, so that minimising it trains the critic
    :math:`T` and, through their inputs, the encoders. One module serves one modality; its
    critic belongs to it, so an optimiser over the module's parameters trains all.

    :obj:`bound="dv"` is the Donsker-Varadhan bound of `"MINE: Mutual Information Neural
    Estimation" <https://arxiv.org/abs/1801.04062>`_ (eq. 5), in nats, without an upper limit:

    .. math::
        I \geq \mathbb{E}_{p(h, z)}[T] - \log \mathbb{E}_{p(h) p(z)}[e^T]

    :obj:`bound="infonce"` is that of `"Representation Learning with Contrastive Predictive
    Coding" <https://arxiv.org/abs/1807.03748>`_, in nats, averaged over both directions; it never
    exceeds :math:`\log n` for :math:`n` entities:

    .. math::
        I \geq \log n + \frac{1}{n} \sum_i T(h_i, z_i) - \log \sum_j e^{T(h_i, z_j)}

    :obj:`bound="jsd"` is the Jensen-Shannon objective of `"Learning Deep Representations by Mutual
    Information Estimation and Maximization" <https://arxiv.org/abs/1808.06670>`_ (Deep InfoMax,
    eq. 4), shifted by :math:`2 \log 2` so that independence gives zero. It bounds twice the
    Jensen-Shannon divergence of joint and product distribution, not :math:`I`, lies in
    :math:`[0, 2 \log 2]` at the best critic, and is the steadiest:

    .. math::
        - \mathbb{E}_{p(h, z)}[\mathrm{softplus}(-T)]
        - \mathbb{E}_{p(h) p(z)}[\mathrm{softplus}(T)] + 2 \log 2

    Samples of :math:`p(h) p(z)` are made by handing each entity the :math:`\mathbf{z}` of another
    one: a random permutation that leaves no entity in its place.

    Args:
        in_channels (int): Size of :math:`\mathbf{h}`.
        joint_channels (int): Size of :math:`\mathbf{z}`.
        bound (str, optional): The bound, :obj:`"dv"`, :obj:`"infonce"` or :obj:`"jsd"`.
            (default: :obj:`"dv"`)
        hidden_channels (int, optional): Hidden size of the critic. (default: :obj:`128`)
        critic (torch.nn.Module, optional): A critic of one's own, called as ``critic(h, z)``; for
            :obj:`"infonce"` it needs :meth:`all_pairs`. By default :class:`SeparableCritic` for
            :obj:`"infonce"`, :class:`MLPCritic` otherwise. (default: :obj:`None`)
        max_samples (int, optional): A call with more entities uses that many random ones, which
            bounds its time and, for :obj:`"infonce"`, its memory. (default: :obj:`1024`)
        ema_decay (float, optional): With :obj:`"dv"`, the decay of a moving average of
            :math:`\mathbb{E}[e^T]` that takes the place of the batch's in the gradient, as in
            section 3.2 of MINE: the gradient of a logarithm of a batch mean is biased. The value
            stays the same. (default: :obj:`None`)

    Shapes:
        - **input:** ``h`` :math:`(N, D_h)`, ``z`` :math:`(N, D_z)`, ``mask`` :math:`(N)` *(bool)*
        - **output:** scalar; zero with a gradient path if less than two entities are left.

    Raises:
        ValueError: If an argument does not fit the bound.
    """

    log_average: Tensor

    def __init__(
        self,
        in_channels: int,
        joint_channels: int,
        bound: str = "dv",
        hidden_channels: int = 128,
        critic: torch.nn.Module | None = None,
        max_samples: int = 1024,
        ema_decay: float | None = None,
    ) -> None:
        super().__init__()
        if bound not in _BOUNDS:
            raise ValueError(f"'bound' needs to be one of {_BOUNDS} (got '{bound}')")
        if max_samples < 2:
            raise ValueError(f"'max_samples' needs to be at least 2 (got {max_samples})")
        if ema_decay is not None and (bound != "dv" or not 0 < ema_decay < 1):
            raise ValueError(
                f"'ema_decay' needs to be in (0, 1) and 'bound' to be 'dv' (got {ema_decay} and "
                f"'{bound}')"
            )
        if critic is None:
            make = SeparableCritic if bound == "infonce" else MLPCritic
            critic = make(in_channels, joint_channels, hidden_channels)
        elif bound == "infonce" and not hasattr(critic, "all_pairs"):
            raise ValueError("'critic' needs a method 'all_pairs' for 'bound=\"infonce\"'")
        self.bound = bound
        self.critic = critic
        self.max_samples = max_samples
        self.ema_decay = ema_decay
        # log of the moving average of E[exp(T)]; -inf until the first batch
        self.register_buffer("log_average", torch.tensor(-math.inf))

    def reset_parameters(self) -> None:
        """Resets the critic and forgets the moving average."""
        self.critic.reset_parameters()  # type: ignore[operator]
        self.log_average.fill_(-math.inf)

    def forward(
        self,
        h: Tensor,
        z: Tensor,
        mask: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Computes the loss.

        Args:
            h (torch.Tensor): Embeddings of the modality.
            z (torch.Tensor): Joint embeddings of the same entities.
            mask (torch.Tensor, optional): Entities that have the modality; only they count.
                (default: :obj:`None`)
            generator (torch.Generator, optional): Source of the random permutation, on the device
                of the input. (default: :obj:`None`)

        Raises:
            ValueError: If the shapes do not match.
        """
        num = h.size(0)
        if z.size(0) != num or (mask is not None and mask.size() != (num,)):
            got = None if mask is None else list(mask.size())
            raise ValueError(
                f"'h', 'z' and 'mask' need to have the same number of rows (got {num}, "
                f"{z.size(0)} and {got})"
            )
        index = None if mask is None else mask.nonzero().view(-1)
        num = num if index is None else index.numel()
        if num < 2:
            return h[:0].sum() + z[:0].sum()
        # Neighbours in a random order form one cycle, so nobody gets the own z back.
        order = torch.randperm(num, generator=generator, device=h.device)[: self.max_samples]
        if index is not None:
            order = index[order]
        h, z = h.index_select(0, order), z.index_select(0, order)  # [n, D_h], [n, D_z]

        if self.bound == "infonce":
            score = self.critic.all_pairs(h, z)  # type: ignore[operator]
            return -_info_nce(at_least_single(score))
        joint = at_least_single(self.critic(h, z))  # [n]
        marginal = at_least_single(self.critic(h, z.roll(1, dims=0)))  # [n]
        if self.bound == "jsd":
            value = -F.softplus(-joint).mean() - F.softplus(marginal).mean()
            return -(value + 2 * math.log(2))
        return self._log_mean_exp(marginal) - joint.mean()

    def _log_mean_exp(self, score: Tensor) -> Tensor:
        value = score.logsumexp(dim=0) - math.log(score.numel())
        if self.ema_decay is None:
            return value
        with torch.no_grad():
            average = self.log_average.to(value.dtype)
            moved = torch.logaddexp(
                average + math.log(self.ema_decay), value + math.log1p(-self.ema_decay)
            )
            average = torch.where(average.isinf(), value, moved)
            if self.training:
                self.log_average.copy_(average)
        surrogate = (score - average).exp().mean()  # its gradient has the average as denominator
        return surrogate + (value - surrogate).detach()

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.critic}, bound='{self.bound}')"


def _info_nce(score: Tensor) -> Tensor:
    """Returns the bound from the scores ``[n, n]`` of all pairs, joint ones on the diagonal."""
    total = (score.logsumexp(dim=0) + score.logsumexp(dim=1)) / 2  # [n]
    return (score.diagonal() - total).mean() + math.log(score.size(0))


def _mlp(in_channels: int, hidden_channels: int, out_channels: int) -> Sequential:
    return Sequential(
        Linear(in_channels, hidden_channels), ReLU(), Linear(hidden_channels, out_channels)
    )


def _reset(mlp: Sequential) -> None:
    for layer in mlp:
        if isinstance(layer, Linear):
            layer.reset_parameters()
