"""Fixtures that tests of all subpackages share."""

import os
from pathlib import Path

import pytest
import torch

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
def seed() -> None:
    """Makes a test give the same whatever ran before it."""
    torch.manual_seed(0)


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


@pytest.fixture
def eva_folder(tmp_path: Path) -> Path:
    """A folder in the layout of EVA: 4 and 3 entities, ids interleaved, 3 links, 2 of them seeds.

    URIs and values hold what breaks careless readers: quotes, commas, line separators, no final
    line feed.
    """
    folder = tmp_path / "pair"
    folder.mkdir()
    files = {
        "ent_ids_1": '0\thttp://a.org/Zoë\n2\thttp://a.org/"B,C"\n4\thttp://a.org/D\n5\tE\n',
        "ent_ids_2": "3\thttp://b.org/é\n1\thttp://b.org/b\u2028c\n6\tE",
        "rel_ids_1": "0\thttp://a.org/likes\n7\thttp://x.org/madeOf\n",
        "rel_ids_2": "0\thttp://b.org/knows\n3\thttp://x.org/madeOf",
        "triples_1": "0\t7\t2\n4\t0\t4\n5\t7\t0\n",
        "triples_2": "3\t3\t1\n1\t0\t6",
        "ill_ent_ids": "0\t3\n2\t1\n4\t6\n",
        "sup_ent_ids": "4\t6\n2\t1",
        "ref_ent_ids": "0\t3\n",
    }
    for name, content in files.items():
        (folder / name).write_bytes(content.encode())
    return folder
