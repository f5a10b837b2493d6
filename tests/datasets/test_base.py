import os
import pickle
import stat
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pyg_mmea.data import AlignmentData, DropModality
from pyg_mmea.datasets import AlignmentFolder, base
from pyg_mmea.errors import DataError
from pyg_mmea.typing import ANCHOR_EDGE


def _masks(data: AlignmentData) -> list[list[bool]]:
    return [data[ANCHOR_EDGE][f"{name}_mask"].tolist() for name in ("train", "val", "test")]


def test_official_split(eva_folder: Path) -> None:
    data = AlignmentFolder(str(eva_folder), val_ratio=0.5)[0]
    train, val, test = _masks(data)
    assert sum(train) == sum(val) == 1
    assert test == [True, False, False]


def test_random_split(eva_folder: Path) -> None:
    splits = [
        _masks(AlignmentFolder(str(eva_folder), split="random", seed_ratio=0.34, split_seed=i)[0])
        for i in range(8)
    ]
    assert all(sum(train) == 1 and sum(test) == 2 for train, _, test in splits)
    assert len({str(split) for split in splits}) > 1


def test_without_official_split(eva_folder: Path) -> None:
    (eva_folder / "sup_ent_ids").unlink()
    with pytest.raises(DataError, match=r"no official split .*sup_ent_ids: file is missing"):
        AlignmentFolder(str(eva_folder))
    data = AlignmentFolder(str(eva_folder), split="random")[0]
    assert data[ANCHOR_EDGE].edge_label_index.size(1) == 3


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"split": "best"}, "'split' needs to be 'official' or 'random'"),
        ({"seed_ratio": 2.0}, "'seed_ratio' needs to be in"),
        ({"val_ratio": 1.0}, "'val_ratio' needs to be in"),
        ({"features": "smell"}, "'features' needs to be among"),
    ],
)
def test_arguments(eva_folder: Path, kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AlignmentFolder(str(eva_folder), **kwargs)


def test_cache_is_used(eva_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = AlignmentFolder(str(eva_folder))
    assert Path(first.processed_dir) == eva_folder / "processed"
    (file,) = (eva_folder / "processed").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(AlignmentFolder, "read", None)
        second = AlignmentFolder(str(eva_folder))
    assert isinstance(second[0], AlignmentData)
    assert second[0]["source"].uri == first[0]["source"].uri
    assert second[0]["source"].x_relation.is_coalesced()
    assert repr(second) == "AlignmentFolder()"
    assert len(second) == 1

    before = file.stat().st_mtime_ns
    os.utime(file, ns=(0, 0))
    AlignmentFolder(str(eva_folder), force_reload=True)
    assert file.stat().st_mtime_ns >= before


def _mapping(address: int) -> str:
    """What the memory at an address belongs to."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, stop = (int(end, 16) for end in line.split()[0].split("-"))
        if start <= address < stop:
            return line
    return ""


def test_processed_features_stay_in_their_file(eva_folder: Path) -> None:
    dataset = AlignmentFolder(str(eva_folder), features=["relation", "relation_text"])
    store = dataset[0]["source"]
    path = dataset.processed_paths[0]
    if sys.platform == "linux":
        assert path in _mapping(store.x_relation_text.data_ptr())
    in_memory = torch.load(path, weights_only=True)["source"]
    for name in ("x_relation", "x_relation_text"):
        assert torch.equal(store[name].to_dense(), in_memory[name].to_dense())
    store.x_relation_text.add_(1)  # stays in memory
    again = torch.load(path, weights_only=True)["source"]
    assert torch.equal(again["x_relation_text"], in_memory["x_relation_text"])


def test_cache_is_never_stale(eva_folder: Path) -> None:
    def names(**kwargs: Any) -> str:
        return Path(AlignmentFolder(str(eva_folder), **kwargs).processed_paths[0]).name

    variants: list[dict[str, Any]] = [
        {},
        {"split": "random"},
        {"split": "random", "seed_ratio": 0.5},
        {"split": "random", "split_seed": 1},
        {"val_ratio": 0.5},
        {"split_seed": 1},
        {"features": "relation"},
        {"features": ["relation", "relation_text"]},
        {"text_encoder": "hashing2"},
        {"image_encoder": "timm:x"},
    ]
    assert len({names(**kwargs) for kwargs in variants}) == len(variants)
    # What does not change the pair does not change the name.
    assert names(split="random", seed_ratio=0.3) == names(split="random")
    assert names(seed_ratio=0.3) == names()  # what settings of older runs say
    # A file that changes does.
    before = names()
    (eva_folder / "triples_1").write_text("0\t7\t2\n")
    assert names() != before
    data = AlignmentFolder(str(eva_folder))[0]
    assert data["source", "relation", "source"].num_edges == 1


def test_read_only_folder(eva_folder: Path, cache_folder: Path) -> None:
    before = sorted(eva_folder.iterdir())
    eva_folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        path = AlignmentFolder(str(eva_folder)).processed_paths[0]
    finally:
        eva_folder.chmod(stat.S_IRWXU)
    assert Path(path).is_relative_to(cache_folder)
    assert Path(path).exists()
    assert sorted(eva_folder.iterdir()) == before


def test_transforms(eva_folder: Path) -> None:
    dataset = AlignmentFolder(str(eva_folder), transform=DropModality("relation"))
    assert "x_relation" not in dataset[0]["source"]
    dataset = AlignmentFolder(str(eva_folder), pre_transform=DropModality("relation"))
    assert "x_relation" not in dataset[0]["source"]
    # The cache holds the pair before it.
    assert "x_relation" in AlignmentFolder(str(eva_folder))[0]["source"]


def test_hostile_cache_is_not_run(eva_folder: Path, tmp_path: Path) -> None:
    path = AlignmentFolder(str(eva_folder)).processed_paths[0]
    target = tmp_path / "hacked"

    class Hostile:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.system, (f"touch {target}",)

    torch.save(Hostile(), path)
    with pytest.raises(DataError, match="more than tensors"):
        AlignmentFolder(str(eva_folder))
    assert not target.exists()


def _features(folder: Path, content: object, name: str = "a_id_img_feature_dict.pkl") -> Path:
    (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    return folder / name


def test_image_features_by_id(eva_folder: Path) -> None:
    vectors = {5: np.ones(2), 1: np.full(2, 2.0), 99: np.zeros(2)}
    _features(eva_folder, vectors)
    data = AlignmentFolder(str(eva_folder))[0]
    assert data["source"].image_mask.tolist() == [False, False, False, True]
    assert data["target"].image_mask.tolist() == [False, True, False]
    assert data["source"].x_image.tolist() == [[0, 0], [0, 0], [0, 0], [1, 1]]
    assert data["target"].x_image[1].tolist() == [2, 2]
    assert "x_image" not in AlignmentFolder(str(eva_folder), features="relation")[0]["source"]


def test_image_features_by_uri(eva_folder: Path, tmp_path: Path) -> None:
    path = _features(tmp_path, {"E": [1.0], "http://a.org/Zoë": [2.0]}, "mine.pkl")
    data = AlignmentFolder(str(eva_folder), image_features=str(path))[0]
    assert data["source"].x_image.view(-1).tolist() == [2, 0, 0, 1]
    assert data["target"].image_mask.tolist() == [False, False, True]


def test_image_features_that_fit_nothing(eva_folder: Path, tmp_path: Path) -> None:
    path = _features(tmp_path, {77: [1.0]}, "mine.pkl")
    with pytest.raises(DataError, match=r"mine\.pkl: no key is an entity of these graphs"):
        AlignmentFolder(str(eva_folder), image_features=str(path))
    assert not (eva_folder / "processed").exists()


def test_two_image_features(eva_folder: Path) -> None:
    for name in ("a_img_feature_dict.pkl", "b_img_feature_dict.pkl"):
        _features(eva_folder, {0: [1.0]}, name)
    with pytest.raises(DataError, match="'image_features' needs to say which of a_img"):
        AlignmentFolder(str(eva_folder))


def test_default_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYG_MMEA_DATA", str(tmp_path))
    assert base.data_folder() == tmp_path
    monkeypatch.delenv("PYG_MMEA_DATA")
    assert base.data_folder() == Path("..", "shared", "data")
