import json
from pathlib import Path

import pytest
import torch

from pyg_mmea.cli import main

SMALL = ("--channels=8", "--epochs=2", "--quiet")


@pytest.fixture(scope="module")
def run(quick: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distill") / "run"
    assert main(["train", *quick, f"--out={folder}"]) == 0
    return folder


@pytest.fixture(scope="module")
def student(run: Path) -> Path:
    folder = run.parent / "students" / "first"
    arguments = ["distill", run, "--out", folder, *SMALL, "--modalities", "image", "relation"]
    assert main([str(x) for x in [*arguments, "--hops=1", "--seed=3", "--storage=float16"]]) == 0
    return folder


def test_distill(cli, run: Path, student: Path) -> None:
    names = {"student.json", "student.pt", "embeddings.pt", "result.json", "distill.md"}
    assert {path.name for path in student.iterdir()} == names
    result = json.loads((student / "result.json").read_text())
    assert result["selection"] == "last"  # the run was trained on all seeds in the end
    assert result["teacher_run"] == str(run.resolve())
    assert result["config"]["modalities"] == ["image", "relation"]
    assert (result["config"]["hops"], result["config"]["seed"]) == (1, 3)
    taught = json.loads((run / "result.json").read_text())
    assert result["teacher"]["test"] == taught["test"]
    assert result["teacher_model"] == taught["model"]
    assert result["student"]["channels"] == 8
    z = torch.load(student / "embeddings.pt", weights_only=True)
    assert z["source"].dtype == torch.float16
    assert result["student"]["embedding_bytes"] == sum(2 * x.numel() for x in z.values())
    page = (student / "distill.md").read_text()
    assert f"| test MRR | {taught['test']['mean']['mrr']:.3f} | " in page
    assert list(student.parent.iterdir()) == [student]


def test_table_is_printed(cli, run: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()  # an empty folder is none
    code, out, err = cli("distill", run, "--out", tmp_path / "out", *SMALL)
    assert code == 0
    assert err == f"The student is in {tmp_path / 'out'}\n"
    for word in ("teacher", "student", "test Hits@1", "parameters", "needs both graphs"):
        assert word in out
    code, out, err = cli("distill", run, "--out", tmp_path / "out", *SMALL)
    assert (code, out) == (2, "")
    assert "exists; choose another --out" in err


def test_bad_input(cli, run: Path, tmp_path: Path) -> None:
    for arguments, words in (
        ([tmp_path / "none"], "config.yaml is missing; 'pyg-mmea train' writes it"),
        ([run, "--modalities", "smell"], "'modalities' needs to be of"),
        ([run, "--hops", "3"], "'hops' needs to be in [0, 2]"),
    ):
        code, out, err = cli("distill", *arguments, "--out", tmp_path / "out", *SMALL)
        assert (code, out) == (2, "")
        assert words in err
    assert cli("distill", run, "--out", tmp_path / "out", "--channels=0")[0] == 2
    assert not list(tmp_path.iterdir())


def test_export(cli, student: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    for name in ("a.pt2", "a.onnx"):
        code, out, err = cli("export", student, "--out", tmp_path / name)
        assert (code, out) == (0, "")
        assert err.startswith(f"{tmp_path / name} differs from the student by ")
        assert err.count("\n") == 1
        assert (tmp_path / name).stat().st_size > 1000


def test_export_needs_a_student(cli, run: Path, student: Path, tmp_path: Path) -> None:
    unfinished, broken = tmp_path / "unfinished", tmp_path / "broken"
    for folder in (unfinished, broken):
        folder.mkdir()
        (folder / "config.yaml").write_bytes((run / "config.yaml").read_bytes())
    torch.save({"model": []}, broken / "aligner.pt")
    for arguments, words in (
        ([unfinished, "--out", tmp_path / "a.pt2"], "aligner.pt is missing; 'pyg-mmea train'"),
        ([broken, "--out", tmp_path / "a.pt2"], "aligner.pt: is no aligner"),
        ([run, "--out", tmp_path / "a.pt2"], "132 entities have a learned vector each"),
        ([run, "--out", tmp_path / "a.pt2"], f"'pyg-mmea distill {run} --out STUDENT'"),
        ([tmp_path, "--out", tmp_path / "a.pt2"], "student.json is missing"),
        ([student, "--out", tmp_path / "a.pt"], "needs to end in one of .pt2, .onnx"),
    ):
        code, out, err = cli("export", *arguments)
        assert (code, out) == (2, "")
        assert words in err
        assert err.count("\n") == 1
    assert not list(tmp_path.glob("a.*"))


def test_export_of_a_run_without_learned_vectors(cli, quick: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert main(["train", *quick, f"--out={folder}", "--model.modalities=[image]"]) == 0
    code, _, err = cli("export", folder, "--out", tmp_path / "a.pt2")
    assert code == 2
    assert "it embeds entities by both whole graphs and the known links" in err
