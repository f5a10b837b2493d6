import pytest
import torch
from torch_geometric.data import HeteroData

from pyg_mmea.report.groups import Breakdown
from pyg_mmea.typing import RELATION_EDGE


def test_groups_add_up(load, data: HeteroData) -> None:
    data["source", "relation", "source"].edge_index[:] = 5  # all others have no triple
    inspector = load(data)
    breakdown = Breakdown(inspector)
    groups = dict(breakdown.by_degree())
    edges = data[RELATION_EDGE["target"]].edge_index
    assert edges.numel() > 0
    lonely = breakdown.links[0] != 5
    assert torch.equal(groups["0"], lonely)
    assert sum(int(here.sum()) for here in groups.values()) == breakdown.links.size(1)


def test_degrees_are_the_smaller_ones(load, data: HeteroData) -> None:
    breakdown = Breakdown(load(data))
    for name, here in breakdown.by_degree():
        low, _, high = name.partition(" to ")
        for source, target in breakdown.links[:, here].t().tolist():
            degrees = [
                int((data[RELATION_EDGE[side]].edge_index == entity).sum())
                for side, entity in (("source", source), ("target", target))
            ]
            if name.endswith("or more"):
                assert min(degrees) >= int(name.split()[0])
            else:
                assert int(low) <= min(degrees) <= int(high or low)


def test_modalities(load, data: HeteroData) -> None:
    breakdown = Breakdown(load(data))
    groups = dict(breakdown.by_modality())
    both, lacking = groups["image: both"], groups["image: lacking"]
    assert torch.equal(both, ~lacking)
    source, target = breakdown.links
    has = data["source"].image_mask[source] & data["target"].image_mask[target]
    assert torch.equal(both, has)


def test_plot_agrees_with_the_metrics(load, data: HeteroData) -> None:
    inspector = load(data)
    breakdown = Breakdown(inspector)
    everything = torch.ones(breakdown.links.size(1), dtype=torch.bool)
    plot = breakdown.plot("all", "All", [("all", everything)])
    row = plot.table.rows[0]
    measured = inspector.aligner.result["test"]
    assert row[1] == str(measured["num_links"])
    for place, direction in ((2, "source_to_target"), (3, "target_to_source"), (4, "mean")):
        assert float(row[place][:-1]) / 100 == pytest.approx(
            measured[direction]["hits@1"], abs=5e-4
        )
