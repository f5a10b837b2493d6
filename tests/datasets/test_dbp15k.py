import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from pyg_mmea.data import validate
from pyg_mmea.datasets import DBP15K
from pyg_mmea.errors import DataError
from pyg_mmea.typing import ANCHOR_EDGE


@pytest.fixture
def root(eva_folder: Path, tmp_path: Path) -> Path:
    root = tmp_path / "DBP15K"
    shutil.copytree(eva_folder, root / "zh_en")
    (root / "translated_ent_name").mkdir()
    names = [[5, ["a", "thing"]], [1, []], [3, ["x"]]]
    (root / "translated_ent_name" / "dbp_zh_en.json").write_text(json.dumps(names))
    return root


def test_translated_names(root: Path) -> None:
    data = DBP15K(str(root), "zh_en")[0]
    assert data.dataset == "DBP15K/zh_en"
    assert data["source"].name == ["", "", "", "a thing"]
    assert data["target"].name == ["x", "", ""]
    assert "x_name" not in data["source"]
    data = DBP15K(str(root), "zh_en", features="name")[0]
    assert data["source"].name_mask.tolist() == [False, False, False, True]


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        ("[[0, [", "is no JSON"),
        ('{"0": "a"}', "needs to be a list of"),
        ("[[0]]", "needs to be a list of"),
        ('[["a", []]]', "needs to be a list of"),
        ("[[9, []]]", "entity 9 is in neither graph"),
    ],
)
def test_broken_names(root: Path, content: str, rule: str) -> None:
    (root / "translated_ent_name" / "dbp_zh_en.json").write_text(content)
    with pytest.raises(DataError, match=rf"dbp_zh_en\.json.*{rule}"):
        DBP15K(str(root), "zh_en")


def test_published_pictures(root: Path) -> None:
    (root / "pkls").mkdir()
    with (root / "pkls" / "zh_en_GA_id_img_feature_dict.pkl").open("wb") as file:
        pickle.dump({0: np.ones(3, dtype=np.float32)}, file, protocol=2)
    assert DBP15K(str(root), "zh_en")[0]["source"].x_image.sum() == 3


def test_pairs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'pair' needs to be among zh_en"):
        DBP15K(str(tmp_path), "en_zh")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="zh_en: folder is missing"):
        DBP15K(str(tmp_path))


@pytest.mark.dataset
@pytest.mark.parametrize(
    ("pair", "entities", "triples", "relations"),
    [
        ("zh_en", (19388, 19572), (70414, 95142), (1701, 1323)),
        ("fr_en", (19661, 19993), (105998, 115722), (903, 1208)),
    ],
)
def test_counts(
    data_root: Path,
    pair: str,
    entities: tuple[int, int],
    triples: tuple[int, int],
    relations: tuple[int, int],
) -> None:
    data = DBP15K(str(data_root / "DBP15K"), pair)[0]  # type: ignore[arg-type]
    validate(data)
    anchors = data[ANCHOR_EDGE]
    assert int((anchors.train_mask | anchors.val_mask).sum()) == 4500
    assert int(anchors.val_mask.sum()) == 450
    assert int(anchors.test_mask.sum()) == 10500
    for i, side in enumerate(("source", "target")):
        edge = data[side, "relation", side]
        assert data[side].num_nodes == entities[i]
        assert edge.num_edges == triples[i]
        assert len(edge.relation_uri) == relations[i]
        assert data[side].x_relation.shape == (entities[i], 2000)
        assert sum(map(bool, data[side].name)) >= entities[i] - 1
    # Known links, whatever the order of files and ids.
    source, target = data["source"].uri, data["target"].uri
    links = {(source[i], target[j]) for i, j in anchors.edge_label_index.t().tolist()}
    if pair == "zh_en":
        prefix = "dbpedia.org/resource/"
        assert (f"http://zh.{prefix}金大中", f"http://{prefix}Kim_Dae-jung") in links
