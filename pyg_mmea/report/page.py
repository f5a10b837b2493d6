"""The page that shows a run."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyg_mmea.data.pivot import pivot_note, validates_on_pivots
from pyg_mmea.inspect import Inspector, printable
from pyg_mmea.report import curves, facts, pairs, trust
from pyg_mmea.report.figure import number, percent
from pyg_mmea.report.groups import Breakdown
from pyg_mmea.typing import SIDES
from pyg_mmea.utils.io import atomic_write

if TYPE_CHECKING:
    from jinja2 import Template


def write_report(
    inspector: Inspector,
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    target_precision: float = 0.95,
    num_examples: int = 6,
    num_errors: int = 20,
) -> Path:
    """Writes one HTML page on a finished run: metrics, curves, calibration, example pairs.

    The page needs nothing but itself: it has no script, and no part of it is loaded from anywhere,
    which it also tells the browser to refuse. Names and URIs are shown as text, whatever is in
    them. Pictures are small copies, of the pairs that are shown. It is there in full or not at
    all.

    Args:
        inspector (Inspector): The run.
        folder (str or PathLike): Its folder.
        out (str or PathLike, optional): The file to write; by default :obj:`report.html` in the
            folder. (default: :obj:`None`)
        target_precision (float): Precision that decides which candidates count as kept.
            (default: :obj:`0.95`)
        num_examples (int): Pairs of each kind. (default: :obj:`6`)
        num_errors (int): The most wrong pairs. (default: :obj:`20`)

    Returns:
        Path: The file.

    Raises:
        ValueError: If :obj:`target_precision` is not in (0, 1].
        ImportError: If the extra :obj:`report` is not installed.
    """
    if not 0 < target_precision <= 1:
        raise ValueError(f"'target_precision' needs to be in (0, 1] (got {target_precision})")
    folder = Path(folder)
    path = folder / "report.html" if out is None else Path(out)
    template = _template()
    content = _content(inspector, folder, target_precision, num_examples, num_errors)
    page = template.render(content)
    with atomic_write(path) as file:
        file.write(page)
    return path


def _content(
    inspector: Inspector, folder: Path, precision: float, num_examples: int, num_errors: int
) -> dict[str, Any]:
    result = inspector.aligner.result
    threshold = inspector.aligner.calibrator.threshold(inspector.confidence, precision)
    kept = int((inspector.confidence >= threshold.value).sum())
    config = folder / "config.yaml"
    metrics = curves.read_metrics(folder)
    has_truth = inspector.test_links.size(1) > 0
    wrong, num_wrong = pairs.errors(inspector, num_errors)
    return {
        "title": f"{result.get('model') or 'Run'} on {result.get('dataset') or folder.name}",
        "folder": folder.resolve().name,
        "headlines": facts.headlines(inspector, result, kept),
        "run": facts.run_table(folder, result),
        "data": facts.data_table(inspector.data),
        "links": facts.links_table(inspector.data),
        "settings": config.read_text(encoding="utf-8").splitlines() if config.is_file() else [],
        "doubts": facts.doubts_table(result),
        "metrics": facts.metric_tables(result),
        "learning": _learning(metrics),
        "rounds": _rounds(inspector),
        "trust": [
            plot
            for plot in (
                trust.reliability_plot(inspector),
                trust.coverage_plot(inspector),
                trust.confidence_plot(inspector, threshold.value),
            )
            if plot is not None
        ],
        "weights": curves.weights_plot(metrics, result.get("view_weights") or {}),
        "weighs_views": result.get("rank_by", "views") == "views",
        "groups": _groups(inspector) if has_truth else [],
        "has_truth": has_truth,
        "has_pictures": any("image_path" in inspector.data[side] for side in SIDES),
        "precision": precision,
        "threshold": threshold,
        "kept": kept,
        "pivots": pivot_note(inspector.data),
        "validates_on_pivots": validates_on_pivots(inspector.data),
        "rule": inspector.aligner.calibrator.confidence.rule,
        "examples": [
            ("The surest pairs", pairs.surest(inspector, kept, num_examples)),
            ("The least sure of those kept", pairs.least_sure(inspector, kept, num_examples)),
            ("The surest of those left out", pairs.left_out(inspector, kept, num_examples)),
        ],
        "errors": wrong,
        "num_wrong": num_wrong,
    }


def _learning(metrics: Any) -> list[Any]:
    if metrics is None:
        return []
    plots = curves.loss_plot(metrics), curves.validation_plot(metrics)
    return [plot for plot in plots if plot is not None]


def _rounds(inspector: Inspector) -> list[Any]:
    found = curves.rounds(inspector)
    return curves.rounds_plots(found) if found else []


def _groups(inspector: Inspector) -> list[Any]:
    breakdown = Breakdown(inspector)
    plots = []
    for key, title, groups in (
        ("by-degree", "By degree", breakdown.by_degree()),
        ("by-modality", "By missing modality", breakdown.by_modality()),
    ):
        if groups:
            plots.append(breakdown.plot(key, title, groups))
    return plots


def _template() -> "Template":
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise ImportError("A report needs pip install '.[report]' from a clone") from error
    environment = Environment(
        loader=PackageLoader("pyg_mmea.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.filters.update(percent=percent, number=number)
    return environment.get_template("report.html")


def _finalize(value: object) -> object:
    """Takes out of texts what has no shape; markup, which is our own, stays."""
    return printable(value) if type(value) is str else value
