import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from pyg_mmea.calibration import Ledger, in_force, replay
from pyg_mmea.calibration.ledger import LEDGER_NAME
from pyg_mmea.cli import main
from pyg_mmea.datasets import FakeMMKG
from pyg_mmea.training import Aligner
from pyg_mmea.training.record import settle
from pyg_mmea.training.seeds import Seeds
from pyg_mmea.utils.pairs import contains


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
    told = [entry for entry in entries(calibrated) if entry["decision"] == "round"]
    for entry, each in zip(told, summary["rounds"], strict=True):
        names = ("num_right", "num_wrong", "rule", "selection")
        shown = ("right cases", "wrong cases", "confidence by", "threshold by")
        assert [entry[name] for name in names] == [each[name] for name in shown]
    history = replay(entries(calibrated))
    assert [len(pairs) for pairs in history.values()] == [r["in use"] for r in summary["rounds"]]
    late = json.loads(cli("audit", calibrated, "--since-epoch", 3, "--format", "json")[1])
    assert late["rounds"] == [each for each in summary["rounds"] if each["epoch"] >= 3]


def test_labels_that_ended_between_two_rounds_have_a_row(
    cli, calibrated: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(calibrated, folder)
    ledger, history = Ledger(folder / LEDGER_NAME), replay(entries(folder))
    before = history[max(history)]
    labels = torch.tensor(sorted(before)[1:]).t()
    settle(ledger, labels, FakeMMKG()[0], max(history) + 1)
    code, out, _ = cli("audit", folder, "--format", "json")
    assert code == 0
    *_, row = json.loads(out)["rounds"]
    assert row == {
        "epoch": max(history) + 1,
        "candidates": None,
        "survivors": None,
        "right cases": None,
        "wrong cases": None,
        "confidence by": None,
        "threshold by": None,
        "threshold": None,
        "accepted": 0,
        "dropped": 1,
        "in use": len(before) - 1,
    }
    assert cli("audit", folder)[0] == 0
    late = cli("audit", folder, "--since-epoch", max(history) + 1, "--format", "json")[1]
    assert json.loads(late)["rounds"] == [row]


def test_history_of_a_pair(cli, calibrated: Path) -> None:
    uris = last_pair(calibrated)
    code, out, _ = cli("audit", calibrated, "--pair", *uris)
    assert code == 0
    assert "accept (sure), confidence" in out
    assert "structure: " in out
    found = json.loads(cli("audit", calibrated, "--pair", *uris, "--format", "json")[1])
    assert found == [entry for entry in entries(calibrated) if entry.get("uri") == uris]
    data = FakeMMKG()[0]
    undecided = [data["source"].uri[0], data["target"].uri[0]]
    assert undecided not in [entry.get("uri") for entry in entries(calibrated)]
    assert "no decision" in cli("audit", calibrated, "--pair", *undecided)[1]


def test_bad_usage(cli, calibrated: Path, tmp_path: Path) -> None:
    before = entries(calibrated)
    uris = last_pair(calibrated)
    for arguments, words in (
        ([calibrated, "--accept", "nobody", uris[1]], "'nobody' is no source entity"),
        ([calibrated, "--reject", uris[0], "no one"], "'no one' is no target entity"),
        ([calibrated, "--pair", uris[0], "no one"], "'no one' is no target entity of the run"),
        ([calibrated, "--pair", *uris[::-1], "--format", "json"], "is no source entity"),
        ([calibrated, "--note", "why"], "needs '--accept', '--reject' or '--undo'"),
        ([calibrated, "--undo", *uris], "nothing was decided on"),
        ([calibrated, "--reject", *uris, "--format", "json"], "go with no decision"),
        ([calibrated, "--reject", *uris, "--since-epoch", "1"], "go with no decision"),
        ([tmp_path], "pseudo_labels.jsonl is missing"),
    ):
        code, _, err = cli("audit", *arguments)
        assert code == 2
        assert words in err
    assert entries(calibrated) == before


def test_conflicts_are_refused(cli, calibrated: Path) -> None:
    data = FakeMMKG()[0]
    anchors = data["source", "anchor", "target"]
    source, target = anchors.edge_label_index[:, anchors.train_mask][:, 0].tolist()
    other = data["target"].uri[target - 1]
    code, _, err = cli("audit", calibrated, "--accept", data["source"].uri[source], other)
    assert code == 2
    assert "has another counterpart" in err
    uris = last_pair(calibrated)
    assert cli("audit", calibrated, "--pair", *uris, "--accept", *uris)[0] == 2


def test_decisions_on_other_data_are_refused(cli, calibrated: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(calibrated, run)
    config = run / "config.yaml"
    settings = yaml.safe_load(config.read_text())
    settings["data"]["init_args"]["num_dangling"] += 1
    config.write_text(yaml.safe_dump(settings))
    uris = last_pair(run)
    for verdict in ("--reject", "--accept", "--undo"):
        code, _, err = cli("audit", run, verdict, *uris)
        assert code == 2
        assert "'data' needs to be the pair that was fitted" in err
    assert last_pair(run) == uris
    assert not any(entry.get("reason") == "by hand" for entry in entries(run))


def test_a_new_run_takes_over_decisions(cli, calibrated: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(calibrated, run)
    source, target = last_pair(run)
    assert cli("audit", run, "--reject", source, target)[0] == 0
    call = ("train", "--data", "FakeMMKG", "--epochs", "2", "--decisions", run, "--quiet")
    new = tmp_path / "new"
    code, _, err = cli(*call, "--out", new)
    assert code == 0
    assert "1 decisions by hand are taken over" in err
    assert json.loads((new / "result.json").read_text())["num_decided_by_hand"] == 1
    assert "decisions" not in (new / "config.yaml").read_text()
    code, _, err = cli(*call, "--out", new, "--resume")
    assert (code, "'--decisions' goes with a new run" in err) == (2, True)
    code, _, err = cli(*call[:-2], tmp_path, "--out", tmp_path / "other")
    assert (code, "there is no run to take decisions over" in err) == (2, True)
    assert not (tmp_path / "other").exists()


def test_decisions_bind_the_next_training(cli, calibrated: Path) -> None:
    source, target = last_pair(calibrated)
    before = json.loads((calibrated / "result.json").read_text())
    assert before["num_decided_by_hand"] == 0
    pool = replay(entries(calibrated))
    assert len(pool[max(pool)]) == before["num_pseudo_labels"]
    code, _, err = cli("audit", calibrated, "--reject", source, target, "--note", "other colour")
    assert code == 0
    assert "--resume" in err
    for epochs in (5, 7):  # no round is left, then two are
        code, *_ = cli("train", "--out", calibrated, "--resume", f"--epochs={epochs}", "--quiet")
        assert code == 0
        result = json.loads((calibrated / "result.json").read_text())
        assert (result["epochs"], result["num_decided_by_hand"]) == (epochs, 1)
        history = [entry for entry in in_force(entries(calibrated)) if "uri" in entry]
        history = [entry for entry in history if entry["uri"] == [source, target]]
        assert history[-1]["decision"] in ("reject", "drop")
        pool = replay(entries(calibrated))
        assert tuple(history[-1]["pair"]) not in pool[max(pool)]
        assert len(pool[max(pool)]) == result["num_pseudo_labels"]
        table = Aligner.load(calibrated)._state["alignment"]["pairs"].t().tolist()
        assert history[-1]["pair"] not in table

    assert cli("audit", calibrated, "--undo", source, target)[0] == 0
    assert Seeds.read(FakeMMKG()[0], Ledger(calibrated / LEDGER_NAME)).rejected.numel() == 0
    assert "undo (by hand)" in cli("audit", calibrated, "--pair", source, target)[1]
    cli("audit", calibrated, "--accept", source, target)
    assert cli("train", "--out", calibrated, "--resume", "--quiet")[0] == 0
    again = json.loads((calibrated / "result.json").read_text())
    assert again["num_seeds"] == result["num_seeds"] + 1
    assert len(list((calibrated / "checkpoints").glob("refit-*"))) == 1  # none of other decisions
    # What was trained on is no test any more.
    data = FakeMMKG()[0]
    anchors = data["source", "anchor", "target"]
    pair = torch.tensor([history[-1]["pair"]]).t()
    tested = contains(anchors.edge_label_index[:, anchors.test_mask], pair)
    assert again["test"]["num_links"] == before["test"]["num_links"] - int(tested)
