import csv
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from pyg_mmea.cli import main
from pyg_mmea.data import PivotAnchors, read_folder
from pyg_mmea.data.pairguess import draft_pair
from pyg_mmea.data.pairspec import ColumnSpec
from pyg_mmea.data.pairwrite import pair_text
from pyg_mmea.datasets import AlignmentFolder, TablePair
from pyg_mmea.errors import DataError
from pyg_mmea.nn import PCMEA
from pyg_mmea.typing import ANCHOR_EDGE


def _write(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def export_tables(folder: Path, out: Path) -> None:
    """Writes a folder in the layout of EVA as wide tables, triples, links with their split, and
    folders of pictures that are named by ids."""
    pair = read_folder(folder)
    out.mkdir(parents=True, exist_ok=True)
    codes = []
    for name, graph in (("source", pair.source), ("target", pair.target)):
        code = [uri.rsplit("/", 1)[-1] for uri in graph.uri]
        columns = [uri.rsplit("/", 1)[-1] for uri in graph.attribute_uri]
        cells = [[""] * len(columns) for _ in code]
        for (entity, attribute), value in zip(
            graph.attribute_triples.tolist(), graph.attribute_value, strict=True
        ):
            cells[entity][attribute] = value
        labels = graph.name or [""] * len(code)
        rows = [[code[i], labels[i], *row] for i, row in enumerate(cells)]
        _write(out / f"{name}.csv", ["id", "name", *columns], rows)
        relations = [uri.rsplit("/", 1)[-1] for uri in graph.relation_uri]
        triples = [[code[h], relations[r], code[t]] for h, r, t in graph.triples.tolist()]
        _write(out / f"{name}_triples.csv", ["head", "relation", "tail"], triples)
        if graph.image_path is not None:
            (out / f"{name}_images").mkdir(exist_ok=True)
            for i, path in enumerate(graph.image_path):
                if path is not None:
                    target = out / f"{name}_images" / f"{code[i]}{Path(path).suffix}"
                    shutil.copyfile(path, target)
        codes.append(code)
    seeds = pair.seed_mask
    assert seeds is not None
    links = [
        [codes[0][s], codes[1][t], "train" if seed else "test"]
        for (s, t), seed in zip(pair.links.t().tolist(), seeds.tolist(), strict=True)
    ]
    _write(out / "links.csv", ["source", "target", "split"], links)


def test_dataset(table_folder: Path) -> None:
    dataset = TablePair(str(table_folder / "pair.yaml"))
    data = dataset[0]
    assert data.dataset == "TablePair/shop/pair"
    names = {key for key in data["source"] if key.startswith("x_")}
    assert names == {f"x_{n}" for n in ("relation", "attribute", "image", "name", "number", "text")}
    assert set(data.relation_vocabulary) >= {"colour", "colour^-1"}  # what both sides share is one
    assert data["source"].image_mask.tolist() == [True, False, True, False, False, False]
    anchors = data[ANCHOR_EDGE]
    assert anchors.test_mask.tolist() == [False, True]  # as the table of links says
    model = PCMEA.from_data(data, channels=8, modality_channels=8)
    assert model(data)["source"]["number"].isfinite().all()


def test_features_on_demand(table_folder: Path) -> None:
    path = str(table_folder / "pair.yaml")
    data = TablePair(path, features=["relation", "text", "attribute_text"])[0]
    names = {key for key in data["target"] if key.startswith("x_")}
    assert names == {"x_relation", "x_text", "x_attribute_text"}
    with pytest.raises(ValueError, match="number, text"):
        TablePair(path, features=["numbers"])


def test_an_edit_is_read_anew_and_a_touch_is_not(table_folder: Path) -> None:
    path = table_folder / "pair.yaml"
    first = TablePair(str(path)).processed_paths[0]
    table = table_folder / "b.csv"
    os.utime(table, ns=(1, 1))
    assert TablePair(str(path)).processed_paths[0] == first
    text = table.read_bytes()
    table.write_bytes(text.replace(b"300 g", b"301 g"))
    os.utime(table, ns=(1, 1))
    second = TablePair(str(path)).processed_paths[0]
    assert second != first
    table.write_bytes(text)
    path.write_text(path.read_text().replace("unit: g", "unit: kg"))
    third = TablePair(str(path)).processed_paths[0]
    assert third not in (first, second)
    Image.new("RGB", (9, 9)).save(table_folder / "photos" / "a1.png")
    assert TablePair(str(path)).processed_paths[0] != third


def test_an_edited_picture_of_a_table_of_values_is_read_anew(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (8, 8), "red").save(tmp_path / "photos" / "x.png")
    (tmp_path / "values.csv").write_text("e,a,v\nx,photo,x.png\nx,size,4\n")
    side = "{attributes: [{file: values.csv, entity: e, attribute: a, value: v}], columns: "
    side += "{photo: {role: image, folder: photos}}}"
    path = tmp_path / "pair.yaml"
    path.write_text(f"source: {side}\ntarget: {side}\nlinks: {{}}\n")
    first = TablePair(str(path)).processed_paths[0]
    Image.new("RGB", (16, 16), "blue").save(tmp_path / "photos" / "x.png")
    assert TablePair(str(path)).processed_paths[0] != first


def test_an_edited_picture_of_rdf_is_read_anew(tmp_path: Path) -> None:
    pytest.importorskip("rdflib", reason="needs the extra rdf")
    for side in "ab":
        lines = [f'<http://{side}.org/{i}> <http://x.org/photo> "{side}{i}.png" .' for i in "12"]
        (tmp_path / f"{side}.nt").write_text("\n".join(lines))
        for i in "12":
            Image.new("RGB", (8, 8), "red").save(tmp_path / f"{side}{i}.png")
    path = tmp_path / "pair.yaml"
    path.write_text(
        "source: {rdf: a.nt, image_predicate: http://x.org/photo}\n"
        "target: {rdf: b.nt, image_predicate: http://x.org/photo}\n"
    )
    assert TablePair(str(path))[0]["source"].image_mask.tolist() == [True, True]
    (tmp_path / "a2.png").unlink()
    assert TablePair(str(path))[0]["source"].image_mask.tolist() == [True, False]


def test_a_path_from_another_folder_finds_the_copy(
    table_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = TablePair(str(table_folder / "pair.yaml"))
    monkeypatch.chdir(table_folder)
    assert TablePair("pair.yaml").processed_paths == first.processed_paths


def test_an_edited_folder_is_read_anew(eva_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "pair.yaml"
    side = f"{{folder: {eva_folder}}}"
    path.write_text(f"source: {side}\ntarget: {side}\nlinks: {side}\n")
    before = TablePair(str(path))
    assert before[0]["source"].uri == AlignmentFolder(str(eva_folder))[0]["source"].uri
    names = (eva_folder / "ent_ids_1").read_text(encoding="utf-8").replace("/D\n", "/F\n")
    (eva_folder / "ent_ids_1").write_text(names, encoding="utf-8")
    assert TablePair(str(path))[0]["source"].uri[2] == "http://a.org/F"


def test_split_without_a_column(table_folder: Path) -> None:
    path = table_folder / "pair.yaml"
    path.write_text(path.read_text().replace(", split: part", ""))
    rows = "".join(f"A{1 + i // 2},B{1 + i % 2}\n" for i in range(4))
    (table_folder / "links.csv").write_text(f"a,b\n{rows}")
    anchors = TablePair(str(path), val_ratio=0.4)[0][ANCHOR_EDGE]
    assert [int(anchors[f"{n}_mask"].sum()) for n in ("train", "val", "test")] == [2, 1, 1]
    with pytest.raises(DataError, match="names no column for 'split'"):
        TablePair(str(path), split="official")


def test_a_ratio_is_no_word_on_a_split_that_the_links_have(
    table_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = str(table_folder / "pair.yaml")
    TablePair(path)
    assert "seed_ratio" not in caplog.text
    TablePair(path, seed_ratio=1.0)
    assert "'seed_ratio' (got 1.0) changes nothing" in caplog.text
    anchors = TablePair(path, split="random", seed_ratio=1.0)[0][ANCHOR_EDGE]
    assert not anchors.test_mask.any()
    assert TablePair(path, split="random").seed_ratio == 0.8


def test_names_alone_and_no_link(tmp_path: Path) -> None:
    for side in "ab":
        rows = "".join(f"{side}{i},thing {i}\n" for i in range(5))
        (tmp_path / f"{side}.csv").write_text(f"id,name\n{rows}")
    columns = "columns: {id: id, name: name}"
    tables = [f"{{tables: [{{file: {side}.csv, {columns}}}]}}" for side in "ab"]
    path = tmp_path / "pair.yaml"
    path.write_text(f"source: {tables[0]}\ntarget: {tables[1]}\n")
    data = TablePair(str(path), transform=PivotAnchors("name"))[0]
    links = data[ANCHOR_EDGE].edge_label_index
    assert links.size(1) > 0
    assert torch.equal(links[0], links[1])
    out = PCMEA.from_data(data, channels=8, modality_channels=8)(data)
    assert out["source"]["joint"].isfinite().all()  # there is no relation at all


def test_broken_tables_leave_nothing_behind(table_folder: Path) -> None:
    (table_folder / "links.csv").write_text("a,b,part\nA1,B9,train\n")
    with pytest.raises(DataError, match=r"links\.csv:2: entity 'B9'"):
        TablePair(str(table_folder / "pair.yaml"))
    assert not (table_folder / "processed").exists()


def test_what_is_passed_over_is_logged(
    table_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (table_folder / "photos" / "a1.png").write_bytes(b"no picture")
    with open(table_folder / "a.csv", "a") as file:
        file.write("A4,,a4.png,heavy,,,,,A9,,\n")
    data = TablePair(str(table_folder / "pair.yaml"))[0]
    assert data["source"].image_mask.sum() == 1
    text = "\n".join(caplog.messages)
    assert "a.csv:5: weight: 'heavy' is no number" in text
    assert "a.csv:5: variantOf: there is no id 'A9'" in text
    assert "2 of 4 pictures could not be used" in text


def test_exported_tables_are_the_folder(eva_folder: Path, tmp_path: Path) -> None:
    """A folder and its export as tables give the same pair."""
    (eva_folder / "attr_triples_1").write_text("E\tweight\t3\n")
    (eva_folder / "images_1").mkdir()
    Image.new("RGB", (8, 8), "red").save(eva_folder / "images_1" / "4.png")
    export_tables(eva_folder, tmp_path / "out")
    check_same(eva_folder, tmp_path / "out")


@pytest.mark.dataset
@pytest.mark.slow
def test_emoji_as_tables(data_root: Path, tmp_path: Path) -> None:
    folder = data_root / "emoji" / "noto_twemoji_en_zh"
    export_tables(folder, tmp_path)
    check_same(folder, tmp_path)


@pytest.mark.dataset
@pytest.mark.slow
def test_emoji_as_tables_by_commands_reach_the_hits_of_the_folder(
    data_root: Path, tmp_path: Path
) -> None:
    """Tables go through 'init', whose guess is trained on as it is; names are left out."""
    folder, config = data_root / "emoji" / "noto_twemoji_en_zh", tmp_path / "pair.yaml"
    export_tables(folder, tmp_path)
    init = ["init", "--links", str(tmp_path / "links.csv"), "--out", str(config), "--quiet"]
    for name in ("source", "target"):
        init += [f"--{name}", *(str(tmp_path / f"{name}{end}.csv") for end in ("", "_triples"))]
        init += [f"--{name}-images", str(tmp_path / f"{name}_images")]
    assert main(init) == 0
    # Fewer links than by default validate: as many as of the folder.
    tables = ["--data=TablePair", f"--data.config={config}", "--data.val_ratio=0.1"]
    hits = {}
    for name, data in (
        ("folder", ["--data=AlignmentFolder", f"--data.root={folder}"]),
        ("tables", tables),
    ):
        settings = Path(__file__).parents[2] / "benchmarks" / "configs" / "eva.yaml"
        options = ["--data.features", "[relation, attribute, image]", "--quiet"]
        out = tmp_path / name
        assert main(["train", "--config", str(settings), *data, *options, "--out", str(out)]) == 0
        hits[name] = json.loads((out / "result.json").read_text())["test"]["mean"]["hits@1"]
    assert hits["tables"] >= hits["folder"] - 0.01


def check_same(folder: Path, out: Path) -> None:
    sides = []
    for name in ("source", "target"):
        files = [out / f"{name}.csv", out / f"{name}_triples.csv"]
        images = out / f"{name}_images"
        sides.append((files, images if images.is_dir() else None))
    draft = draft_pair(sides[0][0], sides[1][0], out / "links.csv", (sides[0][1], sides[1][1]))
    for guess in (guess for side in draft.sides for guess in side.columns):
        if guess.spec.role not in ("id", "name"):
            guess.spec = ColumnSpec("attribute", guess.label)
    (out / "pair.yaml").write_text(pair_text(draft, out), encoding="utf-8")
    names = ["relation", "attribute"]
    native = AlignmentFolder(str(folder), features=names)[0]
    tables = TablePair(str(out / "pair.yaml"), features=names, val_ratio=0.1)[0]
    for side in ("source", "target"):
        assert [uri.rsplit("/", 1)[-1] for uri in native[side].uri] == tables[side].uri
        pictures = (store.get("image_path") or [] for store in (native[side], tables[side]))
        first, second = ([path is not None for path in paths] for paths in pictures)
        assert first == second
        counts = [data[side].x_relation.to_dense().sum(dim=1) for data in (native, tables)]
        assert torch.equal(*counts)
    for key in ("edge_label_index", "train_mask", "val_mask", "test_mask"):
        assert torch.equal(native[ANCHOR_EDGE][key], tables[ANCHOR_EDGE][key])
