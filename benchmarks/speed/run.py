"""Measures time and memory of every stage at growing sizes, one process a size.

    python benchmarks/speed/run.py --sizes 10000 30000 100000 300000 1000000 --threads 2

Graphs come from benchmarks/scale/generate.py, five triples an entity. `report.py` makes the page.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
GENERATE = HERE.parent / "scale" / "generate.py"
SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)


def needs(before: dict | None, size: int) -> float:
    """Gigabytes that a step on the full graph will take, by what it took at a smaller size."""
    if before is None or "backward" not in before["stages"]:
        return 0.0 if before is None else float("inf")
    peak = max(before["stages"][name]["peak_mb"] for name in ("forward", "backward", "optimizer"))
    return peak / 1024 * size / before["num_entities"]


def run(size: int, args: argparse.Namespace, before: dict | None) -> dict:
    """Generates a folder unless it is there, and measures in a process of its own."""
    folder = args.work / str(size)
    if not (folder / "ref_ent_ids").exists():  # written last
        sizes = ["--num-entities", str(size), "--num-triples", str(5 * size)]
        subprocess.run([sys.executable, str(GENERATE), str(folder), *sizes], check=True)
    out = args.results / f"{args.accelerator}_{size}.json"
    command = [sys.executable, str(HERE / "stages.py"), str(folder), str(out)]
    for name in (
        "accelerator",
        "threads",
        "repeats",
        "batch_entities",
        "channels",
        "num_neighbors",
    ):
        command += [f"--{name.replace('_', '-')}", str(getattr(args, name))]
    if needs(before, size) > args.memory_limit:
        command.append("--no-full-graph")
    if size > args.quadratic_limit:
        command.append("--no-quadratic")
    threads = {"OMP_NUM_THREADS": str(args.threads), "MKL_NUM_THREADS": str(args.threads)}
    print(size, flush=True)
    subprocess.run(command, check=True, env={**os.environ, **threads})
    result = json.loads(out.read_text(encoding="utf-8"))
    result["environment"]["command"] = args.command
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--accelerator", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch-entities", type=int, default=10_000, help="of each graph")
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--num-neighbors", type=int, default=10)
    parser.add_argument("--memory-limit", type=float, default=16.0, help="GB of a full-graph step")
    parser.add_argument("--quadratic-limit", type=int, default=100_000, help="largest size ranked")
    parser.add_argument("--work", type=Path, default=Path("runs/speed"))
    parser.add_argument("--results", type=Path, default=HERE / "results")
    args = parser.parse_args()
    args.command = shlex.join(["python", "benchmarks/speed/run.py", *sys.argv[1:]])
    before = None
    for size in sorted(args.sizes):
        before = run(size, args, before)


if __name__ == "__main__":
    main()
