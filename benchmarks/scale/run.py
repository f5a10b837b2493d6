"""From files to an alignment of a million entities, by one command.

    python benchmarks/scale/run.py --num-entities 1000000 --num-triples 5000000

Generates the graphs unless they are there, trains, aligns, and looks at what came out. Each phase
is a process of its own whose time and peak resident memory are kept. `benchmarks/speed/report.py`
shows the results.
"""

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from pyg_mmea.cli.provenance import describe_source
from pyg_mmea.cli.runs import load_run
from pyg_mmea.metrics import hits_at_k, pseudo_label_precision
from pyg_mmea.metrics.ranks import link_ranks
from pyg_mmea.typing import ANCHOR_EDGE, SIDES

HERE = Path(__file__).parent


def timed(command: list[str], threads: int) -> dict[str, float]:
    """Runs a process; returns its wall time, its processor time and its peak memory."""
    numbers = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    start = time.monotonic()
    process = subprocess.Popen(command, env={**os.environ, **numbers})
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{shlex.join(command)} failed")
    return {
        "seconds": round(time.monotonic() - start, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_rss_mb": round(usage.ru_maxrss / 1024, 1),
    }


def judge(run: Path, alignment: Path, num_sampled: int) -> dict[str, Any]:
    """Hits@1 on some test links, and what the alignment is worth on all of them.

    Ranks are among all entities and by plain cosine: CSLS would compare everything with everything.
    """
    data, aligner = load_run(run)
    anchors = data[ANCHOR_EDGE]
    hidden = anchors.edge_label_index[:, anchors.test_mask]
    chosen = torch.randperm(hidden.size(1), generator=torch.Generator().manual_seed(0))
    sample = hidden[:, chosen[:num_sampled]]
    z = [aligner.embeddings[side] for side in SIDES]
    ranks = torch.cat(link_ranks(*z, sample, "all", csls_k=0, chunk_size=256))
    table = pd.read_csv(alignment)
    found = table[table["origin"] == "predicted"]
    ids = [pd.Index(data[side].uri).get_indexer(found[side]) for side in SIDES]
    worth = pseudo_label_precision(torch.tensor(np.stack(ids)), hidden)
    return {
        "sampled_links": sample.size(1),
        "hits@1": hits_at_k(ranks, 1),
        "hits@10": hits_at_k(ranks, 10),
        "num_pairs": len(found),
        "precision": worth["precision"],
        "coverage": worth["num_correct"] / hidden.size(1),
    }


def run(args: argparse.Namespace) -> dict[str, Any]:
    """All phases."""
    data = args.work / f"data_{args.num_entities}_{args.num_triples}"
    out = args.work / f"run_{args.num_entities}_{args.config.stem}"
    alignment = out / "links.csv"
    phases: dict[str, dict[str, float] | None] = {"generate": None}  # None: was there before
    if not (data / "ref_ent_ids").exists():  # written last
        sizes = ["--num-entities", str(args.num_entities), "--num-triples", str(args.num_triples)]
        command = [sys.executable, str(HERE / "generate.py"), str(data), *sizes]
        phases["generate"] = timed(command, args.threads)
    program = [sys.executable, "-m", "pyg_mmea"]
    root = ["--data", "AlignmentFolder", "--data.root", str(data)]
    images = ["--data.image_features", str(data / "image_features.npz")]
    options = ["--config", str(args.config), *root, *images, "--out", str(out), "--quiet"]
    resumed = (out / "config.yaml").exists()
    if resumed:
        options.append("--resume")
    phases["train"] = timed([*program, "train", *options, *args.options], args.threads)
    precision = ["--target-precision", str(args.target_precision)]
    phases["align"] = timed(
        [*program, "align", str(out), "--out", str(alignment), *precision], args.threads
    )
    return {
        "num_entities": args.num_entities,
        "num_triples": args.num_triples,
        "phases": phases,
        "resumed": resumed,
        "target_precision": args.target_precision,
        "result": judge(out, alignment, args.sample),
        "config": args.config.read_text(encoding="utf-8"),
        "environment": {
            **describe_source(),
            "command": shlex.join(["python", "benchmarks/scale/run.py", *sys.argv[1:]]),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "threads": args.threads,
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num-entities", type=int, default=1_000_000, help="of each graph")
    parser.add_argument("--num-triples", type=int, default=5_000_000, help="of each graph")
    parser.add_argument("--config", type=Path, default=HERE / "million.yaml")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--target-precision", type=float, default=0.9)
    parser.add_argument("--sample", type=int, default=2000, help="test links that are ranked")
    parser.add_argument("--work", type=Path, default=Path("runs/scale"))
    parser.add_argument("--results", type=Path, default=HERE / "results")
    args, args.options = parser.parse_known_args()  # the rest is for `pyg-mmea train`
    result = run(args)
    args.results.mkdir(parents=True, exist_ok=True)
    path = args.results / f"{args.config.stem}_{args.num_entities}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
