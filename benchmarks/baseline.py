"""Runs a baseline on a pair of graphs, and writes a result like that of a training run.

    python benchmarks/baseline.py --config benchmarks/configs/paris.yaml \
        --data DBP15K --data.pair zh_en --out runs/paris

It is fitted on the training links for what the validation links say, and on both for the test.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser
from torch_geometric.data import HeteroData

from pyg_mmea.baselines import Baseline
from pyg_mmea.cli.provenance import describe_source
from pyg_mmea.cli.settings import add_data_argument
from pyg_mmea.training.resources import peak_rss_mb
from pyg_mmea.typing import ANCHOR_EDGE
from pyg_mmea.utils.io import atomic_write


def build_parser() -> ArgumentParser:
    """The parser of a baseline, which also reads the files in benchmarks/configs."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", action="config", help="YAML file of settings; options win")
    parser.add_argument("--out", metavar="DIR", required=True, help="folder of result.json")
    add_data_argument(parser)
    parser.add_argument("--baseline", type=Baseline, required=True, help="name or class path")
    parser.add_argument(
        "--seed", type=int, default=0, help="kept with the result; nothing is drawn"
    )
    return parser


def measure(baseline: Baseline, data: HeteroData) -> dict[str, Any]:
    """Fits and measures; seconds are those of the last fit alone."""
    masks = data[ANCHOR_EDGE]
    val: dict[str, Any] = {"val": None, "val_all": None}
    if masks.val_mask.any():
        baseline.fit(data)
        val["val"] = baseline.evaluate(data, "val")
        val["val_all"] = baseline.evaluate(data, "val", candidates="all")
    start = time.perf_counter()
    baseline.fit(data, keep="train+val")
    seconds = time.perf_counter() - start
    result = {
        "dataset": data.dataset if "dataset" in data else None,
        "model": type(baseline).__name__,
        "device": "cpu",
        "epochs": 0,
        "train_seconds": round(seconds, 2),
        "peak_gpu_mb": None,
        "num_seeds": int((masks.train_mask | masks.val_mask).sum()),
        "num_pseudo_labels": 0,
        "pseudo_label_precision": None,
        "selection": "last",
        **val,
        "test": None,
        "test_sinkhorn": None,
        "test_all": None,
    }
    if masks.test_mask.any():
        result["test"] = baseline.evaluate(data)
        result["test_sinkhorn"] = baseline.evaluate(data, matching="sinkhorn")
        result["test_all"] = baseline.evaluate(data, candidates="all")
    return {**result, "peak_rss_mb": peak_rss_mb()}


def data_first(arguments: Sequence[str]) -> list[str]:
    """Puts the name of the dataset in front: a file can give it arguments only then."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--data", nargs=1, default=[])
    known, rest = parser.parse_known_args(arguments)
    return [*(f"--data={name}" for name in known.data), *rest]


def main(arguments: Sequence[str]) -> None:
    parser = build_parser()
    config = parser.parse_args(data_first(arguments))
    folder = Path(config.out)
    if (folder / "result.json").exists():
        parser.error(f"'{folder}' holds a result; choose another --out")
    built = parser.instantiate(config)
    result = measure(built.baseline, built.data[0])
    result |= {
        **describe_source(),
        "seed": config.seed,
        "split_seed": config.data.init_args.get("split_seed"),
    }
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / "result.json") as file:
        json.dump(result, file, indent=2)
    print(folder / "result.json")


if __name__ == "__main__":
    main(sys.argv[1:])
