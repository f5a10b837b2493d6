"""Fixtures that tests of all subpackages share."""

import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from pyg_mmea.data import AlignmentData
from pyg_mmea.datasets import FakeMMKG

PAIR = """\
source:
  tables:
    - file: a.csv
      columns:
        sku: id
        title: name
        photo: {role: image, folder: photos}
        weight: {role: number, unit: g}
        released: date
        about: text
        colour: {role: category, separator: "|"}
        brand: {role: reference, to: brands}
        parent: {role: reference, to: a, as: variantOf}
        note: attribute
        junk: ignore
    - file: brands.csv
      columns: {key: id, label: name}
target:
  tables:
    - file: b.csv
      delimiter: ";"
      encoding: cp1252
      columns:
        nr: id
        Name: name
        Gewicht: {role: number, as: weight, decimal: ","}
        Datum: {role: date, as: released, format: "%d.%m.%Y"}
        Text: {role: text, as: about}
        Farbe: {role: category, as: colour}
  triples:
    - {file: b_triples.csv, head: s, relation: p, tail: o}
  attributes:
    - {file: b_values.csv}
  columns:
    size: {role: number, unit: cm}
    maker: {role: category}
  images: b_photos
links: {file: links.csv, source: a, target: b, split: part}
"""
FILES = {
    "a.csv": "sku,title,photo,weight,released,about,colour,brand,parent,note,junk\n"
    'A1,Mug,a1.png,"1,250 g",2024-01-31,a large mug,red|blue,acme,,x,1\n'
    "A2,Cup,,0.3 kg,2023,a cup,red,acme,A1,,2\n"
    " A3 ,Jug,a3.png,,,,,,,,3\n",
    "brands.csv": "key,label\nacme,Acme Inc.\n",
    "b.csv": "nr;Name;Gewicht;Datum;Text;Farbe\n"
    "B1;Becher;1,25 kg;31.01.2024;großer Becher;rot\n"
    "B2;Tasse;300 g;;Tasse;rot\n",
    "b_triples.csv": "s,p,o\nB1,goesWith,B2\nB1,madeOf,clay\n",
    "b_values.csv": "entity,attribute,value\nB1,size,10 cm\nB1,size,12 cm\nB2,maker,Acme\n",
    "links.csv": "a,b,part\nA1,B1,train\n A2,B2,test\n",
}


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


@pytest.fixture
def table_folder(tmp_path: Path) -> Path:
    """Tables with everything a ``pair.yaml`` can say, and that file."""
    folder = tmp_path / "shop"
    for name in ("photos", "b_photos"):
        (folder / name).mkdir(parents=True)
    for name, content in FILES.items():
        encoding = "cp1252" if name == "b.csv" else "utf-8"
        (folder / name).write_text(content, encoding=encoding)
    for name in ("photos/a1.png", "photos/a3.png", "b_photos/B2.png"):
        Image.new("RGB", (8, 8), "red").save(folder / name)
    (folder / "pair.yaml").write_text(PAIR, encoding="utf-8")
    return folder
