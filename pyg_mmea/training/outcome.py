"""What a run ends in: its summary and its alignment."""

from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_mmea import __version__
from pyg_mmea.calibration import Calibrator
from pyg_mmea.metrics import pseudo_label_precision
from pyg_mmea.training.module import AlignmentModule
from pyg_mmea.training.phase import PhaseResult
from pyg_mmea.training.resources import peak_gpu_mb, peak_rss_mb
from pyg_mmea.training.seeds import Seeds
from pyg_mmea.typing import ANCHOR_EDGE


def summarize(
    data: HeteroData,
    module: AlignmentModule,
    calibrator: Calibrator,
    seed: int,
    seeds: Seeds,
    run: PhaseResult,
    again: PhaseResult | None,
) -> dict[str, Any]:
    """Returns :obj:`result.json` without the metrics.

    Args:
        data (HeteroData): The pair, with all links.
        module (AlignmentModule): What was trained.
        calibrator (Calibrator): Its pool and confidence.
        seed (int): Seed of the model.
        seeds (Seeds): The links it was trained on.
        run (PhaseResult): The training that was selected on validation links.
        again (PhaseResult, optional): The training on all seeds, if there was one.
    """
    pseudo = calibrator.pool.pairs
    anchors = data[ANCHOR_EDGE]
    hidden = anchors.edge_label_index[:, ~anchors.train_mask].cpu()
    return {
        "dataset": data.dataset if "dataset" in data else None,
        "model": type(module.model).__name__,
        "version": __version__,
        "git": None,
        "seed": seed,
        "split_seed": None,
        "device": str(module.device),
        "epochs": run.epochs,
        "refit_epochs": again.epochs if again else 0,
        "train_seconds": round(run.seconds + (again.seconds if again else 0.0), 2),
        "peak_rss_mb": peak_rss_mb(),
        "peak_gpu_mb": peak_gpu_mb(module.device),
        "num_seeds": (seeds.all if again else seeds.train).size(1),
        "num_decided_by_hand": seeds.accepted.size(1) + seeds.rejected.size(1),
        "num_pseudo_labels": pseudo.size(1),
        "pseudo_label_precision": pseudo_label_precision(pseudo, hidden)["precision"],
        "confidence_rule": calibrator.confidence.rule,
        "selection": run.selection,
        "view_weights": module.view_weights,
    }


def alignment_table(
    data: HeteroData, known: Tensor, found: Tensor, confidence: Tensor, margin: Tensor
) -> pd.DataFrame:
    """Returns links as a table of URIs, known ones in front.

    Args:
        data (HeteroData): The pair.
        known (torch.Tensor): Seeds :math:`(2, L)`.
        found (torch.Tensor): Predicted pairs, best first :math:`(2, P)`.
        confidence (torch.Tensor): Their confidence :math:`(P)`.
        margin (torch.Tensor): Their margin :math:`(P)`.
    """
    pairs = torch.cat([known, found], dim=1)
    num_known, num_found = known.size(1), found.size(1)
    uri_s, uri_t = data["source"].uri, data["target"].uri
    table = pd.DataFrame(
        {
            "source": [uri_s[i] for i in pairs[0].tolist()],
            "target": [uri_t[i] for i in pairs[1].tolist()],
            "confidence": [1.0] * num_known + confidence.tolist(),
            "rank_margin": [float("nan")] * num_known + margin.tolist(),
            "origin": ["known"] * num_known + ["predicted"] * num_found,
        }
    )
    table.attrs["abstained"] = data["source"].num_nodes - pairs[0].unique().numel()
    return table
