import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pyg_mmea.data import from_tables, validate
from pyg_mmea.datasets._catalogue_canvas import PATTERNS, Look
from pyg_mmea.datasets._catalogue_render import PICTURE, shop_picture, studio_picture
from pyg_mmea.datasets._catalogue_shapes import KINDS as SHAPES
from pyg_mmea.datasets._catalogue_words import KINDS
from pyg_mmea.datasets.catalogue import Catalogue
from pyg_mmea.errors import DataError
from pyg_mmea.typing import ANCHOR_EDGE, RELATION_EDGE, SIDES

SMALL = {"num_products": 40, "seed": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small catalogue, rendered once."""
    root = tmp_path_factory.mktemp("root")
    Catalogue(str(root), features=["relation"], **SMALL)
    return root


def files(root: Path) -> dict[str, str]:
    found = (path for path in root.rglob("*") if path.is_file() and "processed" not in path.parts)
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found
    }


def make_look(**kwargs: Any) -> Look:
    colours = ((178, 44, 48), (62, 128, 76), (40, 78, 156))
    return Look(**{"kind": "mug", "form": (0.5,) * 8, "colours": colours, "pattern": "dotted",
                   "scale": 0.5, "logo": 4, **kwargs})  # fmt: skip


def test_pair(folder: Path) -> None:
    dataset = Catalogue(str(folder), **SMALL)
    data = dataset[0]
    validate(data)
    assert data.dataset == "Catalogue (generated)"
    assert "generated" in (Catalogue.__doc__ or "")
    anchors = data[ANCHOR_EDGE]
    num_links = anchors.edge_label_index.size(1)
    seeds = int((anchors.train_mask | anchors.val_mask).sum())
    assert seeds == pytest.approx(0.2 * num_links, abs=1)
    for side in SIDES:
        assert data[side].x_image.size(0) == data[side].num_nodes
        assert data[side].x_relation.is_sparse
        products = sum("/product/" in uri for uri in data[side].uri)
        assert products == 40
        pictures = [path for path in data[side].image_path if path is not None]
        assert int(data[side].image_mask.sum()) == len(pictures) > 20
        for path in pictures[:3]:
            assert Path(path).is_relative_to(folder)
            assert Image.open(path).size == (PICTURE, PICTURE)
        assert "x_name" not in data[side]


def test_names_and_texts_on_demand(folder: Path) -> None:
    data = Catalogue(str(folder), features=["name", "attribute_text"], **SMALL)[0]
    assert data["source"].name_mask.all()
    assert data["target"].attribute_text_mask.any()
    assert "x_image" not in data["source"]


def test_sides_differ_in_words_and_granularity(folder: Path) -> None:
    data = Catalogue(str(folder), features=["relation", "attribute"], **SMALL)[0]
    source, target = (
        {uri.rsplit("/", 1)[1] for uri in data[RELATION_EDGE[side]].relation_uri} for side in SIDES
    )
    assert not source & target
    names = {uri.rsplit("/", 1)[1] for uri in data.attribute_vocabulary}
    assert {"heightCm", "height_in", "weightGrams", "weight_lb"} <= names
    links = data[ANCHOR_EDGE].edge_label_index.t().tolist()
    assert all(data["source"].name[s] != data["target"].name[t] for s, t in links)
    codes = [{uri.rsplit("/", 1)[1] for uri in data[side].uri} for side in SIDES]
    assert not codes[0] & codes[1]
    # The order of the rows tells nothing either.
    index = data[ANCHOR_EDGE].edge_label_index.double()
    assert abs(torch.corrcoef(index)[0, 1]) < 0.5


def test_links_join_the_same_thing(folder: Path) -> None:
    data = Catalogue(str(folder), features=["relation"], relation_noise=0.2, **SMALL)[0]
    links = data[ANCHOR_EDGE].edge_label_index
    kinds = {kind.maker: kind.shop for kind in KINDS.values()}
    num_products = 0
    for s, t in links.t().tolist():
        what = data["source"].uri[s].split("/")[3]
        assert data["target"].uri[t].split("/")[3] == what
        if what == "product":
            num_products += 1
            own, other = data["source"].name[s], data["target"].name[t]
            maker = max((kind for kind in kinds if f"{kind}," in own), key=len)
            assert kinds[maker] in other
            assert own.split()[0] == other.split()[-1]  # the brand
    assert num_products == 34  # 15% of 40 have no counterpart
    for end in links:
        assert end.unique().numel() == end.numel()


def test_same_arguments_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    Catalogue(str(tmp_path), features=["relation"], **SMALL)
    assert files(tmp_path) == files(folder)


def test_second_call_draws_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def generate(self: Catalogue, path: Path) -> None:
        raise AssertionError

    monkeypatch.setattr(Catalogue, "_generate", generate)
    Catalogue(str(folder), features=["relation"], force_reload=True, **SMALL)
    with pytest.raises(AssertionError):
        Catalogue(str(folder), num_products=40, seed=4)


def test_interrupted_generation_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pyg_mmea.datasets.catalogue.shop_picture", fail)
    with pytest.raises(KeyboardInterrupt):
        Catalogue(str(tmp_path), **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_another_process_was_faster(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (made,) = folder.iterdir()
    exists = Path.exists
    answers = iter([False])
    monkeypatch.setattr(
        Path, "exists", lambda self: next(answers, True) if self == made else exists(self)
    )
    before = files(folder)
    Catalogue(str(folder), features=["relation"], **SMALL)
    assert files(folder) == before


def test_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Catalogue, path: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Catalogue, "_generate", fail)
    with pytest.raises(OSError, match="disk full"):
        Catalogue(str(tmp_path), **SMALL)


def test_default_root_is_the_cache(cache_folder: Path) -> None:
    Catalogue(num_products=12, features=["relation"])
    assert len(list((cache_folder / "catalogue").iterdir())) == 1


def test_csv_files_give_the_same_pair(folder: Path) -> None:
    (made,) = folder.iterdir()
    data = Catalogue(str(folder), features=["relation", "attribute"], **SMALL)[0]
    own = from_tables(
        *(made / f"{name}.csv" for name in ("source", "target", "links")),
        made / "source_triples.csv",
        made / "target_triples.csv",
        features=["relation", "attribute"],
    )
    assert torch.equal(data[ANCHOR_EDGE].edge_label_index, own[ANCHOR_EDGE].edge_label_index)
    for side in SIDES:
        assert data[side].uri == own[side].uri
        assert data[side].name == own[side].name
        assert [Path(p) if p else None for p in data[side].image_path] == [
            Path(p) if p else None for p in own[side].image_path
        ]
        assert (
            data[RELATION_EDGE[side]].edge_index.shape == own[RELATION_EDGE[side]].edge_index.shape
        )
        # Rows of the bags are the same, whatever a column is called.
        for name in ("x_relation", "x_attribute"):
            ours, theirs = (
                torch.sparse.sum(pair[side][name], 1).to_dense() for pair in (data, own)
            )
            assert torch.equal(ours, theirs)


def test_noise_takes_away(tmp_path: Path) -> None:
    arguments = {"num_products": 30, "features": ["relation", "attribute"]}
    clean = Catalogue(
        str(tmp_path), relation_noise=0, attribute_noise=0, missing_images=0, dangling_ratio=0,
        **arguments,
    )[0]  # fmt: skip
    noisy = Catalogue(
        str(tmp_path), relation_noise=0.6, attribute_noise=0.6, missing_images=0.9,
        dangling_ratio=0.3, **arguments,
    )[0]  # fmt: skip

    def count(data: Any) -> dict[str, int]:
        target = data["target"]
        return {
            "triples": data[RELATION_EDGE["target"]].edge_index.size(1),
            "attributes": int(torch.sparse.sum(target.x_attribute)),
            "pictures": sum(path is not None for path in target.image_path),
            "links": data[ANCHOR_EDGE].edge_label_index.size(1),
        }

    low, high = count(clean), count(noisy)
    assert low["pictures"] == 30
    assert all(high[name] < 0.8 * low[name] for name in low)
    # Every product keeps a triple.
    for side in SIDES:
        products = [i for i, uri in enumerate(noisy[side].uri) if "/product/" in uri]
        assert noisy[side].relation_mask[products].all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_products", 11), ("seed", -1), ("dangling_ratio", 0.95), ("relation_noise", -0.1),
        ("attribute_noise", 1.1), ("image_noise", 2.0), ("missing_images", float("nan")),
    ],
)  # fmt: skip
def test_arguments_out_of_range(name: str, value: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"'{name}' needs to be"):
        Catalogue(str(tmp_path), **{name: value})  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_there_is_no_official_split(folder: Path) -> None:
    with pytest.raises(DataError, match="generated"):
        Catalogue(str(folder), split="official", features=["relation"], **SMALL)


def test_every_kind_has_words_and_a_shape() -> None:
    assert set(KINDS) == set(SHAPES)
    assert len(KINDS) >= 10


@pytest.mark.parametrize("kind", sorted(SHAPES))
def test_shapes(kind: str) -> None:
    drawn = set()
    for value in (0.0, 0.3, 0.6, 0.95, 1.0):
        picture = studio_picture(make_look(kind=kind, form=(value,) * 8))
        ink = (np.asarray(picture, dtype=int).max(axis=2) < 225).mean()
        assert 0.02 < ink < 0.95
        drawn.add(picture.tobytes())
    assert len(drawn) >= 4


def test_patterns_and_logos_differ() -> None:
    assert len({studio_picture(make_look(pattern=p)).tobytes() for p in PATTERNS}) == len(PATTERNS)
    assert len({studio_picture(make_look(logo=i, scale=0)).tobytes() for i in range(12)}) >= 7


def test_shop_picture_moves_away_with_noise() -> None:
    look = make_look()
    studio = np.asarray(studio_picture(look), dtype=float)

    def difference(noise: float) -> float:
        photos = [shop_picture(look, noise, np.random.default_rng(i)) for i in range(6)]
        return float(np.mean([np.abs(np.asarray(p, dtype=float) - studio).mean() for p in photos]))

    assert difference(0) < difference(0.4) < difference(1)
    same = [shop_picture(look, 0.7, np.random.default_rng(1)).tobytes() for _ in range(2)]
    assert same[0] == same[1]
