"""Measures all stages on one folder; run.py starts it, one process a size.

python benchmarks/speed/stages.py FOLDER OUT.json
"""

import argparse
import copy
import json
from pathlib import Path
from typing import Any

import torch
from bounds import forward_work, ranking_operations, search_operations
from machine import Meter, bandwidth, environment, matmul_rate
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_mmea.calibration import Calibrator
from pyg_mmea.data import (
    HideAnchors,
    PartitionedPair,
    attribute_bag,
    partition_pair,
    read_folder,
    relation_bag,
)
from pyg_mmea.datasets import AlignmentFolder
from pyg_mmea.loss.objective import PCMEAObjective
from pyg_mmea.metrics import evaluate_alignment
from pyg_mmea.nn import PCMEA, LinkPropagation, MomentumEncoder
from pyg_mmea.nn.message_graph import message_graph
from pyg_mmea.training import TrainingConfig
from pyg_mmea.typing import ANCHOR_EDGE, RELATION_EDGE, SIDES

_CHUNK_SIZE = 1 << 16  # rows read at once
_STEP = ("forward", "loss", "backward", "optimizer", "momentum")
Nodes = dict[str, Tensor]


def load(folder: Path, meter: Meter, repeats: int) -> HeteroData:
    """From files to the pair, from the cache to the pair, and the bags alone."""
    images = folder / "image_features.npz"
    options = {"image_features": str(images)} if images.exists() else {}
    for _ in range(repeats):
        data = None  # or the peak would be that of two pairs
        with meter("load"):
            AlignmentFolder(str(folder), force_reload=True, **options)
        with meter("load_cached"):
            data = AlignmentFolder(str(folder), **options)[0]
    tables = read_folder(folder)
    for _ in range(repeats):
        with meter("features"):
            relation_bag(tables.source, tables.target)
            attribute_bag(tables.source, tables.target)
    return data


class Step:
    """One training step in its parts, on a pair or on a part of it.

    Args:
        data (HeteroData): The pair, without hidden links.
        meter (Meter): What measures.
        channels (int): Size of entity vectors, linear layers and random vectors of links.
    """

    def __init__(self, data: HeteroData, meter: Meter, channels: int) -> None:
        self.config = TrainingConfig(propagation_channels=channels)
        self.meter, self.data = meter, data
        model = PCMEA.from_data(data, channels=channels, modality_channels=channels)
        self.model = model.to(meter.device)
        self.objective = PCMEAObjective(self.model.out_channels).to(meter.device)
        self.momentum = MomentumEncoder(self.model, self.config.momentum)
        parameters = [*self.model.parameters(), *self.objective.parameters()]
        self.optimizer = torch.optim.AdamW(parameters, lr=self.config.lr)

    def sample(self, pair: HeteroData) -> tuple[Nodes, Tensor, Nodes]:
        """Entities to embed for a batch of links, then rows of links and negatives in them."""
        anchors = pair[ANCHOR_EDGE].edge_label_index
        links = anchors[:, torch.randperm(anchors.size(1))[: self.config.batch_size]]
        nodes, rows, negatives = {}, [], {}
        for side, ends in zip(SIDES, links, strict=True):
            sample = torch.randperm(pair[side].num_nodes)[: self.config.num_negatives]
            ends = torch.cat([ends, sample.to(ends.device)])
            nodes[side], local = ends.unique(return_inverse=True)
            rows.append(local[: links.size(1)])
            negatives[side] = local[links.size(1) :]
        return nodes, torch.stack(rows), negatives

    def measure(self, pair: HeteroData, prefix: str, repeats: int) -> None:
        """Runs some steps after one that warms up."""
        self.model.train()
        for repeat in range(repeats + 1):
            nodes, links, negatives = self.sample(pair)
            with self.meter(f"{prefix}forward"):
                out = self.model(pair, nodes)
            with self.meter(f"{prefix}loss"):
                loss = sum(self.objective(out, links, negatives=negatives).values())
            with self.meter(f"{prefix}backward"):
                loss.backward()
            del out, loss
            with self.meter(f"{prefix}optimizer"):
                self.optimizer.step()
                self.optimizer.zero_grad()
            with self.meter(f"{prefix}momentum"):
                self.momentum.update(self.model)
            if repeat == 0:
                self.meter.forget(*(f"{prefix}{name}" for name in _STEP))

    def bounds(self, pair: HeteroData) -> tuple[int, int]:
        """Bytes and operations of a forward pass."""
        graphs = {side: self.graph(pair, side) for side in SIDES}
        return forward_work(self.model, graphs, pair, self.sample(pair)[0])

    def graph(self, pair: HeteroData, side: str) -> Any:
        """The sorted edges of one graph."""
        edges = self.model.edges(pair, side)
        return message_graph(*edges, pair[side].num_nodes, 2 * self.model.spec.num_relations)


def sort_edges(step: Step, meter: Meter, repeats: int) -> None:
    """Sorts all edges, which is kept for the other stages the last time."""
    num_relations = 2 * step.model.spec.num_relations
    for repeat in range(repeats):
        edges = {side: step.model.edges(step.data, side) for side in SIDES}
        if repeat < repeats - 1:
            edges = {side: (index.clone(), kind) for side, (index, kind) in edges.items()}
        with meter("sort_edges"):
            for side, (edge_index, edge_type) in edges.items():
                message_graph(edge_index, edge_type, step.data[side].num_nodes, num_relations)


def touch_memory(step: Step, meter: Meter, channels: int, repeats: int) -> None:
    """What caches do to the growth of any stage: reads numbers in order, and rows all over."""
    graphs = [step.graph(step.data, side).neighbors for side in SIDES]
    for graph in graphs:
        rows = torch.ones(graph.size[1], channels, device=meter.device)
        chunks = graph.col.split(_CHUNK_SIZE)
        out = torch.empty_like(graph.col), rows.new_empty(_CHUNK_SIZE, channels)
        for _ in range(repeats + 1):
            with meter("bare_copy"):
                out[0].copy_(graph.col)
            with meter("bare_gather"):
                for chunk in chunks:
                    torch.index_select(rows, 0, chunk, out=out[1][: chunk.numel()])


def mini_batch(data: HeteroData, num_entities: int, meter: Meter, repeats: int) -> HeteroData:
    """One part of so many entities of each graph."""
    num_parts = max(data["source"].num_nodes // num_entities, 1)
    links = data[ANCHOR_EDGE].edge_label_index
    for _ in range(repeats):
        with meter("partition"):
            pair = PartitionedPair(copy.copy(data).cpu(), partition_pair(data, links, num_parts))
        with meter("slice"):
            batch = pair.batch(torch.tensor([0]))
        del pair  # or the next one would be counted on top
    return batch.to(meter.device)


def calibrate(
    views: dict, links: dict[str, Tensor], meter: Meter, num_neighbors: int, exact: bool
) -> None:
    """Rounds of calibration, by both searches."""
    momentum = {side: {"joint": out["joint"]} for side, out in views.items()}
    for search in ("exact", "faiss"):
        name = f"calibration_{search}"
        if search == "exact" and not exact:
            meter.skipped[name] = "quadratic"
            continue
        calibrator = Calibrator(num_neighbors=num_neighbors, search=search)
        with meter(name):
            calibrator.round(views, momentum, links["train"], links["val"])


def embed(
    step: Step, links: dict[str, Tensor], meter: Meter, repeats: int
) -> dict[str, dict[str, Tensor]]:
    """All entities without gradient, and the propagation of links."""
    step.model.eval()
    edges = {side: step.model.edges(step.data, side) for side in SIDES}
    num_nodes = {side: step.data[side].num_nodes for side in SIDES}
    channels = step.config.propagation_channels
    propagation = LinkPropagation(2 * step.model.spec.num_relations, channels)
    for _ in range(repeats):
        views = found = None  # or the peak would be that of two results
        with torch.no_grad(), meter("embed_all"):
            views = step.model(step.data)
        with meter("propagate_links"):
            found = propagation(edges, num_nodes, links["train"])
    for side in SIDES:
        views[side]["propagation"] = found[side]
    return views


def measure(folder: Path, meter: Meter, args: argparse.Namespace) -> dict[str, Any]:
    """Runs all stages; returns bounds."""
    speed, rate = bandwidth(meter.device), matmul_rate(meter.device)
    data = load(folder, meter, args.repeats)
    anchors = data[ANCHOR_EDGE]
    links = {
        name: anchors.edge_label_index[:, anchors[f"{name}_mask"]].to(meter.device)
        for name in ("train", "val", "test")
    }
    step = Step(HideAnchors("train")(data).to(meter.device), meter, args.channels)
    sort_edges(step, meter, args.repeats)
    touch_memory(step, meter, args.channels, args.repeats)
    moved, operations = step.bounds(step.data)
    part = mini_batch(step.data, args.batch_entities, meter, args.repeats)
    step.measure(part, "batch_", args.repeats)
    if args.full_graph:
        step.measure(step.data, "", args.repeats)
    else:
        meter.skipped.update(dict.fromkeys(_STEP, "memory"))
    views = embed(step, links, meter, args.repeats)
    calibrate(views, links, meter, args.num_neighbors, exact=args.quadratic)
    joint = [views[side]["joint"] for side in SIDES]
    bounds = {
        "forward": moved / speed + operations / rate,
        "backward": 2 * (moved / speed + operations / rate),
    }
    num_free = [z.size(0) - links["train"].size(1) for z in joint]
    if args.quadratic:
        with meter("rank_csls"):
            evaluate_alignment(*joint, links["test"])
        bounds["rank_csls"] = ranking_operations(links["test"].size(1), joint[0].size(1)) / rate
        bounds["calibration_exact"] = search_operations(*num_free, 128) / rate
    else:
        meter.skipped["rank_csls"] = "quadratic"
    return {
        "bounds": bounds,
        "bandwidth_gb_s": speed / 1e9,
        "matmul_gflop_s": rate / 1e9,
        "num_entities": data["source"].num_nodes,
        "num_triples": data[RELATION_EDGE["source"]].edge_index.size(1),
        "batch_entities": part["source"].num_nodes,
        "channels": args.channels,
        "num_neighbors": args.num_neighbors,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--accelerator", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch-entities", type=int, default=10_000)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--num-neighbors", type=int, default=10)
    parser.add_argument("--full-graph", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--quadratic", action=argparse.BooleanOptionalAction, default=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    device = torch.device("cuda" if args.accelerator == "gpu" else "cpu")
    meter = Meter(device)
    result = measure(args.folder, meter, args)
    result.update(stages=meter.stages, skipped=meter.skipped, environment=environment(device))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
