"""Hits@1 on the validation links over the seconds of training, for several settings.

    python benchmarks/speed/curves.py runs/zh_en_default runs/zh_en_gat
    python benchmarks/speed/curves.py benchmarks/configs/*.yaml --data DBP15K --data.pair zh_en

What is a folder is a run of `pyg-mmea train`; what is a file of settings is trained first, with the
options that are left, on as many threads as torch takes, and without the training on all seeds
that would follow. The time that validations take counts. Curves of other data and settings stay in
the file of results. `report.py` draws a plot for each data set and makes the table.
"""

import argparse
import hashlib
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd

HERE = Path(__file__).parent


def curve(run: Path, command: str) -> dict[str, Any]:
    """Reads the validations of the first phase of a run.

    Raises:
        ValueError: If the table has no seconds or no validation.
    """
    table = pd.read_csv(run / "metrics.csv")
    for column in ("seconds", "val/hits@1"):
        if column not in table:
            raise ValueError(f"{run / 'metrics.csv'} needs a column '{column}'")
    table = table[table["phase"] == table["phase"].iloc[0]].dropna(subset=["val/hits@1"])
    seconds, hits = table["seconds"].tolist(), table["val/hits@1"].tolist()
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    return {
        "data": result["dataset"],
        "setting": run.name,
        "git": result.get("git"),
        "command": command,
        "epochs": result["epochs"],
        # What was measured after a second training is not where the curve ends.
        "test": None if result["refit_epochs"] or not result["test"] else _hits(result["test"]),
        "seconds": seconds,
        "hits@1": hits,
        "final": hits[-1],
        "seconds_to_final": time_to(seconds, hits, hits[-1] - 0.01),
    }


def _hits(test: dict[str, Any]) -> float:
    return test["mean"]["hits@1"]


def time_to(seconds: list[float], hits: list[float], target: float) -> float:
    """When a curve first reaches a value."""
    return next(time for time, value in zip(seconds, hits, strict=True) if value >= target)


def train(config: Path, options: list[str], work: Path, val_every: int) -> Path:
    """Trains a setting unless that is done."""
    settings = json.dumps([*options, val_every])
    out = work / hashlib.sha256(settings.encode()).hexdigest()[:8] / config.stem
    if not (out / "result.json").exists():
        command = ["train", "--config", str(config), *options, "--out", str(out), "--quiet"]
        command += ["--training.val_every", str(val_every), "--training.refit", "false"]
        subprocess.run([sys.executable, "-m", "pyg_mmea", *command], check=True)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="run folders or files of settings")
    parser.add_argument("--val-every", type=int, default=5, help="epochs between two points")
    parser.add_argument("--work", type=Path, default=Path("runs/curves"))
    parser.add_argument("--out", type=Path, default=HERE / "results" / "curves.json")
    args, options = parser.parse_known_args()
    runs = [
        path if path.is_dir() else train(path, options, args.work, args.val_every)
        for path in args.runs
    ]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(args.out.read_text(encoding="utf-8")) if args.out.exists() else []
    command = shlex.join(["python", "benchmarks/speed/curves.py", *sys.argv[1:]])
    new = [curve(run, command) for run in runs]
    curves = {(each["data"], each["setting"]): each for each in [*known, *new]}
    text = json.dumps([curves[key] for key in sorted(curves)], indent=1)
    args.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
