"""Runs settings on data sets with seeds, and keeps one JSON file a run.

    python benchmarks/run.py zh_en/supervised emoji/calibrated --seeds 0 1 2
    python benchmarks/run.py '*/calibrated' --jobs 2
    python benchmarks/run.py emoji+wrong_seeds_20/calibrated --study calibration

A SPEC is DATA[+CONDITION]/SETTING, where * stands for all. A setting is a file of
benchmarks/configs, or of the folder of a study: what `pyg-mmea train`, or of a baseline
benchmarks/baseline.py, does with it is a run. What is done already is skipped, and what was stopped
goes on. `python benchmarks/report.py` makes the tables, as does report.py of a study.
"""

import argparse
import json
import multiprocessing
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import protocol
import torch
import yaml
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss
from specs import HERE, config_files, data_arguments, data_root, expand, settings_hash
from torch_geometric.data import HeteroData

from pyg_mmea.cli.provenance import describe_source
from pyg_mmea.cli.runs import load_run
from pyg_mmea.metrics import evaluate_alignment, pseudo_label_precision
from pyg_mmea.training import Aligner
from pyg_mmea.typing import ANCHOR_EDGE, SIDES
from pyg_mmea.utils.io import atomic_write
from pyg_mmea.utils.pairs import judge

PRECISIONS = (0.9, 0.95, 0.99)
_THREADS = "OMP_NUM_THREADS"


def config_of(setting: str, folder: Path) -> Path:
    """The file of a setting, which every protocol shares."""
    return config_files(folder)[setting.partition(protocol.MARK)[0]]


def command(setting: str, data: str, seed: int, folder: Path = HERE) -> list[str]:
    """The call of a run, without --out: what stands behind `python`."""
    name, mark, _ = setting.partition(protocol.MARK)
    config = config_of(setting, folder)
    settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    program = [str(HERE / "baseline.py")] if "baseline" in settings else ["-m", "pyg_mmea", "train"]
    call = [*program, "--config", str(config), *data_arguments(data), "--seed", str(seed)]
    if mark:
        protocol.check(name, settings)
        call += protocol.OPTIONS
    return call


def shown(call: Sequence[str]) -> str:
    """The call as a line for a shell in the root of the repository, without --out."""
    root = f"{data_root()}/"
    words = [
        f"$PYG_MMEA_DATA/{shlex.quote(word.removeprefix(root))}"
        if word.startswith(root)
        else shlex.quote(word.replace(str(HERE), "benchmarks"))
        for word in call
    ]
    program = ["pyg-mmea", *words[2:]] if call[0] == "-m" else ["python", *words]
    # Where protocol.py is found.
    path = ["PYTHONPATH=benchmarks"] if protocol.OPTIONS[1] in call else []
    return " ".join([*path, *program])


def begin(out: Path, baseline: bool) -> tuple[list[str], str]:
    """Makes a folder ready: how a run that was stopped goes on, and the commit it began at."""
    if baseline:  # has nothing to go on from
        (out / "result.json").unlink(missing_ok=True)
    commit = out.with_name(f"{out.name}.commit")
    if (out / "config.yaml").exists():
        return ["--resume"], commit.read_text(encoding="utf-8") if commit.exists() else "unknown"
    now = str(describe_source()["git"])
    out.parent.mkdir(parents=True, exist_ok=True)
    commit.write_text(now, encoding="utf-8")
    return [], now


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


def worth_on(links: torch.Tensor, data: HeteroData, aligner: Aligner) -> dict[str, Any]:
    """What a run is worth on some links: ranks among all entities, and the alignment at 0.95."""
    z = aligner.embeddings
    pairs = aligner.predict(data, 0.95)
    worth = pseudo_label_precision(found_pairs(pairs[pairs["origin"] == "predicted"], data), links)
    return {
        "ranks": evaluate_alignment(z["source"], z["target"], links, candidates="all")["mean"],
        "precision": worth["precision"],
        "coverage": worth["num_correct"] / links.size(1),
    }


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


def learning_curve(folder: Path) -> dict[str, list[float]]:
    """Hits@1 on the validation links, among all entities, by epoch and second of training."""
    table = pd.read_csv(folder / "metrics.csv")
    if "val/hits@1" not in table:
        return {}
    table = table.loc[table["phase"] == "select"].dropna(subset="val/hits@1")
    names = {"epoch": "epoch", "seconds": "seconds", "val/hits@1": "hits@1"}
    return {key: table[name].tolist() for name, key in names.items()}


def measure(folder: Path) -> dict[str, Any]:
    """What is measured of a finished training, beside its own result."""
    pair, aligner = load_run(folder)
    return {
        "test_sinkhorn": aligner.evaluate(pair, matching="sinkhorn"),
        "alignment": alignment(pair, aligner),
        "reliability": reliability(pair, aligner),
        "curve": learning_curve(folder),
    }


def kept_at(results: Path, data: str, setting: str, seed: int) -> Path:
    """Where the result of a run is kept."""
    return results / data / setting / f"seed{seed}.json"


def refuse_others(setting: str, data: str, seed: int, folder: Path, results: Path) -> None:
    """Exits if there is a result of settings that the file has no longer."""
    target = kept_at(results, data, setting, seed)
    config = config_of(setting, folder)
    if target.exists():
        had = json.loads(target.read_text(encoding="utf-8")).get("settings")
        if had not in (None, settings_hash(config)):  # older results do not tell
            sys.exit(f"{target} is of other settings than {config} has now; remove it to run again")


def run(setting: str, data: str, seed: int, work: Path, folder: Path, results: Path) -> None:
    """Runs once, unless that was done before."""
    target = kept_at(results, data, setting, seed)
    if target.exists():
        print(f"{target} is there")
        return
    call = command(setting, data, seed, folder)
    out = work / data / setting / f"seed{seed}"
    baseline = call[0] != "-m"
    resume, begun = begin(out, baseline)
    settings = settings_hash(config_of(setting, folder))  # the file may change meanwhile
    print(shown(call), flush=True)
    paths = [str(HERE), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]  # of protocol.py
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    whole = [sys.executable, *call, "--out", str(out), *resume]
    subprocess.run(whole, check=True, env=environment)
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    result["setting"] = setting
    result["git_begun"] = begun  # another commit than "git" if a run goes on with newer code
    if protocol.MARK in setting:
        result |= {"test": result["val"], "val": None, "curve": learning_curve(out)}
    elif not baseline:
        result |= measure(out)
    result["command"] = shown(call)
    result["settings"] = settings
    result["environment"] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        **{name: version(name) for name in ("torch-geometric", "lightning")},
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(target) as file:  # half a result would count as done
        file.write(json.dumps(result, indent=1) + "\n")


def train_once(call: Sequence[str], out: Path) -> dict[str, Any]:
    """Trains, unless that was done before; returns the summary."""
    if not (out / "result.json").exists():
        resume = ["--resume"] if (out / "config.yaml").exists() else []
        subprocess.run([sys.executable, *call, "--out", str(out), *resume], check=True)
    return json.loads((out / "result.json").read_text(encoding="utf-8"))


def measure_once(folder: Path, todo: Mapping[str, Callable[[], dict]]) -> list[dict]:
    """Measures what has no result in a folder yet, by name; returns all results that are there."""
    for name, make in todo.items():
        target = folder / f"{name}.json"
        if not target.exists():
            found = make()
            target.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(target) as file:
                file.write(json.dumps(found, indent=1) + "\n")
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def run_all(runs: Sequence[tuple[Any, ...]], num_jobs: int) -> None:
    """Runs one after another, or several at a time, which share the cores."""
    if num_jobs == 1:
        for each in runs:
            run(*each)
        return
    os.environ.setdefault(_THREADS, str(max(1, (os.cpu_count() or 1) // num_jobs)))
    context = multiprocessing.get_context("spawn")  # a new process reads the number of threads
    with ProcessPoolExecutor(num_jobs, mp_context=context) as pool:
        failed = [
            f"{data}/{setting} with seed {seed}: {error}"
            for (setting, data, seed, *_), future in [
                (each, pool.submit(run, *each)) for each in runs
            ]
            if (error := future.exception())
        ]
    if failed:
        sys.exit("\n".join(failed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("specs", nargs="+", metavar="SPEC", help="DATA[+CONDITION]/SETTING")
    parser.add_argument("--study", help="folder of benchmarks/ with settings and results")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time")
    parser.add_argument(
        "--protocol",
        choices=("validation", "paper"),
        default="validation",
        help="'paper' reports the epoch that is best on the test links, as published code does",
    )
    parser.add_argument("--work", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--results", type=Path, help="by default a folder beside the settings")
    args = parser.parse_args()
    folder = HERE / args.study if args.study else HERE
    if not (folder / "configs").is_dir():
        sys.exit(f"there is no folder {folder / 'configs'}")
    if args.jobs < 1:
        sys.exit(f"--jobs needs to be at least 1 (got {args.jobs})")
    results = args.results or folder / "results"
    work = args.work / args.study if args.study else args.work
    # All specs are looked up first, so that what is misspelt is said at once.
    chosen = [pair for spec in args.specs for pair in expand(spec, folder)]
    mark = protocol.MARK if args.protocol == "paper" else ""
    runs = [
        (f"{setting}{mark}", data, seed, work, folder, results)
        for seed, (data, setting) in product(args.seeds, dict.fromkeys(chosen))
    ]
    calls = [command(setting, data, seed, folder) for setting, data, seed, *_ in runs]
    for setting, data, seed, *_ in runs:
        refuse_others(setting, data, seed, folder, results)
    # Baselines draw nothing: other seeds would be the same run, and their deviation none.
    kept = [
        each
        for each, call in zip(runs, calls, strict=True)
        if call[0] == "-m" or each[2] == args.seeds[0]
    ]
    run_all(kept, args.jobs)


if __name__ == "__main__":
    main()
