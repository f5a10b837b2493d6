import json
from pathlib import Path

import pytest

from pyg_mmea.calibration import Ledger, replay
from pyg_mmea.calibration.ledger import LEDGER_NAME
from pyg_mmea.cli import main
from pyg_mmea.training import Aligner


@pytest.fixture(scope="module")
def calibrated(quick: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose pool takes what it is offered, so that its ledger is not empty."""
    folder = tmp_path_factory.mktemp("audit") / "run"
    loose = ["--calibration.precision=0", "--calibration.pool.patience=1"]
    assert main(["train", *quick, *loose, "--epochs=5", f"--out={folder}"]) == 0
    return folder


def entries(folder: Path) -> list[dict]:
    return Ledger(folder / LEDGER_NAME).read()


def last_pair(folder: Path) -> list[str]:
    accepted = [entry for entry in entries(folder) if entry["decision"] == "accept"]
    return accepted[-1]["uri"]


def test_summary_adds_up(cli, calibrated: Path) -> None:
    code, out, _ = cli("audit", calibrated)
    assert code == 0
    assert "accept: sure" in out
    code, out, _ = cli("audit", calibrated, "--format", "json")
    summary = json.loads(out)
    in_use = 0
    for each in summary["rounds"]:
        in_use += each["accepted"] - each["dropped"]
        assert in_use == each["in use"]
    assert in_use > 0
    history = replay(entries(calibrated))
    assert [len(pairs) for pairs in history.values()] == [r["in use"] for r in summary["rounds"]]
    late = json.loads(cli("audit", calibrated, "--since-epoch", 3, "--format", "json")[1])
    assert late["rounds"] == [each for each in summary["rounds"] if each["epoch"] >= 3]


def test_history_of_a_pair(cli, calibrated: Path) -> None:
    uris = last_pair(calibrated)
    code, out, _ = cli("audit", calibrated, "--pair", *uris)
    assert code == 0
    assert "accept (sure), confidence" in out
    assert "structure: " in out
    found = json.loads(cli("audit", calibrated, "--pair", *uris, "--format", "json")[1])
    assert found == [entry for entry in entries(calibrated) if entry.get("uri") == uris]
    assert "no decision" in cli("audit", calibrated, "--pair", "nobody", "no one")[1]


def test_bad_usage(cli, calibrated: Path, tmp_path: Path) -> None:
    before = entries(calibrated)
    uris = last_pair(calibrated)
    for arguments, words in (
        ([calibrated, "--accept", "nobody", uris[1]], "'nobody' is no source entity"),
        ([calibrated, "--reject", uris[0], "no one"], "'no one' is no target entity"),
        ([calibrated, "--note", "why"], "needs '--accept' or '--reject'"),
        ([tmp_path], "is missing"),
    ):
        code, _, err = cli("audit", *arguments)
        assert code == 2
        assert words in err
    assert entries(calibrated) == before


def test_decisions_bind_the_next_training(cli, calibrated: Path, quick: list[str]) -> None:
    source, target = last_pair(calibrated)
    pool = replay(entries(calibrated))
    known = {uri for entry in entries(calibrated) for uri in entry.get("uri", [])[:1]}
    code, _, err = cli("audit", calibrated, "--reject", source, target, "--note", "other colour")
    assert code == 0
    assert "--resume" in err
    data = json.loads((calibrated / "result.json").read_text())
    assert data["num_decided_by_hand"] == 0
    assert pool
    assert known
    code, *_ = cli("train", "--out", calibrated, "--resume", "--epochs=7", "--quiet")
    assert code == 0
    result = json.loads((calibrated / "result.json").read_text())
    assert (result["epochs"], result["num_decided_by_hand"]) == (7, 1)
    history = [entry for entry in entries(calibrated) if entry.get("uri") == [source, target]]
    assert [entry["decision"] for entry in history[-2:]] == ["reject", "drop"]
    assert history[-1]["reason"] == "rejected by hand"
    table = Aligner.load(calibrated)._state["alignment"]["pairs"].t().tolist()
    assert history[-1]["pair"] not in table

    cli("audit", calibrated, "--accept", source, target)
    assert cli("train", "--out", calibrated, "--resume", "--epochs=8", "--quiet")[0] == 0
    again = json.loads((calibrated / "result.json").read_text())
    assert again["num_seeds"] == result["num_seeds"] + 1
