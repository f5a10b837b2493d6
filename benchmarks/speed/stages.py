"""Measures all stages on one folder; run.py starts it, one process a size.

python benchmarks/speed/stages.py FOLDER OUT.json
"""

import argparse
import inspect
import json
from pathlib import Path
from typing import Any

import torch
from bounds import forward_work, ranking_operations, search_operations
from machine import Meter, bandwidth, environment, matmul_rate
from torch import Tensor
from torch_geometric.data import HeteroData

import pyg_mmea.data
from pyg_mmea.calibration import Calibrator
from pyg_mmea.data import HideAnchors, attribute_bag, read_folder, relation_bag
from pyg_mmea.datasets import AlignmentFolder
from pyg_mmea.loss.objective import PCMEAObjective
from pyg_mmea.metrics import evaluate_alignment
from pyg_mmea.nn import PCMEA, LinkPropagation, MomentumEncoder
from pyg_mmea.nn.message_graph import message_graph
from pyg_mmea.training import TrainingConfig
from pyg_mmea.typing import ANCHOR_EDGE, RELATION_EDGE, SIDES

_STEP = ("forward", "loss", "backward", "optimizer", "momentum")
Nodes = dict[str, Tensor]


def load(folder: Path, meter: Meter) -> HeteroData:
    """From files to the pair, from the cache to the pair, and the bags alone."""
    images = folder / "image_features.npz"
    options = {"image_features": str(images)} if images.exists() else {}
    with meter("load"):
        AlignmentFolder(str(folder), force_reload=True, **options)
    with meter("load_cached"):
        data = AlignmentFolder(str(folder), **options)[0]
    tables = read_folder(folder)
    with meter("features"):
        relation_bag(tables.source, tables.target)
        attribute_bag(tables.source, tables.target)
    return data


class Step:
    """One training step in its parts, on a pair or on a part of it.

    Args:
        data (HeteroData): The pair, without hidden links.
        meter (Meter): What measures.
    """

    def __init__(self, data: HeteroData, meter: Meter) -> None:
        self.config = TrainingConfig()
        self.meter, self.data = meter, data
        self.model = PCMEA.from_data(data).to(meter.device)
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


def choose(data: HeteroData, num_entities: int, meter: Meter) -> Nodes:
    """Entities of a mini-batch of parts, or of consecutive links where nothing makes parts."""
    links = data[ANCHOR_EDGE].edge_label_index
    num_parts = max(data["source"].num_nodes // num_entities, 1)
    if hasattr(pyg_mmea.data, "partition_pair"):
        with meter("partition"):
            part = pyg_mmea.data.partition_pair(data, links.cpu(), num_parts)
        return {side: (part[side] == 0).nonzero().view(-1) for side in SIDES}
    chosen = {}
    for side, ends in zip(SIDES, links, strict=True):
        num_nodes = data[side].num_nodes
        taken = torch.zeros(num_nodes, dtype=torch.bool, device=ends.device)
        taken[ends[: -(-ends.numel() // num_parts)]] = True
        taken[: -(-num_nodes // num_parts)] = True
        chosen[side] = taken.nonzero().view(-1)
    return chosen


def induce(data: HeteroData, nodes: Nodes) -> HeteroData:
    """The part of a pair between some entities."""
    out = type(data)()
    local = {}
    for side in SIDES:
        store, ids = data[side], nodes[side].to(data[ANCHOR_EDGE].edge_label_index.device)
        local[side] = torch.full((store.num_nodes,), -1, device=ids.device)
        local[side][ids] = torch.arange(ids.numel(), device=ids.device)
        out[side].num_nodes, out[side].n_id = ids.numel(), ids
        for key, value in store.items():
            if isinstance(value, Tensor):
                x = value.index_select(0, ids)
                out[side][key] = x.coalesce() if x.is_sparse else x
        edges = data[RELATION_EDGE[side]]
        index = local[side][edges.edge_index]
        inside = (index >= 0).all(dim=0)
        out[RELATION_EDGE[side]].edge_index = index[:, inside]
        out[RELATION_EDGE[side]].edge_type = edges.edge_type[inside]
    links = data[ANCHOR_EDGE].edge_label_index
    links = torch.stack([local[side][ends] for side, ends in zip(SIDES, links, strict=True)])
    out[ANCHOR_EDGE].edge_label_index = links[:, (links >= 0).all(dim=0)]
    return out


def calibrate(views: dict, links: dict[str, Tensor], meter: Meter, exact: bool) -> None:
    """Rounds of calibration, by every search that there is."""
    options = inspect.signature(Calibrator).parameters
    searches = ["exact", "faiss"] if "search" in options else ["exact"]
    momentum = {side: {"joint": out["joint"]} for side, out in views.items()}
    for search in searches:
        name = f"calibration_{search}"
        if search == "exact" and not exact:
            meter.skipped[name] = "quadratic"
            continue
        calibrator = Calibrator(**({"search": search} if len(searches) > 1 else {}))
        with meter(name):
            calibrator.round(views, momentum, links["train"], links["val"])


def embed(step: Step, links: dict[str, Tensor], meter: Meter) -> dict[str, dict[str, Tensor]]:
    """All entities without gradient, and the propagation of links."""
    step.model.eval()
    with torch.no_grad(), meter("embed_all"):
        views = step.model(step.data)
    edges = {side: step.model.edges(step.data, side) for side in SIDES}
    num_nodes = {side: step.data[side].num_nodes for side in SIDES}
    channels = step.config.propagation_channels
    propagation = LinkPropagation(2 * step.model.spec.num_relations, channels)
    with meter("propagate_links"):
        found = propagation(edges, num_nodes, links["train"])
    for side in SIDES:
        views[side]["propagation"] = found[side]
    return views


def measure(folder: Path, meter: Meter, args: argparse.Namespace) -> dict[str, Any]:
    """Runs all stages; returns bounds."""
    speed, rate = bandwidth(meter.device), matmul_rate(meter.device)
    data = load(folder, meter)
    anchors = data[ANCHOR_EDGE]
    links = {
        name: anchors.edge_label_index[:, anchors[f"{name}_mask"]].to(meter.device)
        for name in ("train", "val", "test")
    }
    step = Step(HideAnchors("train")(data).to(meter.device), meter)
    with meter("sort_edges"):
        for side in SIDES:
            step.graph(step.data, side)
    moved, operations = step.bounds(step.data)
    part = induce(step.data, choose(step.data, args.batch_entities, meter))
    step.measure(part, "batch_", args.repeats)
    if args.full_graph:
        step.measure(step.data, "", args.repeats)
    else:
        meter.skipped.update(dict.fromkeys(_STEP, "memory"))
    views = embed(step, links, meter)
    calibrate(views, links, meter, exact=args.quadratic)
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
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--accelerator", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch-entities", type=int, default=10_000)
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
