"""What a process is and has used."""

import sys

import torch
from lightning.pytorch.utilities import rank_zero_only


def is_first_process() -> bool:
    """Whether this process is the one of several that writes files and prints."""
    return getattr(rank_zero_only, "rank", 0) == 0


def peak_rss_mb() -> float | None:
    """Returns the peak resident memory of the process in MiB, None where the system keeps none."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in KiB, macOS in bytes.
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


def peak_gpu_mb(device: torch.device) -> float | None:
    """Returns the peak memory of tensors on the GPU in MiB, None for another device."""
    if device.type != "cuda":
        return None
    return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
