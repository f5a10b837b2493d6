from pathlib import Path

import pytest
import torch

from pyg_mmea.cli.runs import load_data, load_extended


@pytest.fixture
def files(table_folder: Path) -> list[object]:
    (table_folder / "pair.yaml").unlink()
    return [
        *("--source", table_folder / "a.csv", table_folder / "brands.csv"),
        *("--target", table_folder / "b.csv", "--links", table_folder / "links.csv"),
        *("--out", table_folder / "pair.yaml"),
    ]


def test_init_shows_and_writes(cli, files: list[object], table_folder: Path) -> None:
    code, out, err = cli("init", *files, "--target-images", table_folder / "b_photos")
    assert code == 0
    rows = {line.split()[0]: line for line in out.splitlines() if line.startswith("  ")}
    assert "number" in rows["weight"]
    assert "1,250 g" in rows["weight"]
    assert "reference to brands" in rows["brand"]
    assert "like 'weight'" in rows["Gewicht"]
    assert f"{table_folder / 'b_photos'}, named by ids: 1 of 2 have one" in out
    assert f"pyg-mmea datasets check {table_folder / 'pair.yaml'}" in err
    assert "--data.config" in err
    text = (table_folder / "pair.yaml").read_text(encoding="utf-8")
    assert "Gewicht: {role: number, as: weight" in text
    assert "  # " in text
    assert "images: b_photos" in text


def test_init_replaces_only_if_told(cli, files: list[object], table_folder: Path) -> None:
    assert cli("init", *files, "--quiet") == (0, "", "")
    path = table_folder / "pair.yaml"
    path.write_text("mine")
    code, out, err = cli("init", *files)
    assert (code, out) == (2, "")
    assert "exists; --force replaces it" in err
    assert path.read_text() == "mine"
    assert cli("init", *files, "--force", "--quiet")[0] == 0
    assert path.read_text() != "mine"


def test_init_writes_nothing_where_it_fails(cli, files: list[object], table_folder: Path) -> None:
    (table_folder / "brands.csv").write_text("key,label\nacme,\nacme,\n")
    code, _, err = cli("init", *files)
    assert code == 2
    assert "brands.csv: no column can be the ids" in err
    assert not (table_folder / "pair.yaml").exists()
    code, _, err = cli("init", *files, "--source-images", "nowhere")
    assert code == 2
    assert "'nowhere' is no folder" in err
    assert cli("init", "--source", table_folder / "a.csv")[0] == 2


def test_from_files_to_links(
    cli, files: list[object], quick: list[str], table_folder: Path
) -> None:
    """The way of someone who writes no code: init, check, train, align."""
    header, *rows = (table_folder / "a.csv").read_text().splitlines()
    more = [f"A{i},Thing {i},,{i} kg,2020-01-{i:02d},a thing,red,acme,,," for i in range(10, 30)]
    (table_folder / "a.csv").write_text("\n".join([header, *rows, *more]) + "\n")
    with open(table_folder / "b.csv", "a", encoding="cp1252") as file:
        file.writelines(f"B{i};Ding {i};{i} kg;{i:02d}.01.2020;Ding;rot\n" for i in range(10, 30))
    links = "".join(f"A{i},B{i}\n" for i in range(10, 30))
    (table_folder / "links.csv").write_text(f"a,b\n{links}")
    config, run = table_folder / "pair.yaml", table_folder / "run"
    assert cli("init", *files, "--quiet")[0] == 0
    assert cli("datasets", "check", config)[0] == 0
    options = [option for option in quick if not option.startswith("--data")]
    code, out, err = cli(
        "train", "--data=TablePair", f"--data.config={config}", "--out", run, *options
    )
    assert code == 0, err
    assert "PCMEA on TablePair/shop/pair" in out
    assert str(config.resolve()) in (run / "config.yaml").read_text()
    code, _, err = cli("align", run, "--out", run / "links.csv", "--target-precision", "null")
    assert code == 0, err
    assert (run / "links.csv").read_text().startswith("source,target,confidence")
    before = load_data(run)["source"]
    with open(table_folder / "a.csv", "a") as file:
        file.write("A77,Thing 77,,17 kg,2020-01-17,a thing,red,acme,,,\n")
        file.writelines(
            f"A{i},Thing {i},,{i}000 kg,1999-01-01,a,red,acme,,,\n" for i in range(80, 120)
        )
    with open(table_folder / "b.csv", "a", encoding="cp1252") as file:
        file.write("B77;Ding 77;17 kg;17.01.2020;Ding;rot\n")
    late = run / "late.csv"
    call = ("align", run, "--out", late, "--target-precision", "null")
    code, _, err = cli(*call)
    assert code == 2
    assert "align --extend" in err
    code, _, err = cli(*call, "--extend", "--only-new", "--data.config", config)
    assert code == 0, err
    rows = late.read_text().splitlines()[1:]
    assert rows
    after = load_extended(run, [])[0]["source"]
    rows_of = [[each.uri.index(f"A{i}") for i in range(10, 30)] for each in (before, after)]
    assert torch.equal(before.x_number[rows_of[0]], after.x_number[rows_of[1]])
    new = {"A77", "B77", *(f"A{i}" for i in range(80, 120))}
    assert all(new & set(row.split(",")[:2]) for row in rows)
    assert cli(*call, "--only-new")[0] == 2
    assert cli(*call, f"--data.config={config}")[0] == 2
    code, _, err = cli(*call, "--extend", "--data.features=[relation, attribute]")
    assert code == 2
    assert "'data' needs features of" in err
