"""Multi-modal entity alignment on PyTorch Geometric."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("pyg-mmea")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0.0.0"

__all__ = ["__version__"]
