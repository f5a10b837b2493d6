import json
from pathlib import Path

from PIL import Image

from pyg_mmea.data import check_folder


def _names(folder: Path) -> list[tuple[str, int | None]]:
    return [(Path(str(fault.path)).name, fault.line) for fault in check_folder(folder)]


def test_folder_in_order(eva_folder: Path) -> None:
    (eva_folder / "images_1").mkdir()
    Image.new("RGB", (4, 4)).save(eva_folder / "images_1" / "4.png")
    assert check_folder(eva_folder) == []


def test_every_broken_file_is_named_once(eva_folder: Path) -> None:
    (eva_folder / "rel_ids_2").unlink()
    (eva_folder / "ref_ent_ids").write_text("0\t3\n3\t0\n")
    (eva_folder / "training_attrs_1").write_text("nobody\tage\n")
    (eva_folder / "names_2.json").write_text(json.dumps({"99": "x"}))
    (eva_folder / "images_2").mkdir()
    (eva_folder / "images_2" / "6.png").write_text("no picture")
    (eva_folder / "x_img_feature_dict.pkl").write_bytes(b"cos\nsystem\n(S'touch x'\ntR.")
    assert _names(eva_folder) == [
        ("training_attrs_1", 1),
        ("rel_ids_2", None),
        ("names_2.json", None),
        ("6.png", None),
        ("ref_ent_ids", 2),
        ("x_img_feature_dict.pkl", None),
    ]


def test_faults_between_files(eva_folder: Path) -> None:
    (eva_folder / "sup_ent_ids").write_text("4\t1\n")
    assert _names(eva_folder) == [("sup_ent_ids", 1)]


def test_without_entities_nothing_else_is_judged(eva_folder: Path) -> None:
    (eva_folder / "ent_ids_2").write_text("0\tx\n")
    (eva_folder / "triples_1").unlink()
    assert _names(eva_folder) == [("ent_ids_2", 1)]
    assert [fault.rule for fault in check_folder(eva_folder / "none")] == ["folder is missing"]
