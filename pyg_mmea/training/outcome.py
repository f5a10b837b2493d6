"""What a run ends in: its summary and its alignment."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_mmea import __version__
from pyg_mmea.calibration import Calibrator, Votes
from pyg_mmea.calibration.confidence import AGREEMENT
from pyg_mmea.calibration.ledger import last_by_hand
from pyg_mmea.data.pivot import validates_on_pivots
from pyg_mmea.metrics import pseudo_label_precision
from pyg_mmea.training.module import AlignmentModule
from pyg_mmea.training.phase import PhaseResult
from pyg_mmea.training.resources import peak_gpu_mb, peak_rss_mb
from pyg_mmea.training.seeds import Seeds
from pyg_mmea.typing import ANCHOR_EDGE, SIDES
from pyg_mmea.utils.export import alignment_table
from pyg_mmea.utils.pairs import unconfirmed_links

logger = logging.getLogger(__name__)


def summarize(
    data: HeteroData,
    module: AlignmentModule,
    calibrator: Calibrator,
    seeds: Seeds,
    run: PhaseResult,
    again: PhaseResult | None,
) -> dict[str, Any]:
    """Returns :obj:`result.json` without the metrics.

    Args:
        data (HeteroData): The pair, with all links.
        module (AlignmentModule): What was trained.
        calibrator (Calibrator): Its pool and confidence.
        seeds (Seeds): The links that training may see.
        run (PhaseResult): The training that was selected on validation links.
        again (PhaseResult, optional): The training that went on, if it did.
    """
    pseudo = calibrator.pool.pairs
    anchors = data[ANCHOR_EDGE]
    hidden = anchors.edge_label_index[:, ~anchors.train_mask].cpu()
    return {
        "dataset": data.dataset if "dataset" in data else None,
        "model": type(module.model).__name__,
        "version": __version__,
        "git": None,
        "seed": module.seed,
        "split_seed": None,
        "device": str(module.device),
        "epochs": run.epochs,
        "refit_epochs": again.epochs if again else 0,
        "train_seconds": round(run.seconds + (again.seconds if again else 0.0), 2),
        "peak_rss_mb": peak_rss_mb(),
        "peak_gpu_mb": peak_gpu_mb(module.device),
        "pivot": anchors.get("pivot"),
        "num_pivots": unconfirmed_links(data).size(1),
        "pivot_judged": anchors.get("pivot_judged"),
        "num_seeds": module.train_links.size(1),
        "num_decided_by_hand": seeds.num_decided,
        "num_pseudo_labels": pseudo.size(1),
        "pseudo_label_precision": pseudo_label_precision(pseudo, hidden)["precision"],
        "confidence_rule": calibrator.confidence.rule,
        "selection": run.selection,
        "view_weights": module.view_weights,
        "part_weights": module.part_weights,
        "rank_by": module.config.rank_by,
    }


def report_doubts(data: HeteroData, links: Tensor) -> list[list[str]]:
    """Tells people which validation links look wrong, and returns their URIs.

    Args:
        data (HeteroData): The pair.
        links (torch.Tensor): See :func:`~pyg_mmea.calibration.doubtful_links` :math:`(2, L)`.
    """
    uris = [
        [data[side].uri[i] for side, i in zip(SIDES, link, strict=True)]
        for link in links.t().tolist()
    ]
    if uris:
        logger.warning(
            "%d validation links look wrong; they are in result.json, such as %s",
            len(uris),
            " = ".join(uris[0]),
        )
    return uris


def predicted_table(
    data: HeteroData,
    state: Mapping[str, Any],
    calibrator: Calibrator,
    target_precision: float | None,
    only_new: bool,
) -> pd.DataFrame:
    """Returns the table of :meth:`Aligner.predict`.

    Args:
        data (HeteroData): The pair.
        state (dict): What the aligner keeps.
        calibrator (Calibrator): Finds the threshold.
        target_precision (float, optional): See :meth:`Aligner.predict`, as what follows.
        only_new (bool): Leave out pairs of two entities that were trained on.

    Raises:
        ValueError: If :obj:`only_new` is asked of an aligner without new entities.
    """
    part = state["alignment"]
    confidence, known = part["confidence"], part["known"]
    order = confidence.argsort(descending=True, stable=True)
    if target_precision is not None:
        threshold = calibrator.threshold(confidence, target_precision)
        if calibrator.confidence.rule == AGREEMENT:
            logger.warning(
                "too few validation links to learn confidence from: it is the share of voters, and "
                "pairs are selected by %s, which promises no precision of %s",
                threshold.rule,
                target_precision,
            )
        elif threshold.rule != "conformal selection":
            logger.warning(
                "the validation links allow no promise of precision %s: pairs are selected by "
                "%s, an estimate",
                target_precision,
                threshold.rule,
            )
        if validates_on_pivots(data):
            logger.warning(
                "a precision of %s is none against the truth: all validation links are what looks "
                "alike by '%s'",
                target_precision,
                data[ANCHOR_EDGE].pivot,
            )
        order = order[confidence[order] >= threshold.value]
    if only_new:
        if "new" not in state:
            raise ValueError("'only_new' needs an aligner that 'extend' made")
        new_s, new_t = (state["new"][side] for side in SIDES)
        pairs = part["pairs"][:, order]
        order = order[new_s[pairs[0]] | new_t[pairs[1]]]
        known = known[:, new_s[known[0]] | new_t[known[1]]]
    found = part["pairs"][:, order]
    accepted = state.get("confirmed", state["accepted"])
    numbers = confidence[order], part["margin"][order]
    table = alignment_table(data, known, found, *numbers, accepted, state.get("pivots"))
    table.attrs["selection"] = None if target_precision is None else threshold.rule
    if part.get("votes"):  # runs of older versions have none
        none = [float("nan")] * known.size(1)
        votes = Votes(**part["votes"]).select(order)
        for voter, ranks in zip(votes.voters, votes.rank.t().tolist(), strict=True):
            table[f"rank_{voter}"] = none + ranks
    if "run" in state:
        table["run"] = state["run"]
    if only_new:
        in_table = torch.cat([known[0], found[0]])
        table.attrs["abstained"] = int((~torch.isin(new_s.nonzero().view(-1), in_table)).sum())
    return table


def without_rejected(table: pd.DataFrame, entries: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Leaves out what people rejected since the training; how much that is, is in
    ``.attrs["rejected"]``.

    Args:
        table (pandas.DataFrame): What :func:`predicted_table` returns.
        entries (Iterable[dict]): Entries of the ledger of the run.
    """
    decided = last_by_hand(entries)
    rejected = {tuple(e.get("uri", ())) for e in decided if e["decision"] == "reject"}
    pairs = zip(table["source"], table["target"], strict=True)
    kept = pd.Series([pair not in rejected for pair in pairs], dtype=bool)
    rest = table[kept].reset_index(drop=True)
    rest.attrs["rejected"] = len(table) - len(rest)
    rest.attrs["abstained"] += table["source"].nunique() - rest["source"].nunique()
    return rest
