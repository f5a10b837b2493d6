"""Times the ways to sum weighted neighbours, forward and backward, side by side in one run.

    python benchmarks/speed/kernels.py --channels 96 300

The operator is Y = A X with one learned weight an edge, on the source graph of DBP15K zh_en with
inverse edges. All ways are checked against each other in double precision before they are timed.
What is not installed (torch-scatter, a compiler for torch.compile) is left out and named.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from machine import environment
from torch import Tensor
from torch_geometric.nn import MessagePassing

from pyg_mmea.datasets import DBP15K
from pyg_mmea.datasets.base import data_folder
from pyg_mmea.nn.message_graph import bidirectional, message_graph
from pyg_mmea.utils.sparse import SparsePattern, spmm

HERE = Path(__file__).parent
Product = Callable[[Tensor, Tensor], Tensor]


class _Plain(MessagePassing):
    """PyG as written in its tutorial: a message an edge, then a sum."""

    def __init__(self) -> None:
        super().__init__(aggr="add")

    def forward(self, x: Tensor, edge_index: Tensor, value: Tensor) -> Tensor:
        return self.propagate(edge_index, x=x, value=value)

    def message(self, x_j: Tensor, value: Tensor) -> Tensor:
        return value.view(-1, 1) * x_j


def products(pattern: SparsePattern) -> tuple[dict[str, Product], dict[str, str]]:
    """The same product by name of the way, each of which takes values and features; then why others
    are left out."""
    left_out: dict[str, str] = {}
    edge_index = torch.stack([pattern.col, pattern.row])
    num_rows = pattern.size[0]
    plain = _Plain()

    def index_add(value: Tensor, x: Tensor) -> Tensor:
        message = value.view(-1, 1) * x.index_select(0, pattern.col)
        return x.new_zeros(num_rows, x.size(1)).index_add(0, pattern.row, message)

    ways: dict[str, Product] = {
        "PyG message passing": lambda value, x: plain(x, edge_index, value),
        "gather, index_add": index_add,
        "torch.sparse CSR @": lambda value, x: _csr(pattern, value) @ x,
        "spmm (ours)": lambda value, x: spmm(pattern, value, x),
    }
    try:
        from torch_scatter import segment_csr
    except ImportError:
        left_out["gather, torch-scatter segment_csr"] = "torch-scatter is not installed"
    else:
        ways["gather, torch-scatter segment_csr"] = lambda value, x: segment_csr(
            value.view(-1, 1) * x.index_select(0, pattern.col), pattern.crow, reduce="sum"
        )
    compiled, device = torch.compile(index_add), pattern.row.device
    name = "gather, index_add by torch.compile"
    try:
        size = pattern.size[1], 4
        compiled(torch.rand(pattern.num_entries, device=device), torch.rand(size, device=device))
    except Exception as error:  # whatever a missing or broken compiler raises
        left_out[name] = f"torch.compile does not work here ({type(error).__name__})"
    else:
        ways[name] = compiled
    return ways, left_out


def _csr(pattern: SparsePattern, value: Tensor) -> Tensor:
    return torch.sparse_csr_tensor(pattern.crow, pattern.col, value, pattern.size)


def once(way: Product, value: Tensor, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """One pass forward and backward."""
    out = way(value, x)
    return out, torch.autograd.grad(out.square().sum(), (value, x))


def compare(
    pattern: SparsePattern, ways: dict[str, Product], channels: int, repeats: int, device: str
) -> dict[str, dict]:
    """Median milliseconds of each way, forward alone and with the backward pass, interleaved."""
    torch.manual_seed(0)
    value = torch.rand(pattern.num_entries, dtype=torch.double, device=device, requires_grad=True)
    x = torch.randn(
        pattern.size[1], channels, dtype=torch.double, device=device, requires_grad=True
    )
    expected = once(ways["PyG message passing"], value, x)
    seconds: dict[str, dict[str, list[float]]] = {}
    for name, way in list(ways.items()):
        try:
            out, grads = once(way, value, x)
        except (RuntimeError, NotImplementedError) as error:
            print(f"{name}: no gradient ({str(error).splitlines()[0]}), forward alone")
            assert torch.allclose(way(value, x), expected[0])
        else:
            for got, wanted in zip((out, *grads), (expected[0], *expected[1]), strict=True):
                assert torch.allclose(got, wanted), name
            seconds[name] = {"forward": [], "both": []}
        seconds.setdefault(name, {"forward": []})
    value, x = (y.detach().float().requires_grad_() for y in (value, x))
    for _ in range(repeats + 1):
        for name, taken in seconds.items():
            for what, times in taken.items():
                call = ways[name] if what == "forward" else lambda v, y, n=name: once(ways[n], v, y)
                times.append(_timed(call, value, x, device))
    return {
        name: {what: 1e3 * statistics.median(times[1:]) for what, times in taken.items()}
        for name, taken in seconds.items()
    }


def _timed(call: Callable, value: Tensor, x: Tensor, device: str) -> float:
    start = time.perf_counter()
    call(value, x)
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--channels", nargs="+", type=int, default=[96, 300])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    store = DBP15K(str(data_folder() / "DBP15K"), "zh_en")[0]["source", "relation", "source"]
    num_nodes, num_relations = int(store.edge_index.max()) + 1, int(store.edge_type.max()) + 1
    edge_index, edge_type = bidirectional(store.edge_index, store.edge_type, num_relations)
    edges = edge_index.to(device), edge_type.to(device)
    pattern = message_graph(*edges, num_nodes, 2 * num_relations).neighbors
    ways, left_out = products(pattern)
    result = {
        "left_out": left_out,
        "num_nodes": num_nodes,
        "num_edges": pattern.num_entries,
        "milliseconds": {
            channels: compare(pattern, ways, channels, args.repeats, args.device)
            for channels in args.channels
        },
        "environment": environment(device),
    }
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"kernels_{args.device}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
