import copy
import json
from pathlib import Path

import pytest
import torch

from pyg_mmea.distill import Student
from pyg_mmea.errors import DataError
from pyg_mmea.typing import RELATION_EDGE


def test_new_entities(pair, student: Student) -> None:
    """An entity that no training has seen is embedded, and the others stay where they are."""
    grown = copy.deepcopy(pair)
    store = grown["source"]
    before = student.embed(pair)["source"]
    for name in student.encoder.spec.channels:
        x = store[f"x_{name}"]
        dense = x.to_dense() if x.is_sparse else x
        dense = torch.cat([dense, dense[3:4]])  # has the features of another one and no triple
        store[f"x_{name}"] = dense.to_sparse() if x.is_sparse else dense
        store[f"{name}_mask"] = torch.cat([store[f"{name}_mask"], store[f"{name}_mask"][3:4]])
    store.num_nodes += 1
    z = student.embed(grown)["source"]
    assert z.size(0) == before.size(0) + 1
    torch.testing.assert_close(z[:-1], before)

    alone = copy.deepcopy(pair)
    edge = alone[RELATION_EDGE["source"]]
    edge.edge_index = edge.edge_index[:, (edge.edge_index != 3).all(dim=0)]
    torch.testing.assert_close(z[-1], student.embed(alone)["source"][3])


def test_no_parameter_belongs_to_an_entity(pair, student: Student) -> None:
    sizes = {pair[side].num_nodes for side in ("source", "target")}
    assert not sizes & {size for x in student.encoder.state_dict().values() for size in x.shape}


@pytest.mark.parametrize("storage", ["float32", "float16"])
def test_save_and_load(pair, student: Student, tmp_path: Path, storage) -> None:
    stored = student.stored(storage)
    z = stored.embed(pair)
    stored.save(tmp_path, z, storage)
    loaded = Student.load(tmp_path)
    assert loaded.result == student.result
    assert loaded.settings == student.settings
    assert loaded.embed(pair)["target"].equal(z["target"])
    kept = torch.load(tmp_path / "embeddings.pt", weights_only=True)["source"]
    assert kept.dtype == getattr(torch, storage)
    state = torch.load(tmp_path / "student.pt", weights_only=True)
    assert state["lins.image.weight"].dtype == kept.dtype
    assert state["mean_image"].dtype == torch.float32
    torch.testing.assert_close(kept.float(), student.embed(pair)["source"], atol=5e-3, rtol=0)
    assert z["source"].equal(student.embed(pair)["source"]) == (storage == "float32")


def test_broken_files(student: Student, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"student.json is missing; 'pyg-mmea distill RUN"):
        Student.load(tmp_path)
    student.save(tmp_path, {})
    settings = json.loads((tmp_path / "student.json").read_text())
    for change in ({"channels": 3}, {"spec": {"channels": {}, "bags": []}}, {"colour": "red"}):
        (tmp_path / "student.json").write_text(json.dumps({**settings, **change}))
        with pytest.raises(DataError, match="is no student"):
            Student.load(tmp_path)
    (tmp_path / "student.json").write_text("[]")
    with pytest.raises(DataError, match="is no student"):
        Student.load(tmp_path)
    (tmp_path / "student.pt").write_bytes(b"pickle")
    with pytest.raises(DataError, match="is broken"):
        Student.load(tmp_path)
