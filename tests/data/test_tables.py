import numpy as np
import pytest
import torch

from pyg_mmea.data import GraphTables


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_add_features(dtype: type) -> None:
    graph = GraphTables(uri=["a", "b", "c"])
    graph.add_features("image", np.array([2, 0]), np.array([[1, 2], [3, 4]], dtype=dtype))
    x, mask = graph.features["image"]
    assert x.dtype == torch.float
    assert x.tolist() == [[3, 4], [0, 0], [1, 2]]
    assert mask.tolist() == [True, False, True]


def test_add_features_of_nothing() -> None:
    graph = GraphTables(uri=["a"])
    graph.add_features("image", np.empty(0, dtype=np.int64), np.empty((0, 2)))
    x, mask = graph.features["image"]
    assert x.tolist() == [[0, 0]]
    assert mask.tolist() == [False]
