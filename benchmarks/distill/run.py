"""Trains a teacher, distils it into students, and keeps one JSON file a student.

    python benchmarks/distill/run.py
    python benchmarks/distill/run.py image channels_32 --work /tmp/distill

What is done already is skipped. `python benchmarks/distill/report.py` makes the table.
"""

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from specs import data_arguments, data_root  # noqa: E402

from pyg_mmea.cli.provenance import describe_source  # noqa: E402
from pyg_mmea.cli.runs import load_run  # noqa: E402
from pyg_mmea.distill import Student, distill  # noqa: E402
from pyg_mmea.metrics import evaluate_alignment  # noqa: E402
from pyg_mmea.typing import ANCHOR_EDGE, SIDES  # noqa: E402
from pyg_mmea.utils.io import atomic_write  # noqa: E402

DATA = "emoji"
CONFIG = "benchmarks/configs/calibrated.yaml"
STUDENTS: dict[str, list[str]] = {
    "channels_64": [],
    "channels_32": ["--channels", "32"],
    "channels_128": ["--channels", "128"],
    "half_precision": ["--storage", "float16"],
    "hops_1": ["--hops", "1"],
    "hops_0": ["--hops", "0"],
    "image": ["--modalities", "image"],
    "image_hops_0": ["--modalities", "image", "--hops", "0"],
}
UNSEEN = "unseen"  # channels_64 again, without some entities
WHICH_UNSEEN = 0.3  # share of the test links whose entities are held out


def teach(out: Path, seed: int) -> list[str]:
    """Trains the teacher, unless that was done before; returns the arguments of `train`."""
    call = ["train", "--config", CONFIG, *data_arguments(DATA), "--seed", str(seed)]
    if not (out / "aligner.pt").exists():
        resume = ["--resume"] if (out / "config.yaml").exists() else []
        _call([*call, "--out", str(out), "--quiet", *resume])
    return call


def _call(arguments: list[str]) -> None:
    subprocess.run([sys.executable, "-m", "pyg_mmea", *arguments], check=True, cwd=HERE.parents[1])


def shown(*calls: list[str]) -> str:
    """Calls as lines for a shell in the root of the repository."""
    lines = [shlex.join(["pyg-mmea", *call]) for call in calls]
    return "\n".join(lines).replace(f"{data_root()}/", "$PYG_MMEA_DATA/")


def measure_unseen(run: Path, reference: Path, seed: int) -> dict[str, Any]:
    """Trains without the entities of some test links and measures these links among all entities,
    beside pictures as they are, and the teacher and the student that had these entities for
    examples, though without their links."""
    data, teacher = load_run(run)
    anchors = data[ANCHOR_EDGE]
    links = anchors.edge_label_index[:, anchors.test_mask]
    order = torch.randperm(links.size(1), generator=torch.Generator().manual_seed(seed))
    links = links[:, order[: int(WHICH_UNSEEN * links.size(1))]]
    unseen = dict(zip(SIDES, links, strict=True))
    source = describe_source()
    embeddings = {
        "pictures": {side: data[side].x_image for side in SIDES},
        "teacher": teacher.embeddings,
        "seen": Student.load(reference).embed(data),
        "unseen": distill(data, teacher, unseen=unseen).embed(data),
    }
    measured = {
        name: evaluate_alignment(z["source"], z["target"], links, "all")
        for name, z in embeddings.items()
    }
    return {**source, **measured}


def keep(name: str, result: dict[str, Any], command: str, teacher: dict[str, Any]) -> None:
    """Writes the result of a student, which names the commit that it was begun at.

    Raises:
        RuntimeError: If that is not the code that is here now.
    """
    now = describe_source()["git"]
    if result["git"] != now:
        raise RuntimeError(f"'{name}' is of commit {result['git']}, not of {now}; remove it")
    result |= {
        "command": command,
        "teacher_git": teacher["git"],
        "teacher_seconds": teacher["train_seconds"],
        "environment": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "machine": platform.machine(),
        },
    }
    target = HERE / "results" / DATA / f"{name}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(target) as file:
        file.write(json.dumps(result, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join([*STUDENTS, UNSEEN])}; all")
    parser.add_argument("--work", type=Path, default=Path("runs/distill"), help="where runs go")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    unknown = set(args.names) - {*STUDENTS, UNSEEN}
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    work = args.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    run = work / "teacher"
    call = [*teach(run, args.seed), "--out", "runs/teacher"]
    teacher = json.loads((run / "result.json").read_text(encoding="utf-8"))
    for name in args.names or [*STUDENTS, UNSEEN]:
        if (HERE / "results" / DATA / f"{name}.json").exists():
            print(f"{name} is there")
            continue
        print(name, flush=True)
        if name == UNSEEN:
            measured = measure_unseen(run, work / "channels_64", args.seed)
            keep(name, measured, f"python benchmarks/distill/run.py {name}", teacher)
            continue
        options = [*STUDENTS[name], "--seed", str(args.seed)]
        out = work / name
        if not out.exists():
            _call(["distill", str(run), "--out", str(out), "--quiet", *options])
        result = json.loads((out / "result.json").read_text(encoding="utf-8"))
        del result["teacher_run"]  # a path of this machine
        command = shown(call, ["distill", "runs/teacher", "--out", f"runs/{name}", *options])
        keep(name, result, command, teacher)


if __name__ == "__main__":
    main()
