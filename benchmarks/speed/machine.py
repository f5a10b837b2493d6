"""What the machine can do, what a stage takes, and under which conditions."""

import ctypes
import gc
import platform
import resource
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from pyg_mmea.cli.provenance import describe_source

_PACKAGES = ("torch", "torch-geometric", "lightning", "numpy", "faiss-cpu", "faiss-gpu", "pymetis")


def synchronize(device: torch.device) -> None:
    """Waits until the device has done all it was told to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def best_seconds(call: Callable[[], object], device: torch.device, repeats: int = 5) -> float:
    """The shortest of some runs: what the machine can do when it is left alone."""
    seconds = []
    for _ in range(repeats + 1):  # the first one warms up
        synchronize(device)
        start = time.perf_counter()
        call()
        synchronize(device)
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def bandwidth(device: torch.device, num_floats: int = 1 << 25) -> float:
    """Memory bandwidth in bytes a second, by the triad of STREAM: a = b + s * c.

    Two vectors are read and one is written, which counts as three, as STREAM does.
    """
    a, b, c = (torch.ones(num_floats, device=device) for _ in range(3))
    seconds = best_seconds(lambda: torch.add(b, c, alpha=0.5, out=a), device)
    return 3 * 4 * num_floats / seconds


def matmul_rate(device: torch.device, size: int = 2048) -> float:
    """Operations a second of a float32 matrix product."""
    a, b = torch.ones(size, size, device=device), torch.ones(size, size, device=device)
    out = torch.empty_like(a)
    return 2 * size**3 / best_seconds(lambda: torch.mm(a, b, out=out), device)


def environment(device: torch.device) -> dict[str, Any]:
    """Everything a result needs to be read, the command among it."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].partition(":")[2].strip() if names else cpu
    return {
        **describe_source(),
        "command": shlex.join(["python", *sys.argv]),
        "python": platform.python_version(),
        "versions": versions,
        "threads": torch.get_num_threads(),
        "cpu": cpu,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
    }


class Meter:
    """Measures time and peak memory of stages by name.

    Args:
        device (torch.device): Where the work is done. Memory is resident memory of the process on
            the CPU, and that of tensors on a GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stages: dict[str, dict[str, Any]] = {}
        self.skipped: dict[str, str] = {}

    @contextmanager
    def __call__(self, name: str, cold: bool = True) -> Iterator[None]:
        """Measures what happens inside. Of a cold stage memory is right, since freed memory was
        given back before; of a warm one time is right, since it need not be asked for again."""
        before = self._reset(cold)
        synchronize(self.device)
        start = time.perf_counter()
        yield
        synchronize(self.device)
        seconds = time.perf_counter() - start
        peak = self._peak()
        stage = self.stages.setdefault(name, {"all_seconds": [], "peak_mb": 0.0, "extra_mb": 0.0})
        stage["all_seconds"].append(seconds)
        stage["seconds"] = statistics.median(stage["all_seconds"])
        stage["peak_mb"] = round(max(stage["peak_mb"], peak), 1)
        stage["extra_mb"] = round(max(stage["extra_mb"], peak - before), 1)

    def forget(self, *names: str) -> None:
        """Drops what a run to warm up took; peaks of memory stay."""
        for name in names:
            self.stages[name]["all_seconds"].clear()

    def _reset(self, cold: bool) -> float:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            return torch.cuda.memory_allocated(self.device) / 2**20
        clear = Path("/proc/self/clear_refs")
        if clear.exists():
            gc.collect()
            # Freed memory that the allocator kept would hide what this stage takes.
            trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
            if cold and trim is not None:
                trim(0)
            clear.write_text("5")  # Linux: the peak starts again from what is in use
        return self._peak()

    def _peak(self) -> float:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        status = Path("/proc/self/status")
        if status.exists():
            lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
            return int(lines["VmHWM"].split()[0]) / 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
