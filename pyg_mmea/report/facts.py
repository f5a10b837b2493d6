"""What was run, on what, and how well it went."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch_geometric.data import HeteroData

from pyg_mmea.inspect import Inspector
from pyg_mmea.report.figure import Table, number, percent, short
from pyg_mmea.typing import ANCHOR_EDGE, RELATION_EDGE, SIDES
from pyg_mmea.utils.io import RESULT

_MAX_DOUBTS, _MAX_URI = 20, 200  # links, and characters of a URI
_HITS = ("hits@1", "hits@5", "hits@10")
_DIRECTIONS = ("source_to_target", "target_to_source", "mean")


def run_table(folder: Path, result: dict[str, Any]) -> Table:
    """What was run, where, for how long."""
    when = datetime.fromtimestamp((folder / RESULT).stat().st_mtime, UTC)
    rows = [
        ("Id", result.get("run")),
        ("Dataset", result.get("dataset")),
        ("Model", result.get("model")),
        ("Finished", f"{when:%Y-%m-%d %H:%M} UTC"),
        ("Version", result.get("version")),
        ("Commit", result.get("git")),
        ("Seed of the model", result.get("seed")),
        ("Seed of the split", result.get("split_seed")),
        ("Device", result.get("device")),
        ("Epochs", _epochs(result)),
        ("Time of training", _duration(result.get("train_seconds"))),
        ("Peak memory", _megabytes(result.get("peak_rss_mb"))),
        ("Peak memory of the GPU", _megabytes(result.get("peak_gpu_mb"))),
        ("Seed links", result.get("num_seeds")),
        ("Pairs decided by hand", result.get("num_decided_by_hand")),
        ("Pseudo-labels at the end", result.get("num_pseudo_labels")),
        ("Epoch selected by", result.get("selection")),
        ("Confidence from", result.get("confidence_rule")),
    ]
    kept = [[name, str(value)] for name, value in rows if value is not None]
    return Table("The run", [], kept)


def _epochs(result: dict[str, Any]) -> str | None:
    if "epochs" not in result:
        return None
    again = result.get("refit_epochs", 0)
    return f"{result['epochs']}" + (f", then {again} on all seeds" if again else "")


def _duration(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _megabytes(value: float | None) -> str | None:
    return None if value is None else f"{value:,.0f} MB"


def data_table(data: HeteroData) -> Table:
    """Sizes of both graphs and what their entities have."""
    stores = [data[RELATION_EDGE[side]] for side in SIDES]
    rows = [
        ["Entities", *(f"{data[side].num_nodes:,}" for side in SIDES)],
        ["Relations", *(f"{len(store.relation_uri):,}" for store in stores)],
        ["Triples", *(f"{store.edge_index.size(1):,}" for store in stores)],
    ]
    for name in modalities(data):
        masks = [data[side][f"{name}_mask"].float().mean() for side in SIDES]
        rows.append([f"With {name}", *(percent(float(mask)) for mask in masks)])
    return Table("The graphs", ["", *SIDES], rows)


def links_table(data: HeteroData) -> Table:
    """Number of links by split."""
    anchors = data[ANCHOR_EDGE]
    counts = [int(anchors[f"{name}_mask"].sum()) for name in ("train", "val", "test")]
    return Table(
        "Links",
        ["training", "validation", "test"],
        [[f"{count:,}" for count in counts]],
    )


def doubts_table(result: dict[str, Any]) -> Table | None:
    """Validation links that look wrong; :obj:`None` where there are none."""
    links = result.get("doubtful_links") or []
    if not links:
        return None
    caption = f"{len(links):,} validation links look wrong"
    if len(links) > _MAX_DOUBTS:
        caption += f"; the first {_MAX_DOUBTS}"
    rows = [[short(uri, _MAX_URI) for uri in link] for link in links[:_MAX_DOUBTS]]
    return Table(caption, ["source", "target"], rows)


def modalities(data: HeteroData) -> list[str]:
    """Modalities of which the data say who has them, in both graphs."""
    keys = [key for key in data["source"] if key.endswith("_mask") and key in data["target"]]
    names = [key.removesuffix("_mask") for key in keys]
    return [name for name in names if f"x_{name}" in data["source"]]


def metric_tables(result: dict[str, Any]) -> list[Table]:
    """Metrics of test links against both sets of candidates, and those of validation links."""
    named = (
        ("test", "Test links"),
        ("test_all", "Test links"),
        ("val", "Validation links, before they were trained on"),
    )
    tables = []
    for key, what in named:
        metrics = result.get(key)
        if not metrics:
            continue
        among = "all entities" if metrics["candidates"] == "all" else "counterparts of these links"
        csls = f"CSLS with {metrics['csls_k']} neighbours" if metrics["csls_k"] else "plain cosine"
        caption = f"{what}: {metrics['num_links']:,}, ranked among {among}, {csls}"
        if metrics["matching"] != "none":
            caption += f", matching {metrics['matching']}"
        head = ["", "Hits@1", "Hits@5", "Hits@10", "MRR", "MR"]
        tables.append(Table(caption, head, list(_metric_rows(metrics))))
    return tables


def _metric_rows(metrics: dict[str, Any]) -> Iterable[list[str]]:
    for direction in _DIRECTIONS:
        values = metrics[direction]
        hits = [percent(values[name]) for name in _HITS]
        yield [direction.replace("_", " "), *hits, number(values["mrr"]), number(values["mr"], 1)]


def headlines(inspector: Inspector, result: dict[str, Any], num_kept: int) -> list[tuple[str, str]]:
    """The few numbers on top of the page."""
    found = []
    for key, name in (("test", "Hits@1 among test links"), ("test_all", "Hits@1 among all")):
        if result.get(key):
            found.append((name, percent(result[key]["mean"]["hits@1"])))
    if not found and result.get("val"):
        found.append(("Hits@1 on validation links", percent(result["val"]["mean"]["hits@1"])))
    found.append(("pseudo-labels in the end", f"{result.get('num_pseudo_labels', 0):,}"))
    found.append(("new pairs that are sure enough", f"{num_kept:,}"))
    found.append(("candidates left out", f"{inspector.pairs.size(1) - num_kept:,}"))
    return found
