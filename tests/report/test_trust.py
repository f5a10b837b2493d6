import pytest
import torch
from torch_geometric.data import HeteroData

from pyg_mmea.report.trust import (
    calibration_error,
    confidence_plot,
    coverage,
    coverage_plot,
    reliability,
    reliability_plot,
)


def test_reliability() -> None:
    confidence = torch.tensor([0.05, 0.05, 0.95, 0.99, 1.0, 0.91])
    right = torch.tensor([False, True, True, True, True, False])
    low, high = reliability(confidence, right)
    assert (low.count, high.count) == (2, 4)
    assert low.right == pytest.approx(0.5)
    assert high.confidence == pytest.approx((0.95 + 0.99 + 1.0 + 0.91) / 4)
    assert high.right == pytest.approx(0.75)
    # Wilson's interval of 3 out of 4.
    assert (high.low, high.high) == pytest.approx((0.3006, 0.9544), abs=1e-3)
    error = (2 * abs(0.05 - 0.5) + 4 * abs(high.confidence - 0.75)) / 6
    assert calibration_error([low, high]) == pytest.approx(error)


def test_intervals_stay_in_range() -> None:
    (only,) = reliability(torch.ones(3), torch.ones(3, dtype=torch.bool))
    assert 0 < only.low < only.right == only.high == 1.0


def test_coverage_counts(load, data: HeteroData) -> None:
    inspector = load(data)
    rows = coverage(inspector)
    kept = [row["kept"] for row in rows]
    assert kept == sorted(kept, reverse=True)
    known, right = inspector.judged(inspector.pairs)
    for row in rows:
        if row["threshold"] is None:
            assert row["kept"] == 0
            continue
        here = inspector.confidence >= row["threshold"]
        assert row["kept"] == int(here.sum())
        assert row["judged"] == int((here & known).sum())
        assert row["precision"] == pytest.approx(float(right[here & known].double().mean()))
    assert f"keeps {rows[6]['kept']} pairs" in coverage_plot(inspector).description


def test_plots_say_what_they_show(load, data: HeteroData) -> None:
    inspector = load(data)
    plot = reliability_plot(inspector)
    known, _ = inspector.judged(inspector.pairs)
    counted = sum(int(row[1]) for row in plot.table.rows if row[0] == "test links")
    assert counted == int(known.sum()) > 0
    histogram = confidence_plot(inspector, 0.5)
    assert sum(int(row[1]) for row in histogram.table.rows) == inspector.pairs.size(1)
    assert int((inspector.confidence >= 0.5).sum()) == int(histogram.description.split()[0])
    assert "reach the threshold." in confidence_plot(inspector, float("inf")).description
