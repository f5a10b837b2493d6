from pathlib import Path

import pytest
import torch

from pyg_mmea.data import DropModality, GraphTables, feature_fits, make_pair, read_fits
from pyg_mmea.errors import DataError
from pyg_mmea.typing import SIDES

LINKS = torch.tensor([[0, 1], [0, 1]])


def graph(side: str, num_entities: int, images: list[str] | None = None) -> GraphTables:
    """A ring whose entity i has attribute i modulo three."""
    heads = torch.arange(num_entities)
    relation = heads % 2
    tails = (heads + 1) % num_entities
    return GraphTables(
        uri=[f"{side}{i}" for i in range(num_entities)],
        triples=torch.stack([heads, relation, tails], dim=1),
        relation_uri=["r", "s"],
        attributes=torch.stack([heads, heads % 3], dim=1),
        attribute_uri=["a", "b", "c"],
        image_path=images,
    )


def pair(num_entities: int, fitted=None, images: list[str] | None = None):
    graphs = [graph(side, num_entities, images) for side in SIDES]
    return make_pair(*graphs, LINKS, fitted=fitted)


def test_bags_keep_their_columns() -> None:
    small = pair(2)  # without attribute c
    fits = feature_fits(small)
    assert fits["attribute"] == {"vocabulary": ["a", "b"]}
    large = pair(6, fits)
    assert feature_fits(large) == fits
    assert large.relation_vocabulary == small.relation_vocabulary
    assert large["source"].x_attribute.to_dense().tolist() == [[1, 0], [0, 1], [0, 0]] * 2
    assert large["source"].attribute_mask.tolist() == [True, True, False] * 2
    assert pair(6)["source"].x_attribute.size(1) == 3


def test_pictures_keep_their_projection(pictures: list[str]) -> None:
    before = pair(6, images=pictures[:6])
    fits = feature_fits(before)
    after = pair(8, fits, pictures)
    for side in SIDES:
        torch.testing.assert_close(
            after[side].x_image[:6], before[side].x_image, atol=1e-5, rtol=1e-5
        )
        assert after[side].x_image[6:].any(dim=1).all()
    assert torch.equal(after.image_fit["weight"], before.image_fit["weight"])
    assert "image" not in feature_fits(DropModality("image")(after))
    other = {"image": {"mean": torch.zeros(3), "weight": torch.zeros(3, 2)}}
    with pytest.raises(ValueError, match="'fitted' projects 3 features"):
        pair(8, other, pictures)


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    pytest.importorskip("skimage")
    from PIL import Image, ImageDraw

    paths = []
    for i in range(8):
        image = Image.new("RGB", (32, 32), "white")
        ImageDraw.Draw(image).polygon([(4, 4 + i), (28 - i, 6), (16, 28)], fill=(30 * i, 90, 40))
        image.save(tmp_path / f"{i}.png")
        paths.append(str(tmp_path / f"{i}.png"))
    return paths


def test_files_without_fits(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is missing"):
        read_fits(tmp_path / "aligner.pt")
    for content in ({"embeddings": {}}, {"fits": {"image": 1}}, torch.ones(1)):
        torch.save(content, tmp_path / "aligner.pt")
        with pytest.raises(DataError, match="does not say what features were fitted to"):
            read_fits(tmp_path / "aligner.pt")
    (tmp_path / "aligner.pt").write_bytes(b"no tensors")
    with pytest.raises(DataError, match="is broken"):
        read_fits(tmp_path / "aligner.pt")
