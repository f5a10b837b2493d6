"""One supervised epoch on DBP15K zh_en, ours beside plain PyG and a dense backward pass.

    python benchmarks/speed/compare.py --threads 2

Everything runs in one process, in turns, so that all meet the same machine. The data are looked for
in $PYG_MMEA_DATA. `report.py` shows the table.
"""

import argparse
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from machine import Meter, environment
from plain import DenseBackwardGATConv, PlainDiagGATConv, PlainGAT, gat_conv
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_mmea.data import HideAnchors
from pyg_mmea.datasets import DBP15K, FakeMMKG
from pyg_mmea.datasets.base import data_folder
from pyg_mmea.loss.objective import PCMEAObjective
from pyg_mmea.nn import PCMEA, AlignmentModel
from pyg_mmea.training import TrainingConfig
from pyg_mmea.training.data import LinkDataModule
from pyg_mmea.training.module import AlignmentModule
from pyg_mmea.typing import ANCHOR_EDGE, RELATION_EDGE, SIDES

HERE = Path(__file__).parent
EPOCHS = 3  # in a row, before it is somebody else's turn
NO_LINKS = torch.empty(2, 0, dtype=torch.long)


class _Clock(Callback):
    """Measures the memory of the first epoch of a trainer and the time of the others."""

    def __init__(self, meter: Meter, name: str) -> None:
        self.meter, self.name = meter, name

    def on_train_epoch_start(self, trainer: Trainer, *args: object) -> None:
        self.stage = stage(self.meter, self.name, trainer.current_epoch)
        self.stage.__enter__()

    def on_train_epoch_end(self, *args: object) -> None:
        self.stage.__exit__(None, None, None)


def stage(meter: Meter, name: str, epoch: int) -> AbstractContextManager[None]:
    """What measures an epoch: memory of the first one, time of the others."""
    return meter(f"{name}_memory") if epoch == 0 else meter(name, cold=False)


def ours(
    name: str, model: AlignmentModel, data: HeteroData, meter: Meter, config: TrainingConfig
) -> Callable[[], None]:
    """Epochs of the module and trainer that `pyg-mmea train` uses."""
    links = data[ANCHOR_EDGE].edge_label_index
    objective = PCMEAObjective(model.out_channels)
    module = AlignmentModule(model, objective, data, links, config, seed=0, epochs=EPOCHS)

    def epochs() -> None:
        trainer = Trainer(
            accelerator="gpu" if meter.device.type == "cuda" else "cpu",
            devices=1,
            max_epochs=EPOCHS,
            callbacks=[_Clock(meter, name)],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, LinkDataModule(links, NO_LINKS, None, config.batch_size, seed=0))

    return epochs


def plain(
    name: str, model: PlainGAT, data: HeteroData, meter: Meter, config: TrainingConfig
) -> Callable[[], None]:
    """Epochs of a plain loop with the same loss."""
    links = data[ANCHOR_EDGE].edge_label_index.to(meter.device)
    model.to(meter.device).edges = {k: v.to(meter.device) for k, v in model.edges.items()}
    objective = PCMEAObjective(model.out_channels).to(meter.device)
    parameters = [*model.parameters(), *objective.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=config.lr, fused=True)
    num_batches = -(-links.size(1) // config.batch_size)

    def step(batch: Tensor) -> None:
        nodes, rows, negatives = {}, [], {}
        for side, ends in zip(SIDES, batch, strict=True):
            sample = torch.randperm(data[side].num_nodes, device=ends.device)
            sample = sample[: config.num_negatives]
            nodes[side], local = torch.cat([ends, sample]).unique(return_inverse=True)
            rows.append(local[: ends.numel()])
            negatives[side] = local[ends.numel() :]
        terms = objective(model(nodes), torch.stack(rows), negatives=negatives)
        optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()

    def epochs() -> None:
        model.train()
        for epoch in range(EPOCHS):
            with stage(meter, name, epoch):
                for batch in links[:, torch.randperm(links.size(1))].chunk(num_batches, dim=1):
                    step(batch)

    return epochs


def dense_backward(meter: Meter, sizes: list[int], num_nodes: int, degree: float) -> dict:
    """Time and memory of the encoder alone, forward and backward, and what its square law says
    for a larger graph."""
    points = []
    for size in sizes:
        convs = [DenseBackwardGATConv(300).to(meter.device) for _ in range(2)]
        x = torch.randn(size, 300, device=meter.device, requires_grad=True)
        edge_index = torch.randint(size, (2, int(size * degree)), device=meter.device)
        name = f"dense_backward_{size}"
        for _ in range(3):
            with meter(name):
                convs[1](F.elu(convs[0](x, edge_index)), edge_index).sum().backward()
        stage = meter.stages[name]
        points.append((size, min(stage["all_seconds"]), stage["extra_mb"]))
    table = np.array(points)
    powers = np.stack([np.ones(len(points)), table[:, 0] ** 2], axis=1)
    law = np.linalg.lstsq(powers, table[:, 1], rcond=None)[0]
    return {
        "points": points,
        "num_nodes": num_nodes,
        "extrapolated_seconds_per_step": float(law @ [1, num_nodes**2]),
        "extrapolated_matrix_mb": 4 * num_nodes**2 / 2**20,
    }


def compare(
    data: HeteroData,
    meter: Meter,
    repeats: int,
    channels: int,
    config: TrainingConfig,
    sizes: list[int],
) -> dict:
    """Runs all in turns; returns the results."""
    visible = HideAnchors("train")(data)
    paper = {"structure_encoder": "gat", "channels": channels, "propagate": False}
    own = {
        "ours_gat": PCMEA.from_data(visible, modalities=["structure"], **paper),
        "ours_default": PCMEA.from_data(visible),
    }
    pyg = {
        "pyg_gat": PlainGAT(visible, gat_conv, channels),
        "pyg_diag_gat": PlainGAT(visible, PlainDiagGATConv, channels),
    }
    epochs = [plain(name, model, visible, meter, config) for name, model in pyg.items()]
    epochs += [ours(name, model, visible, meter, config) for name, model in own.items()]
    for _ in range(repeats):
        for each in epochs:
            each()
    num_nodes = sum(data[side].num_nodes for side in SIDES)
    num_edges = sum(data[RELATION_EDGE[side]].edge_index.size(1) for side in SIDES)
    dense = dense_backward(meter, sizes, num_nodes, 2 * num_edges / num_nodes)
    stages = {
        name: {**meter.stages[name], "extra_mb": meter.stages[f"{name}_memory"]["extra_mb"]}
        for name in (*pyg, *own)
    }
    links = visible[ANCHOR_EDGE].edge_label_index.size(1)
    steps = -(-links // config.batch_size)
    return {
        "data": data.dataset,
        "links": links,
        "steps": steps,
        "channels": channels,
        "epochs": stages,
        "dense_backward": dense,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--channels", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=TrainingConfig.batch_size)
    parser.add_argument("--accelerator", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--dense-sizes", nargs="+", type=int, default=[1000, 2000, 4000])
    parser.add_argument("--fake", action="store_true", help="tiny made-up data, for tests")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    device = torch.device("cuda" if args.accelerator == "gpu" else "cpu")
    data = FakeMMKG()[0] if args.fake else DBP15K(str(data_folder() / "DBP15K"), "zh_en")[0]
    config = TrainingConfig(batch_size=args.batch_size)
    result = compare(data, Meter(device), args.repeats, args.channels, config, args.dense_sizes)
    result["environment"] = environment(device)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"compare_{args.accelerator}_{result['steps']}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
