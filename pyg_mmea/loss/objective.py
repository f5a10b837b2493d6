"""The sum of losses that PCMEA is trained with."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import ModuleDict
from torch_geometric.nn.inits import reset

from pyg_mmea.loss._pairs import present_rows, rows_of
from pyg_mmea.loss.alignment_kl import AlignmentKLLoss
from pyg_mmea.loss.batch_similarity import BatchSimilarity
from pyg_mmea.loss.info_nce import InfoNCELoss
from pyg_mmea.loss.momentum_contrast import MomentumContrastLoss
from pyg_mmea.loss.mutual_information import MutualInformationLoss
from pyg_mmea.loss.sampled_softmax import SampledSoftmaxLoss
from pyg_mmea.loss.uncertainty_weighting import UncertaintyWeighting
from pyg_mmea.typing import SIDES, Embeddings


class PCMEAObjective(torch.nn.Module):
    r"""The objective of `"Pseudo-Label Calibration Semi-supervised Multi-Modal Entity Alignment"
    <https://arxiv.org/abs/2403.01203>`_:

    .. math::
        \mathcal{L} = \mathcal{L}_{\mathrm{soft}} +
        \sum_m \left( e^{-s_m} \mathcal{L}^m_{\mathrm{ICL}} + s_m \right) +
        \sum_m \left( e^{-u_m} \mathcal{L}^m_{\mathrm{KL}} + u_m \right) -
        \lambda \sum_m I(\mathbf{h}^m; \mathbf{z}) + \mathcal{L}_{\mathrm{MoCo}}

    * :math:`\mathcal{L}_{\mathrm{soft}}` (ours): the joint embedding of all links of the batch
      against negatives from all entities,
      :class:`~pyg_mmea.loss.SampledSoftmaxLoss`;
    * :math:`\mathcal{L}^m_{\mathrm{ICL}}`: :class:`~pyg_mmea.loss.InfoNCELoss` of each modality
      and of the joint embedding, on :obj:`contrast_size` links of the batch;
    * :math:`\mathcal{L}^m_{\mathrm{KL}}`: :class:`~pyg_mmea.loss.AlignmentKLLoss` of each
      modality against the joint embedding, on the same links;
    * :math:`I`: :class:`~pyg_mmea.loss.MutualInformationLoss`, whose critics are parameters of
      this module, over the entities that were embedded, of more than 1,024 a random sample, the
      mean of both graphs;
    * :math:`\mathcal{L}_{\mathrm{MoCo}}`: :class:`~pyg_mmea.loss.MomentumContrastLoss` of the
      joint embedding, on the same links, where embeddings of the momentum encoder are given.

    Each of the five summands has a weight, of which the equation has :math:`\lambda` only. A weight
    of zero leaves a term out and saves its time. A link of which an entity lacks a
    modality, which is to say has a row of zeros there, is no pair of that modality, and a modality
    without any pair is left out.

    Args:
        channels (dict[str, int]): Size of the embedding of each modality and of :obj:`"joint"`.
        contrast_size (int): Links that the terms quadratic in their number use.
            (default: :obj:`512`)
        temperature (float): Of the sampled softmax. (default: :obj:`0.05`)
        contrast_temperature (float): Of the intra-modal contrast. (default: :obj:`0.1`)
        kl_temperature (float): Of the inter-modal alignment. (default: :obj:`4.0`)
        momentum_temperature (float): Of the momentum contrast. (default: :obj:`0.05`)
        soft_weight (float): Weight of the sampled softmax. (default: :obj:`1.0`)
        contrast_weight (float): Weight of the intra-modal contrast. (default: :obj:`0.1`)
        kl_weight (float): Weight of the inter-modal alignment. (default: :obj:`0.1`)
        mi_weight (float): Weight :math:`\lambda` of the mutual information.
            (default: :obj:`0.02`)
        momentum_weight (float): Weight of the momentum contrast. (default: :obj:`1.0`)
        mi_bound (str): Lower bound of the mutual information. (default: :obj:`"jsd"`)
    """

    def __init__(
        self,
        channels: Mapping[str, int],
        contrast_size: int = 512,
        temperature: float = 0.05,
        contrast_temperature: float = 0.1,
        kl_temperature: float = 4.0,
        momentum_temperature: float = 0.05,
        soft_weight: float = 1.0,
        contrast_weight: float = 0.1,
        kl_weight: float = 0.1,
        mi_weight: float = 0.02,
        momentum_weight: float = 1.0,
        mi_bound: str = "jsd",
    ) -> None:
        super().__init__()
        self.modalities = [name for name in channels if name != "joint"]
        self.contrast_size = contrast_size
        self.soft_weight = soft_weight
        self.contrast_weight = contrast_weight
        self.kl_weight = kl_weight
        self.mi_weight = mi_weight
        self.momentum_weight = momentum_weight
        self.soft = SampledSoftmaxLoss(temperature)
        self.contrast = InfoNCELoss(contrast_temperature)
        self.kl = AlignmentKLLoss(kl_temperature)
        self.moco = MomentumContrastLoss(momentum_temperature)
        self.contrast_balance = UncertaintyWeighting([*self.modalities, "joint"])
        self.kl_balance = UncertaintyWeighting(self.modalities)
        self.information = ModuleDict()
        if mi_weight > 0:
            self.information.update(
                {
                    name: MutualInformationLoss(channels[name], channels["joint"], mi_bound)
                    for name in self.modalities
                }
            )

    def reset_parameters(self) -> None:
        """Resets all learnable parameters."""
        for module in self.children():
            reset(module)

    def forward(
        self,
        out: Embeddings,
        links: Tensor,
        weight: Tensor | None = None,
        negatives: Mapping[str, Tensor] | None = None,
        momentum: Embeddings | None = None,
    ) -> dict[str, Tensor]:
        """Computes the weighted terms; their sum is the loss.

        Args:
            out (dict): What the model returns.
            links (torch.Tensor): Rows of :obj:`out` that are the ends of the batch's links
                :math:`(2, B)`.
            weight (torch.Tensor, optional): Weight of each link, a constant :math:`(B)`.
                (default: :obj:`None`)
            negatives (dict, optional): Rows of each side that the sampled softmax contrasts with.
                (default: :obj:`None`, which means all)
            momentum (dict, optional): What the momentum encoder returns. (default: :obj:`None`)

        Returns:
            dict: Scalars ``soft``, ``contrast``, ``kl``, ``mi``, ``momentum``, those in use.
        """
        terms: dict[str, Tensor] = {}
        if self.soft_weight > 0:
            terms["soft"] = self.soft_weight * self._soft(out, links, weight, negatives)

        chosen = torch.randperm(links.size(1), device=links.device)[: self.contrast_size]
        few = links[:, chosen]  # [2, b]
        few_weight = None if weight is None else weight[chosen]
        terms |= self._within_batch(out, few, few_weight)
        if self.mi_weight > 0:
            terms["mi"] = self.mi_weight * self._information(out)
        if momentum is not None and self.momentum_weight > 0:
            ends = (*_ends(out, "joint", few), *_ends(momentum, "joint", few))
            loss = self.moco(*ends, weight=few_weight, index_s=few[0], index_t=few[1])
            terms["momentum"] = self.momentum_weight * loss
        return terms

    def _within_batch(
        self, out: Embeddings, links: Tensor, weight: Tensor | None
    ) -> dict[str, Tensor]:
        """Contrast and inter-modal alignment, which share the similarities of the batch."""
        if self.contrast_weight == 0 and self.kl_weight == 0:
            return {}
        rows = {name: _ends(out, name, links) for name in [*self.modalities, "joint"]}
        whole = BatchSimilarity(*rows["joint"])
        targets: dict[BatchSimilarity, list[Tensor]] = {}  # most modalities share that of the whole
        contrast: dict[str, Tensor] = {}
        kl: dict[str, Tensor] = {}
        for name, (x_s, x_t) in rows.items():
            similarity, joint, index, share = BatchSimilarity(x_s, x_t), whole, links, weight
            kept = present_rows(x_s) & present_rows(x_t)
            if not bool(kept.all()):
                similarity = BatchSimilarity(x_s[kept], x_t[kept])
                joint = BatchSimilarity(*(x[kept] for x in rows["joint"]))
                index, share = links[:, kept], None if weight is None else weight[kept]
            if similarity.num_links == 0:
                continue
            if name == "joint":
                similarity = joint
            if self.contrast_weight > 0:
                contrast[name] = self.contrast.of(similarity, share, *index)
            if self.kl_weight > 0 and name != "joint":
                if joint not in targets:
                    targets[joint] = self.kl.log_distributions(joint.detached())
                kl[name] = self.kl.of(similarity, targets[joint], share)
        terms = {}
        if contrast:
            terms["contrast"] = self.contrast_weight * self.contrast_balance(contrast)
        if kl:
            terms["kl"] = self.kl_weight * self.kl_balance(kl)
        return terms

    def _soft(
        self,
        out: Embeddings,
        links: Tensor,
        weight: Tensor | None,
        negatives: Mapping[str, Tensor] | None,
    ) -> Tensor:
        joint = [out[side]["joint"] for side in SIDES]
        if negatives is None:
            sample = [torch.arange(z.size(0), device=z.device) for z in joint]
        else:
            sample = [negatives[side] for side in SIDES]
        return self.soft(
            *rows_of(joint, links), *rows_of(joint, sample), *links, *sample, weight=weight
        )

    def _information(self, out: Embeddings) -> Tensor:
        total = out["source"]["joint"].new_zeros(())
        for name, bound in self.information.items():
            for part in (out[side] for side in SIDES):
                total = total + bound(part[name], part["joint"], present_rows(part[name])) / 2
        return total


def _ends(out: Embeddings, name: str, links: Tensor) -> list[Tensor]:
    return rows_of([out[side][name] for side in SIDES], links)
