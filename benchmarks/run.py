"""Runs settings on data sets with seeds, and keeps one JSON file a run.

    python benchmarks/run.py --settings supervised calibrated --data zh_en emoji --seeds 0
    python benchmarks/run.py --study calibration --settings calibrated --data emoji+wrong_seeds_20

A run is what `pyg-mmea train` does with a file of benchmarks/configs, or of the folder of a study;
what is done already is skipped, and what was stopped goes on. What stands behind a plus changes the
data, see CONDITIONS. `python benchmarks/report.py` makes the tables, as does report.py of a study.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss
from torch_geometric.data import HeteroData

from pyg_mmea.cli.train import load_run
from pyg_mmea.metrics import pseudo_label_precision
from pyg_mmea.training import Aligner
from pyg_mmea.typing import ANCHOR_EDGE, SIDES
from pyg_mmea.utils.pairs import judge

HERE = Path(__file__).parent
DATA = {
    "zh_en": ["--data", "DBP15K", "--data.pair", "zh_en"],
    "fr_en": ["--data", "DBP15K", "--data.pair", "fr_en"],
    "en_fr": ["--data", "RSN15K", "--data.pair", "en_fr_15k_V1"],
    "dbp_yg": ["--data", "RSN15K", "--data.pair", "dbp_yg_15k_V1"],
    "emoji": ["--data", "AlignmentFolder", "--data.root", "{data}/emoji/noto_twemoji_en_zh"],
}
_TRANSFORM = "--data.transform"
CONDITIONS = {
    **{
        f"seeds_{percent}": [
            *("--data.split", "random"),
            *("--data.seed_ratio", str(percent / 100)),
        ]
        for percent in (1, 5)
    },
    **{
        f"wrong_seeds_{percent}": [
            *(_TRANSFORM, "CorruptSeeds"),
            *(f"{_TRANSFORM}.ratio", str(percent / 100)),
        ]
        for percent in (5, 10, 20)
    },
    **{
        f"{name}_images_{percent}": [
            *(_TRANSFORM, transform),
            *(f"{_TRANSFORM}.modality", "image"),
            *(f"{_TRANSFORM}.ratio", str(percent / 100)),
        ]
        for name, transform, percents in (
            ("swapped", "SwapFeatures", (10, 30, 50)),
            ("missing", "HideFeatures", (10, 50, 95)),
        )
        for percent in percents
    },
    "no_seeds": [_TRANSFORM, "PivotAnchors", f"{_TRANSFORM}.modality", "image"],
}
PRECISIONS = (0.9, 0.95, 0.99)


def find_config(setting: str, folder: Path) -> Path:
    """The file of a setting, of a study or else of all benchmarks."""
    folders = [folder / "configs", HERE / "configs"]
    for path in (each / f"{setting}.yaml" for each in folders):
        if path.is_file():
            return path
    known = {path.stem for each in folders for path in each.glob("*.yaml")}
    sys.exit(f"there is no setting '{setting}' (there are {', '.join(sorted(known))})")


def command(setting: str, spec: str, seed: int, folder: Path = HERE) -> list[str]:
    """The arguments of `pyg-mmea train`, without --out."""
    config = find_config(setting, folder)
    data, plus, condition = spec.partition("+")
    if data not in DATA or (plus and condition not in CONDITIONS):
        sys.exit(
            f"there is no data '{spec}' (there are {', '.join(DATA)}; behind a plus "
            f"{', '.join(CONDITIONS)})"
        )
    root = os.environ.get("PYG_MMEA_DATA", "../shared/data")
    arguments = [argument.format(data=root) for argument in DATA[data]]
    arguments += CONDITIONS[condition] if plus else []
    return ["train", "--config", str(config), *arguments, "--seed", str(seed)]


def found_pairs(pairs: pd.DataFrame, data: HeteroData) -> torch.Tensor:
    """Ids of the rows of an alignment :math:`(2, P)`."""
    ids = [pd.Index(data[side].uri).get_indexer(pairs[side]) for side in SIDES]
    return torch.tensor(np.stack(ids))


def alignment(data: HeteroData, aligner: Aligner) -> dict[str, dict[str, float | int | None]]:
    """What the alignment of a run is worth, by the precision that was asked for."""
    anchors = data[ANCHOR_EDGE]
    hidden = anchors.edge_label_index[:, anchors.test_mask]
    measured = {}
    for target in PRECISIONS:
        pairs = aligner.predict(data, target)
        found = found_pairs(pairs[pairs["origin"] == "predicted"], data)
        worth = pseudo_label_precision(found, hidden)
        measured[str(target)] = {**worth, "coverage": worth["num_correct"] / hidden.size(1)}
    return measured


def reliability(data: HeteroData, aligner: Aligner, num_bins: int = 10) -> dict[str, Any]:
    """Precision by confidence, in bins of equally many candidates that can be judged."""
    anchors = data[ANCHOR_EDGE]
    pairs = aligner.predict(data)
    pairs = pairs[pairs["origin"] == "predicted"]
    hidden = anchors.edge_label_index[:, anchors.test_mask]
    known, right = (x.numpy() for x in judge(found_pairs(pairs, data), hidden))
    confidence, right = pairs["confidence"].to_numpy()[known], right[known]
    precision, mean = calibration_curve(right, confidence, n_bins=num_bins, strategy="quantile")
    return {
        "confidence": mean.tolist(),
        "precision": precision.tolist(),
        "brier": float(brier_score_loss(right, confidence)),
    }


def run(setting: str, data: str, seed: int, work: Path, folder: Path, results: Path) -> None:
    """Trains once, unless that was done before."""
    target = results / data / setting / f"seed{seed}.json"
    if target.exists():
        print(f"{target} is there")
        return
    arguments = command(setting, data, seed, folder)
    out = work / data / setting / f"seed{seed}"
    resume = ["--resume"] if (out / "config.yaml").exists() else []
    call = [sys.executable, "-m", "pyg_mmea", *arguments, "--out", str(out), *resume]
    print(" ".join(["pyg-mmea", *arguments]), flush=True)
    subprocess.run(call, check=True)
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    result["setting"] = setting
    pair, aligner = load_run(out)
    result["alignment"] = alignment(pair, aligner)
    result["reliability"] = reliability(pair, aligner)
    root = os.environ.get("PYG_MMEA_DATA", "../shared/data")
    shown = [
        argument.replace(str(HERE), "benchmarks").replace(root, "$PYG_MMEA_DATA")
        for argument in arguments
    ]
    result["command"] = " ".join(["pyg-mmea", *shown])
    result["environment"] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--settings", nargs="+", default=["supervised", "calibrated"])
    parser.add_argument("--data", nargs="+", default=list(DATA), metavar="DATA[+CONDITION]")
    parser.add_argument("--study", help="folder of benchmarks/ with settings and results")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--work", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--results", type=Path, help="by default a folder beside the settings")
    args = parser.parse_args()
    folder = HERE / args.study if args.study else HERE
    if not (folder / "configs").is_dir():
        sys.exit(f"there is no folder {folder / 'configs'}")
    results = args.results or folder / "results"
    work = args.work / args.study if args.study else args.work
    jobs = list(product(args.seeds, args.settings, args.data))
    for seed, setting, data in jobs:
        command(setting, data, seed, folder)  # says at once what is misspelt
    for seed, setting, data in jobs:
        run(setting, data, seed, work, folder, results)


if __name__ == "__main__":
    main()
