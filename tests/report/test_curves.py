from pathlib import Path

import pytest
from torch_geometric.data import HeteroData

from pyg_mmea.metrics import pseudo_label_precision
from pyg_mmea.report.curves import (
    loss_plot,
    read_metrics,
    rounds,
    rounds_plots,
    validation_plot,
    weights_plot,
)


def test_epochs_go_on_over_phases(run: Path, tmp_path: Path) -> None:
    table = read_metrics(run)
    assert table["epoch"].tolist() == list(range(1, len(table) + 1))
    assert table["phase"].nunique() == 2
    assert read_metrics(tmp_path) is None
    (tmp_path / "metrics.csv").write_text("phase,epoch\n")
    assert read_metrics(tmp_path) is None


def test_curves(run: Path) -> None:
    table = read_metrics(run)
    assert len(loss_plot(table).table.rows) == len(table)
    validation = validation_plot(table)
    assert [row[0] for row in validation.table.rows] == ["2", "4", "6", "8"]
    assert validation_plot(table.drop(columns=["val/hits@1", "val/mrr"])) is None
    long = table.loc[table.index.repeat(30)].assign(epoch=range(1, 30 * len(table) + 1))
    rows = loss_plot(long).table.rows
    assert len(rows) <= 40
    assert rows[-1][0] == str(len(long))


def test_weights(run: Path, load, data: HeteroData) -> None:
    weights = load(data).aligner.result["view_weights"]
    end, over = weights_plot(read_metrics(run), weights)
    assert [row[0] for row in end.table.rows] == sorted(weights, key=lambda name: -weights[name])
    assert [row[0] for row in over.table.rows] == ["2", "4", "6", "8"]
    assert len(weights_plot(None, weights)) == 1
    assert weights_plot(None, {}) == []


def test_rounds_count_what_the_run_counted(load, data: HeteroData) -> None:
    inspector = load(data)
    found = rounds(inspector)
    assert len(found) > 2
    in_use = 0
    for each in found:
        in_use += each["joined"] - each["left"]
        assert each["in use"] == in_use
    anchors = data["source", "anchor", "target"]
    hidden = anchors.edge_label_index[:, ~anchors.train_mask]
    assert found[-1]["precision"] is not None
    entry = [e for e in inspector.entries if e["decision"] == "accept"]
    assert found[-1]["num_known"] <= found[-1]["num"] <= len(entry)
    counts, precise = rounds_plots(found)
    assert "calibration never saw the latter" in precise.description
    assert f"{found[-1]['in use']} pseudo-labels were in use" in counts.description
    # Without hidden links there is no truth to count.
    none = pseudo_label_precision(hidden[:, :0], hidden)
    assert len(rounds_plots([{**each, **none} for each in found])) == 1
    assert found[0]["epoch"] == pytest.approx(min(e["epoch"] for e in inspector.entries) + 1)
