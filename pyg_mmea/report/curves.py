"""How training and calibration went, epoch by epoch."""

from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from pyg_mmea.calibration import replay
from pyg_mmea.calibration.ledger import is_by_hand
from pyg_mmea.errors import DataError
from pyg_mmea.inspect import Inspector
from pyg_mmea.metrics import pseudo_label_precision
from pyg_mmea.report.figure import LINE, SERIES, Plot, Table, line_style, number, percent, short
from pyg_mmea.typing import ANCHOR_EDGE

_MAX_ROWS = 40  # of the table behind a curve


def read_metrics(folder: Path) -> pd.DataFrame | None:
    """Reads :obj:`metrics.csv`, with epochs counted on over the phases, from 1."""
    path = folder / "metrics.csv"
    if not path.is_file():
        return None
    try:
        table = pd.read_csv(path)
        table = table.astype({"epoch": int, "phase": str})
    except (ValueError, LookupError) as error:
        raise DataError(f"is no table of metrics ({error})", path) from error
    if table.empty:
        return None
    table["epoch"] += 1
    for phase in table["phase"].unique()[1:]:
        here = table["phase"] == phase
        table.loc[here, "epoch"] += table.loc[~here, "epoch"].max()
    return table


def loss_plot(table: pd.DataFrame) -> Plot:
    """The loss and its terms."""
    names = [name for name in table if name == "loss" or str(name).startswith("loss/")]
    names.sort(key=lambda name: name != "loss")
    first, last = table["loss"].iloc[0], table["loss"].iloc[-1]
    plot = Plot(
        "loss",
        "Loss over epochs",
        f"The loss of training went from {first:.3g} to {last:.3g}.",
        _numbers("Loss by epoch", table, names),
    )
    with plot.draw("epoch", "loss") as axes:
        for i, name in enumerate(names):
            _line(axes, table, name, i, short(name.removeprefix("loss/")))
        _mark_phases(axes, table)
    return plot


def validation_plot(table: pd.DataFrame) -> Plot | None:
    """Hits@1 and MRR on validation links; :obj:`None` where nothing was validated."""
    names = [name for name in ("val/hits@1", "val/mrr") if name in table]
    measured = table.dropna(subset=names) if names else table.iloc[:0]
    if measured.empty:
        return None
    best = measured["val/mrr"].max()
    plot = Plot(
        "validation",
        "Validation over epochs",
        "Validation links ranked among all entities, by plain cosine. The best MRR was "
        f"{best:.3f}, in epoch {measured['epoch'][measured['val/mrr'].idxmax()]}.",
        _numbers("Validation by epoch", measured, names),
    )
    with plot.draw("epoch") as axes:
        for i, name in enumerate(names):
            label = {"val/hits@1": "Hits@1", "val/mrr": "MRR"}[name]
            _line(axes, measured, name, i, label, marked=True)
        axes.set_ylim(0, 1.02)
    return plot


def weights_plot(table: pd.DataFrame | None, weights: dict[str, float]) -> list[Plot]:
    """The weights of the views in the joint embedding: in the end, and over the epochs."""
    if not weights:
        return []
    order = sorted(weights, key=lambda name: -weights[name])
    most = f"{order[0]} has the largest weight, {percent(weights[order[0]])}."
    plot = Plot(
        "weights",
        "Weights of the views at the end",
        f"How much each view counts in the joint embedding. {most}",
        Table("Weights", ["view", "weight"], [[n, percent(weights[n])] for n in order]),
    )
    with plot.draw("weight") as axes:
        axes.barh([short(name) for name in order][::-1], [weights[n] for n in order][::-1])
        for bar in axes.patches:
            bar.set_color(SERIES[0])
        axes.grid(False, axis="y")
    columns = [f"weight/{name}" for name in order]
    if table is None or any(name not in table for name in [*columns, "val/mrr"]):
        return [plot]
    # Weights stand in each row since they were last learned, which is at a validation.
    measured = table.dropna(subset=[*columns, "val/mrr"])
    if len(measured) < 2:
        return [plot]
    over = Plot(
        "weights-over",
        "Weights of the views over epochs",
        "Weights are learned on validation links; those of the last validation are kept.",
        _numbers("Weights by epoch", measured, columns),
    )
    with over.draw("epoch", "weight") as axes:
        for i, name in enumerate(columns):
            _line(axes, measured, name, i, short(order[i]), marked=True)
        axes.set_ylim(bottom=0)
    return [plot, over]


def _line(
    axes: Any, table: pd.DataFrame, name: str, place: int, label: str, marked: bool = False
) -> None:
    style = line_style(place)
    if not marked:
        style["marker"] = ""
    part = table.dropna(subset=[name])
    axes.plot(part["epoch"], part[name], label=label, **style)


def _mark_phases(axes: Any, table: pd.DataFrame) -> None:
    for _, part in list(table.groupby("phase", sort=False))[1:]:
        axes.axvline(part["epoch"].min() - 0.5, color=LINE, linewidth=1.2)


def _numbers(caption: str, table: pd.DataFrame, names: list[str]) -> Table:
    step = -(-len(table) // _MAX_ROWS)
    part = table.iloc[(len(table) - 1) % step :: step]  # the last one is there
    head = ["epoch", *(name.rpartition("/")[2] for name in names)]
    if step > 1:
        caption += f", every {step}th"
    rows = [
        [str(int(row["epoch"])), *(number(row[name], 4) for name in names)]
        for _, row in part.iterrows()
    ]
    return Table(caption, head, rows)


def rounds(inspector: Inspector) -> list[dict[str, Any]]:
    """Sums up each round of calibration; precision is counted on links hidden from it."""
    anchors = inspector.data[ANCHOR_EDGE]
    hidden = anchors.edge_label_index[:, ~anchors.train_mask].cpu()
    history = replay(inspector.entries)
    changes: Counter[tuple[int, str]] = Counter(
        (entry["epoch"], entry["decision"])
        for entry in inspector.entries
        if not is_by_hand(entry) and entry["decision"] != "round"
    )
    found = []
    for entry in inspector.entries:
        if entry["decision"] != "round":
            continue
        epoch = entry["epoch"]
        pairs = torch.tensor(sorted(history[epoch]), dtype=torch.long).view(-1, 2).t()
        found.append(
            {
                "epoch": epoch + 1,
                "candidates": entry["num_candidates"],
                "in use": pairs.size(1),
                "joined": changes[epoch, "accept"],
                "left": changes[epoch, "drop"],
                "threshold": entry["threshold"],
                **pseudo_label_precision(pairs, hidden),
            }
        )
    return found


def rounds_plots(found: list[dict[str, Any]]) -> list[Plot]:
    """Pseudo-labels over the rounds, and how many of them are right."""
    epochs = [each["epoch"] for each in found]
    head = ["epoch", "candidates", "in use", "joined", "left", "threshold"]
    rows = [[*(str(each[name]) for name in head[:-1]), number(each["threshold"])] for each in found]
    counts = Plot(
        "rounds",
        "Pseudo-labels by round",
        f"{len(found)} rounds. In the last one {found[-1]['in use']:,} pseudo-labels were in use, "
        f"of {found[-1]['candidates']:,} candidates.",
        Table("Rounds of calibration", head, rows),
    )
    with counts.draw("epoch", "pairs") as axes:
        for i, name in enumerate(("candidates", "in use", "joined", "left")):
            axes.plot(epochs, [each[name] for each in found], label=name, **line_style(i))
        axes.set_ylim(bottom=0)
    known = [each for each in found if each["precision"] is not None]
    if not known:
        return [counts]
    precise = Plot(
        "precision",
        "Precision of pseudo-labels by round",
        "Counted afterwards on links hidden from training, test links among them; calibration "
        f"never saw the latter. The last value is {percent(known[-1]['precision'])}.",
        Table(
            "Precision of the pseudo-labels in use",
            ["epoch", "in use", "of them judged", "right", "precision"],
            [
                [
                    str(each["epoch"]),
                    *(str(each[name]) for name in ("num", "num_known", "num_correct")),
                    percent(each["precision"]),
                ]
                for each in known
            ],
        ),
    )
    with precise.draw("epoch", "precision on hidden links") as axes:
        axes.plot(
            [each["epoch"] for each in known],
            [each["precision"] for each in known],
            **line_style(0),
        )
        axes.set_ylim(min(0.5, *(each["precision"] for each in known)), 1.005)
    return [counts, precise]
