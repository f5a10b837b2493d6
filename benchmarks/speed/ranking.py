"""Exact CSLS ranks of many entities beside the bare products of the same blocks, in one run.

    python benchmarks/speed/ranking.py --num-entities 100000 --channels 300

Embeddings are random, a target that of its source with noise; every entity has one link. CSLS needs
all similarities before the first rank is known, so two passes of products are the least there is.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from machine import Meter, environment
from torch import Tensor

from pyg_mmea.metrics import hits_at_k
from pyg_mmea.metrics.ranks import link_ranks

HERE = Path(__file__).parent
BLOCK = 1024  # rows and columns of a product, as in link_ranks on a CPU


def bare(x_s: Tensor, x_t: Tensor) -> None:
    """All products of rows, each block written over the one before."""
    out = x_s.new_empty(BLOCK, BLOCK)
    for rows in x_s.split(BLOCK):
        for columns in x_t.split(BLOCK):
            torch.mm(rows, columns.t(), out=out[: rows.size(0), : columns.size(0)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num-entities", type=int, default=100_000)
    parser.add_argument("--channels", type=int, default=300)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    device = torch.device(args.device)
    size = (args.num_entities, args.channels)
    x_s = torch.randn(size, device=device)
    x_t = x_s + torch.randn(size, device=device)
    links = torch.arange(args.num_entities, device=device).expand(2, -1)
    meter = Meter(device)
    start = time.perf_counter()
    bare(x_s, x_t)
    one_pass = time.perf_counter() - start
    with meter("ranks"):
        ranks = torch.cat(link_ranks(x_s, x_t, links))
    stage = meter.stages["ranks"]
    result = {
        "num_entities": args.num_entities,
        "channels": args.channels,
        "seconds": stage["seconds"],
        "peak_mb": stage["peak_mb"],
        "bare_pass_seconds": one_pass,
        "ratio_to_two_passes": stage["seconds"] / (2 * one_pass),
        "hits@1": hits_at_k(ranks, 1),
        "environment": environment(device),
    }
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"ranking_{args.device}_{args.threads}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"{stage['seconds']:.1f} s, a bare pass {one_pass:.1f} s, {stage['peak_mb']:.0f} MB")


if __name__ == "__main__":
    main()
