from pathlib import Path

import pytest
import torch

from pyg_mmea.datasets.processed import pack, unpack


@pytest.mark.parametrize(
    "texts", [[], [""], ["a", "", "Zoë\n\t\u2028𝄞"], [None, "x", None], ["\udcff", "é"]]
)
def test_texts_come_back_from_the_cache(texts: list, tmp_path: Path) -> None:
    torch.save(pack(texts), tmp_path / "x.pt")
    assert unpack(torch.load(tmp_path / "x.pt", weights_only=True)) == texts


def test_other_values_stay_as_they_are() -> None:
    for value in (3, "name", [1, 2], {"a": 1}, None):
        assert pack(value) is value
        assert unpack(value) is value
