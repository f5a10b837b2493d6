from pathlib import Path

import pytest

from pyg_mmea import datasets


def test_list(cli) -> None:
    code, out, _ = cli("datasets", "list")
    assert code == 0
    names = [line.split()[0] for line in out.splitlines()]
    assert sorted([*names, "AlignmentDataset"]) == sorted(datasets.__all__)
    assert "<http" not in out
    assert "``" not in out


def test_info(cli) -> None:
    code, out, _ = cli("datasets", "info", "FakeMMKG", "--num_links", 20, "--num_dangling", 3)
    assert code == 0
    rows = {line.split("  ")[0]: line.split()[-2:] for line in out.splitlines()}
    assert rows["entities"] == ["23", "23"]
    assert "links: 20 (5 train, 1 val, 14 test)" in out


def test_prepare(cli, eva_folder: Path) -> None:
    code, _, err = cli("datasets", "prepare", "AlignmentFolder", "--root", eva_folder, "--quiet")
    assert code == 0
    (file,) = (eva_folder / "processed").iterdir()
    assert err == f"AlignmentFolder/pair is ready in {file}\n"


def test_prepare_refuses(cli, eva_folder: Path) -> None:
    prepare = ("datasets", "prepare", "AlignmentFolder", "--root", eva_folder)
    assert cli(*prepare, "--fly", "1")[0] == 2
    assert cli(*prepare, "--split", "best")[0] == 2
    code, _, err = cli(*prepare, "--val_ratio", "2")
    assert code == 2
    assert "'val_ratio' needs to be in" in err
    assert not (eva_folder / "processed").exists()


def test_check(cli, eva_folder: Path) -> None:
    before = sorted(eva_folder.rglob("*"))
    code, out, err = cli("datasets", "check", eva_folder)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "3 links; no rule is broken"
    assert sorted(eva_folder.rglob("*")) == before


def test_check_names_all_faults(cli, eva_folder: Path) -> None:
    (eva_folder / "triples_1").write_text("0\t7\t2\n0\t7\t1\n")
    (eva_folder / "sup_ent_ids").write_text("4\tsix\n")
    code, out, err = cli("datasets", "check", eva_folder)
    assert (code, out) == (2, "")
    first, second, last = err.splitlines()
    assert first.startswith(f"{eva_folder / 'triples_1'}:2: head and tail are in different graphs")
    assert second.startswith(f"{eva_folder / 'sup_ent_ids'}:1: ")
    assert last.endswith("has 2 faults, named above")


@pytest.mark.dataset
def test_check_real_folder(cli, data_root: Path) -> None:
    code, out, _ = cli("datasets", "check", data_root / "emoji" / "noto_twemoji_en_zh")
    assert code == 0
    assert "1879 links" in out


def test_check_of_a_table_says_what_it_takes(cli, table_folder: Path) -> None:
    code, out, err = cli("datasets", "check", table_folder / "a.csv")
    assert (code, out) == (2, "")
    assert "a.csv: needs to be a folder, or a pair.yaml" in err


def test_check_of_tables(cli, table_folder: Path) -> None:
    code, out, err = cli("datasets", "check", table_folder / "pair.yaml", "--quiet")
    assert code == 0
    assert (
        "source: 4 rows and 2 further entities, 6 triples, 7 attribute values, 2 with a picture"
        in out
    )
    assert ", 1 with a picture" in out
    assert "2 links" in out
    assert out.endswith("no error, 1 warning\n")
    assert err.startswith("warning: ")


def test_check_of_tables_counts_by_rule(cli, table_folder: Path) -> None:
    with open(table_folder / "links.csv", "a") as file:
        file.writelines(f"A1,X{i},test\n" for i in range(9))
    with open(table_folder / "a.csv", "a") as file:
        file.write("A1,,no.png,,,,,,,,\nA4,,no.png,,,,,,,,\n")
    code, out, err = cli("datasets", "check", table_folder / "pair.yaml")
    assert code == 2
    lines = err.splitlines()
    where = table_folder / "links.csv"
    assert f"error: {where}:4: entity 'X0' in column 'b' is unknown" in lines
    assert "error: 4 more of 'link to unknown id'" in lines
    assert lines[-1].endswith("has 10 errors, see above by rule")
    totals = {tuple(line.rsplit(maxsplit=2)) for line in out.splitlines()}
    assert {("link to unknown id", "error", "9"), ("id twice", "error", "1")} <= totals
    assert ("picture: missing", "warning", "1") in totals
    code, out, _ = cli("datasets", "check", table_folder / "pair.yaml", "--images", "false")
    assert "picture: " not in out


def test_check_names_lines_of_the_yaml(cli, table_folder: Path) -> None:
    path = table_folder / "pair.yaml"
    path.write_text(path.read_text().replace("note: attribute", "note: remark"))
    code, _, err = cli("datasets", "check", path)
    assert code == 2
    assert f"{path}:14: 'source.tables[0].columns.note' needs a role" in err


def test_info_of_tables(cli, table_folder: Path) -> None:
    code, out, _ = cli("datasets", "info", "TablePair", "--config", table_folder / "pair.yaml")
    assert code == 0
    assert "with number features [64]" in out
