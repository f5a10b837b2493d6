"""Fixtures that tests of all subpackages share."""

import os
from pathlib import Path

import pytest

from pyg_mmea.data import AlignmentData
from pyg_mmea.datasets import FakeMMKG


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The benchmark data, or a skip that says why."""
    root = Path(os.environ.get("PYG_MMEA_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not root.is_dir():
        pytest.skip(f"the benchmark data are not at '{root}' (PYG_MMEA_DATA says where)")
    return root


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keeps what tests convert away from the cache of the user."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("PYG_MMEA_CACHE", str(folder))
    return folder


@pytest.fixture
def fake() -> AlignmentData:
    """A tiny pair with all modalities and links that can be learned."""
    return FakeMMKG()[0]
