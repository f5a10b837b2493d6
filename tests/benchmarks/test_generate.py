from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from pyg_mmea.datasets import AlignmentFolder

Script = Callable[[str], ModuleType]


@pytest.fixture
def generate(script: Script) -> ModuleType:
    return script("scale/generate.py")


def _settings(generate: ModuleType, **kwargs: float) -> object:
    sizes = {"num_entities": 400, "num_triples": 2000, "num_relations": 20, "num_attributes": 50}
    return generate.Settings(**{**sizes, "image_channels": 4, **kwargs})


def test_a_seed_gives_the_same_files(generate: ModuleType, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        generate.generate(tmp_path / name, _settings(generate, seed=seed))
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    content = {n: [(tmp_path / n / file).read_bytes() for file in files] for n in "abc"}
    assert content["a"] == content["b"]
    assert content["a"] != content["c"]


def test_folder_is_read_and_has_what_was_asked_for(generate: ModuleType, tmp_path: Path) -> None:
    generate.generate(tmp_path / "pair", _settings(generate, dangling=0.25))
    images = str(tmp_path / "pair" / "image_features.npz")
    data = AlignmentFolder(str(tmp_path / "pair"), image_features=images)[0]
    for side in ("source", "target"):
        assert data[side].num_nodes == 400
        assert data[side, "relation", side].edge_index.size(1) == 2000
        assert 0.4 < float(data[side].image_mask.float().mean()) < 0.6
        assert 0.6 < float(data[side].attribute_mask.float().mean()) < 0.8
        degree = data[side, "relation", side].edge_index.flatten().bincount()
        assert degree.max() > 8 * degree.float().mean()
    links = data["source", "anchor", "target"]
    assert links.edge_label_index.size(1) == 300  # a quarter has no counterpart
    assert int((links.train_mask | links.val_mask).sum()) == 90
    names = [set(data[side, "relation", side].relation_uri) for side in ("source", "target")]
    assert 0 < len(names[0] & names[1]) < 20


def test_target_is_a_noisy_copy(generate: ModuleType, tmp_path: Path) -> None:
    generate.generate(tmp_path / "pair", _settings(generate, renamed_relations=0.0))
    data = AlignmentFolder(str(tmp_path / "pair"))[0]
    source, target = data["source", "anchor", "target"].edge_label_index
    assert not torch.equal(source.argsort(), target.argsort())  # no order gives links away
    to = torch.full((400,), -1)
    to[source] = target
    triples = []
    for side in ("source", "target"):
        edges = data[side, "relation", side]
        ends = to[edges.edge_index] if side == "source" else edges.edge_index
        rows = torch.stack([ends[0], edges.edge_type, ends[1]], dim=1)
        triples.append(set(map(tuple, rows[(ends >= 0).all(dim=0)].tolist())))
    share = len(triples[0] & triples[1]) / len(triples[0])
    assert 0.3 < share < 0.9
    # A neighbour of one's counterpart is no accident.
    wrong = {(int(h), r, int(t)) for h, r, t in triples[0] if h != t} & {
        ((h + 1) % 400, r, t) for h, r, t in triples[1]
    }
    assert len(wrong) < 0.1 * len(triples[0])


def test_digits_agree_with_str(generate: ModuleType, tmp_path: Path) -> None:
    numbers = np.array([0, 7, 10, 999, 1000, 120045])
    mask = np.array([True, False, True, True, False, True])
    generate.write(tmp_path / "x", "n", numbers, ("<>", mask), "\n")
    expected = [f"n{n}{'<>' if m else ''}" for n, m in zip(numbers, mask, strict=True)]
    assert (tmp_path / "x").read_text().split() == expected
