import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch_geometric.utils import to_undirected

from pyg_mmea.nn.conv import DiagGATConv

Script = Callable[[str], ModuleType]


def _gradients(conv: torch.nn.Module, x: torch.Tensor, edge_index: torch.Tensor) -> list:
    x = x.clone().requires_grad_()
    out = conv(x, edge_index)
    (out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)).sum().backward()
    return [out, x.grad, conv.weight.grad, conv.att_dst.grad, conv.att_src.grad]


@pytest.mark.parametrize("name", ["PlainDiagGATConv", "DenseBackwardGATConv"])
def test_references_compute_what_ours_does(name: str, script: Script) -> None:
    edge_index = to_undirected(torch.randint(9, (2, 14)), num_nodes=9)
    x = torch.randn(9, 5, dtype=torch.double)
    ours = DiagGATConv(5, heads=2).double()
    torch.nn.init.normal_(ours.weight)
    theirs = getattr(script("speed/plain.py"), name)(5, heads=2).double()
    theirs.load_state_dict(ours.state_dict())
    for a, b in zip(*(_gradients(c, x, edge_index) for c in (ours, theirs)), strict=True):
        torch.testing.assert_close(a, b)


def test_compare_runs(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compare = script("speed/compare.py")
    threads = str(torch.get_num_threads())
    options = ["--fake", "--repeats=1", "--channels=8", "--dense-sizes", "50", "100"]
    command = ["compare.py", *options, "--threads", threads, "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", command)
    compare.main()
    result = json.loads((tmp_path / "compare_cpu_1.json").read_text())
    assert set(result["epochs"]) == {"pyg_gat", "pyg_diag_gat", "ours_gat", "ours_default"}
    assert all(len(each["all_seconds"]) == compare.EPOCHS - 1 for each in result["epochs"].values())
    assert result["dense_backward"]["num_nodes"] > 0
