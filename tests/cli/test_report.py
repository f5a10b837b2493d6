from pathlib import Path

import pytest

from pyg_mmea.cli import main


@pytest.fixture(scope="module")
def run(quick: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "run"
    assert main(["train", *quick, f"--out={folder}"]) == 0
    return folder


def test_report(cli, run: Path, tmp_path: Path) -> None:
    code, out, err = cli("report", run)
    assert (code, out) == (0, "")
    assert err == f"The report is {run / 'report.html'}\n"
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "round_every: 1" in page  # the settings
    assert "Wrong pairs, the most confident first" in page
    assert cli("report", run, "--out", tmp_path / "b.html", "--examples=0", "--errors=0")[0] == 0
    assert len((tmp_path / "b.html").read_text()) < len(page)


def test_bad_input(cli, run: Path, tmp_path: Path) -> None:
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "config.yaml").write_bytes((run / "config.yaml").read_bytes())
    for name, files in (("metrics", ["result.json"]), ("python", ["result.json", "aligner.pt"])):
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).write_bytes((run / file).read_bytes())
    for arguments, words in (
        ([tmp_path / "none"], "config.yaml is missing; 'pyg-mmea train' writes it"),
        ([tmp_path / "unfinished"], "aligner.pt is missing; 'pyg-mmea train' writes it"),
        ([tmp_path / "metrics"], "is missing: there is a result, as of a baseline or a student"),
        ([tmp_path / "python"], "is missing: a run that was started from Python"),
        ([run, "--out", tmp_path / "no" / "folder.html"], "is no folder"),
    ):
        code, out, err = cli("report", *arguments)
        assert (code, out) == (2, "")
        assert words in err
        assert err.count("\n") == 1
    assert cli("report", run, "--target-precision=2")[0] == 2
    assert not list(tmp_path.rglob("*.html"))
