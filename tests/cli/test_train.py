import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from jsonargparse import Namespace

import pyg_mmea
from pyg_mmea.calibration import Ledger
from pyg_mmea.calibration.ledger import LEDGER_NAME
from pyg_mmea.cli import main
from pyg_mmea.cli.provenance import describe_source
from pyg_mmea.cli.runs import load_data
from pyg_mmea.cli.settings import build_parser
from pyg_mmea.datasets import FakeMMKG
from pyg_mmea.training import Aligner
from pyg_mmea.typing import ANCHOR_EDGE

MEASURES = {"hits@1", "hits@5", "hits@10", "mrr", "mr"}
FIELDS = {
    "dataset": str,
    "model": str,
    "version": str,
    "git": str | None,
    "seed": int,
    "split_seed": int,
    "device": str,
    "epochs": int,
    "refit_epochs": int,
    "train_seconds": float,
    "peak_rss_mb": float,
    "peak_gpu_mb": float | None,
    "num_seeds": int,
    "num_decided_by_hand": int,
    "num_pseudo_labels": int,
    "pseudo_label_precision": float | None,
    "selection": str,
    "val": dict,
    "test": dict,
}


@pytest.fixture(scope="module")
def finished(quick: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("runs") / "a run"
    assert main(["train", *quick, "--seed=3", f"--out={folder}"]) == 0
    return folder


def _result(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())


def _metrics(folder: Path) -> tuple[Any, Any]:
    return _result(folder)["val"], _result(folder)["test"]


def test_folder_of_a_run(finished: Path) -> None:
    for name in ("config.yaml", "metrics.csv", "pseudo_labels.jsonl", "checkpoints", "log.txt"):
        assert (finished / name).exists(), name
    result = _result(finished)
    for name, kind in FIELDS.items():
        assert isinstance(result[name], kind), name
    assert (result["dataset"], result["model"], result["seed"]) == ("FakeMMKG", "PCMEA", 3)
    for metrics in (result["val"], result["test"]):
        assert metrics["candidates"] == "test"
        for direction in ("source_to_target", "target_to_source", "mean"):
            assert set(metrics[direction]) == MEASURES
    assert " INFO pyg_mmea.training" in (finished / "log.txt").read_text()


def test_config_is_resolved_and_reloads(cli, finished: Path, tmp_path: Path) -> None:
    config = finished / "config.yaml"
    settings = yaml.safe_load(config.read_text())
    assert settings["model"]["init_args"]["channels"] == 16
    assert settings["data"]["init_args"]["val_ratio"] == 0.1
    assert set(settings) == {"data", "model", "objective", "calibration", "training", "seed"}
    again = tmp_path / "again"
    assert cli("train", "--config", config, "--out", again, "--quiet")[0] == 0
    assert (again / "config.yaml").read_text() == config.read_text()
    assert _metrics(again) == _metrics(finished)


def test_a_run_is_never_overwritten(cli, quick, finished: Path) -> None:
    before = (finished / "result.json").read_bytes()
    code, _, err = cli("train", *quick, "--out", finished)
    assert code == 2
    assert "--resume" in err
    assert (finished / "result.json").read_bytes() == before


def test_a_run_that_failed_at_its_start_is_started_anew(cli, quick, tmp_path: Path) -> None:
    out = tmp_path / "run"
    code, _, err = cli("train", *quick, "--data.seed_ratio=0", "--out", out)
    assert (code, sorted(path.name for path in out.iterdir())) == (
        2,
        [".train.lock", "config.yaml", "log.txt"],
    )
    assert "link" in err
    assert cli("train", *quick, "--out", out)[0] == 0
    assert _result(out)["num_seeds"] > 0
    assert yaml.safe_load((out / "config.yaml").read_text())["data"]["init_args"]["seed_ratio"] > 0
    for gone in ("result.json", "config.yaml", "aligner.pt", "metrics.csv"):
        (out / gone).unlink()
        assert cli("train", *quick, "--out", out)[0] == 2, gone  # a checkpoint is a run


def test_what_tensorboard_leaves_of_a_failed_start_is_no_run(
    cli, quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")

    def fail(*args: object) -> None:
        raise FloatingPointError("a loss that is not finite")

    out, option = tmp_path / "run", "--training.tensorboard=true"
    with monkeypatch.context() as patch:
        patch.setattr("pyg_mmea.training.module.AlignmentModule.training_step", fail)
        assert cli("train", *quick, option, "--out", out)[0] == 1
    assert list(out.glob("events.out.tfevents.*"))
    assert cli("train", *quick, option, "--out", out)[0] == 0


def test_a_voter_that_does_not_exist_is_found_at_the_start(cli, quick, tmp_path: Path) -> None:
    option = "--calibration.excluded_voters=[imgae]"
    code, _, err = cli("train", *quick, option, "--out", tmp_path / "run")
    assert code == 2
    assert "'excluded_voters' needs to be among structure" in err
    assert not (tmp_path / "run").exists()


def test_resume_goes_on_where_a_setting_is_newer_than_the_run(
    cli, finished: Path, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    shutil.copytree(finished, old)
    settings = yaml.safe_load((old / "config.yaml").read_text())
    del settings["training"]["switch_width"]
    (old / "config.yaml").write_text(yaml.safe_dump(settings))
    code, _, err = cli("train", "--config", finished / "config.yaml", "--out", old, "--resume")
    assert (code, "other settings" in err) == (0, False)


def test_the_summary_counts_all_epochs(cli, finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    code, out, _ = cli("train", "--out", run, "--resume", "--quiet")
    assert code == 0
    assert out.startswith("PCMEA on FakeMMKG: 4 + 2 epochs in ")


def test_resume_refuses_other_settings(cli, quick, finished: Path, tmp_path: Path) -> None:
    code, _, err = cli("train", "--out", finished, "--resume", "--seed=4")
    assert code == 2
    assert "started with other settings" in err
    assert cli("train", *quick, "--out", tmp_path / "none", "--resume")[0] == 2
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_interrupt_leaves_a_run_that_goes_on(
    cli, quick, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type
) -> None:
    def interrupt(*args: object) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            if kind is SystemExit:  # as Lightning does
                raise SystemExit(1)  # noqa: B904
            raise

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Aligner, "fit", interrupt)
        code, _, err = cli("train", *quick, "--seed=3", "--out", out)
    assert code == 130
    assert f"pyg-mmea train --out {out} --resume" in err
    assert cli("train", "--out", out, "--resume", "--quiet")[0] == 0
    assert _metrics(out) == _metrics(finished)


def test_resuming_a_finished_run_keeps_what_is_said_of_its_training(
    cli, finished: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    origin = {"version": "0.0.1", "git": "abc", "device": "tpu", "peak_rss_mb": 1.5}
    (run / "result.json").write_text(json.dumps({**_result(run), "git": None}))
    assert cli("train", "--out", run, "--resume", "--quiet", "--epochs=4")[0] == 0
    assert _result(run)["git"] == describe_source()["git"]  # killed before it was known
    (run / "result.json").write_text(json.dumps({**_result(run), **origin}))
    for epochs, same in ((4, True), (6, False)):  # none is left, then two are
        assert cli("train", "--out", run, "--resume", "--quiet", f"--epochs={epochs}")[0] == 0
        for key, value in origin.items():
            assert (_result(run)[key] == value) is same, key
        if same:
            assert _metrics(run) == _metrics(finished)


def test_without_calibration(cli, quick, tmp_path: Path) -> None:
    code, out, err = cli("train", *quick, "--calibration=none", "--out", tmp_path / "run")
    assert code == 0
    assert err.strip() == f"The run is in {tmp_path / 'run'}"  # no warnings, no log
    assert "hits@1" in out
    result = _result(tmp_path / "run")
    epochs = f"{result['epochs']} + {result['refit_epochs']} epochs"
    assert out.startswith(f"PCMEA on FakeMMKG: {epochs} in ")
    assert result["num_pseudo_labels"] == 0
    assert cli("train", "--resume", "--quiet", "--out", tmp_path / "run")[0] == 0
    assert _result(tmp_path / "run")["run"] == result["run"]  # without a ledger, too
    assert Ledger.of(tmp_path / "run").run == result["run"]
    uris = [load_data(tmp_path / "run")[side].uri[0] for side in ("source", "target")]
    for options, words in (
        ([], "no round of calibration took place"),
        (["--format=json"], '"rounds": []'),
        (["--pair", *uris], "no decision was taken on this pair"),
    ):
        code, out, err = cli("audit", tmp_path / "run", *options)
        assert (code, err) == (0, "")
        assert words in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--data=FakeMMKG", "--model.wings=2"],
        ["--data=FakeMMKG", "--fly"],
        ["--data=Nothing"],
        ["--data=FakeMMKG", "--epochs=0"],
        ["--data=FakeMMKG", "--data.noise=2"],
        ["--data=FakeMMKG", '--model.modalities=["smell"]'],
        [],
    ],
)
def test_bad_usage(cli, tmp_path: Path, arguments: list[str]) -> None:
    code, _, err = cli("train", *arguments, "--out", tmp_path / "run")
    assert code == 2
    assert "error: " in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data.seed_ratio=2"], "'seed_ratio' needs to be in [0, 1] (got 2.0)"),
        (["--calibration.precision=95"], "'precision' needs to be in [0, 1] (got 95.0)"),
        (
            ["--calibration.pool=PseudoLabelPool", "--calibration.pool.patience=0"],
            "'patience' needs to be at least 1 and 'min_votes' at least 0 (got 0 and 2)",
        ),
        (
            [f"--data.transform{x}" for x in ("=HideFeatures", ".modality=image", ".ratio=3")],
            "'ratio' needs to be in [0, 1] (got 3.0)",
        ),
        (["--data=AlignmentFolder", "--data.root=none"], "none: folder is missing"),
        (
            ["--data=TablePair", "--data.config=/none/pair.yaml"],
            "/none/pair.yaml: file is missing; 'pyg-mmea init' writes one",
        ),
    ],
)
def test_a_mistake_in_a_setting_is_one_line(
    cli, tmp_path: Path, arguments: list[str], message: str
) -> None:
    data = [] if arguments[0].startswith("--data=") else ["--data=FakeMMKG"]
    code, out, err = cli("train", *data, *arguments, "--out", tmp_path / "run")
    assert (code, out, err) == (2, "", f"pyg-mmea: error: {message}\n")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("source", "links", "words"),
    [
        ("id\na\na\n", "ours,theirs\na,b\n", "source.csv:3: id 'a' is there twice"),
        ("id\na\n", "ours,theirs\nz,b\n", "links.csv:2: entity 'z' in column 'ours' is"),
        ("key\na\n", "ours,theirs\na,b\n", "source.csv: "),
        ("", "ours,theirs\na,b\n", "source.csv: "),
    ],
)
def test_a_mistake_in_a_table_is_one_line(
    cli, tmp_path: Path, source: str, links: str, words: str
) -> None:
    (tmp_path / "source.csv").write_text(source)
    (tmp_path / "target.csv").write_text("id\nb\n")
    (tmp_path / "links.csv").write_text(links)
    tables = {
        side: {"tables": [{"file": f"{side}.csv", "columns": {"id": "id"}}]}
        for side in ("source", "target")
    }
    config = tmp_path / "pair.yaml"
    config.write_text(
        yaml.safe_dump(
            {**tables, "links": {"file": "links.csv", "source": "ours", "target": "theirs"}}
        )
    )
    option = f"--data.config={config}"
    code, out, err = cli("train", "--data=TablePair", option, "--out", tmp_path / "run")
    (line,) = err.splitlines()
    assert (code, out) == (2, "")
    assert line.startswith(f"pyg-mmea: error: {tmp_path}/{words}")
    assert "Union" not in line
    assert line == cli("datasets", "info", "TablePair", "--config", config)[2].strip()


def _missing(folder: Path) -> None:
    (folder / "triples_2").unlink()


def _no_number(folder: Path) -> None:
    (folder / "triples_1").write_text("0\t7\t2\n4\tzero\t4\n")


def _hostile(folder: Path) -> None:
    program = b"cos\nsystem\n(S'touch hacked'\ntR."
    (folder / "x_img_feature_dict.pkl").write_bytes(program)


@pytest.mark.parametrize(
    ("damage", "where", "rule"),
    [
        (_missing, "triples_2: ", "missing"),
        (_no_number, "triples_1:2: ", "zero"),
        (_hostile, "x_img_feature_dict.pkl: ", "not allowed"),
    ],
)
def test_broken_folder(
    cli,
    eva_folder: Path,
    tmp_path: Path,
    cache_folder: Path,
    damage: Callable[[Path], None],
    where: str,
    rule: str,
) -> None:
    damage(eva_folder)
    before = sorted(tmp_path.rglob("*"))
    code, out, err = cli(
        "train", "--data=AlignmentFolder", f"--data.root={eva_folder}", f"--out={tmp_path / 'run'}"
    )
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert f"{eva_folder}/{where}" in line
    assert rule in line
    assert sorted(tmp_path.rglob("*")) == before


def test_paths_of_the_config_hold_from_anywhere(
    cli, eva_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(eva_folder.parent)
    stop = _raise_interrupt
    monkeypatch.setattr(Aligner, "fit", stop)
    cli("train", "--data=AlignmentFolder", "--data.root=pair", "--data.val_ratio=0", "--out=run")
    settings = yaml.safe_load(Path("run/config.yaml").read_text())
    assert settings["data"]["init_args"]["root"] == str(eva_folder)


def _raise_interrupt(*args: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("matching", ["none", "mutual", "sinkhorn", "hungarian"])
def test_evaluate(cli, finished: Path, matching: str) -> None:
    code, out, _ = cli("evaluate", finished, "--matching", matching)
    assert code == 0
    assert f"matching: {matching}" in out
    if matching == "none":
        hits = _result(finished)["test"]["mean"]["hits@1"]
        assert out.splitlines()[-1].split()[1] == f"{100 * hits:.2f}%"


def test_evaluate_options(cli, finished: Path) -> None:
    code, out, _ = cli("evaluate", finished, "--split=train", "--candidates=all", "--csls_k=0")
    assert code == 0
    assert out.startswith("16 links, candidates: all, CSLS: 0")
    code, _, err = cli("evaluate", finished, "--split=val")
    assert code == 2
    assert "trained on the validation links" in err
    assert cli("evaluate", finished, "--split=best")[0] == 2
    assert cli("evaluate", finished, "--csls_k=-1")[0] == 2


def test_evaluate_needs_a_finished_run(cli, finished: Path, tmp_path: Path) -> None:
    code, _, err = cli("evaluate", tmp_path)
    assert code == 2
    assert f"{tmp_path / 'config.yaml'} is missing" in err
    (tmp_path / "config.yaml").write_bytes((finished / "config.yaml").read_bytes())
    assert cli("evaluate", tmp_path)[0] == 2


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".nt", ".sssom.tsv"])
def test_align(cli, finished: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"pairs{suffix}"
    code, out, err = cli("align", finished, "--out", path, "--target-precision=null")
    assert (code, out) == (0, "")
    assert path.stat().st_size > 0
    assert f"pairs are in {path}" in err
    assert "left out" in err
    assert re.search(r"^\d+ of \d+ test links, which were hidden, are among them$", err, re.M)
    assert cli("align", finished, "--out", path)[0] == 0  # an alignment may be written over
    path.write_text("ours,theirs\n")
    code, _, err = cli("align", finished, "--out", path)
    assert (code, path.read_text()) == (2, "ours,theirs\n")
    assert f"'{path}' exists and is no alignment" in err


def test_align_csv(cli, finished: Path, tmp_path: Path) -> None:
    counts = []
    for precision in ("null", "0.9", "0.99"):
        path = tmp_path / f"{precision}.csv"
        assert cli("align", finished, "--out", path, "--target-precision", precision)[0] == 0
        header, *rows = path.read_text().splitlines()
        assert header.startswith("source,target,confidence,rank_margin")
        confidence = [float(row.split(",")[2]) for row in rows]
        assert confidence == sorted(confidence, reverse=True)
        counts.append(len(rows))
    votes = Aligner.load(finished).alignment["votes"]
    ranks = [f"rank_{voter}" for voter in votes.voters]
    assert header.split(",")[4:] == ["origin", *ranks, "run"]
    table = pd.read_csv(tmp_path / "null.csv")
    assert set(table["run"]) == {_result(finished)["run"]}
    assert set(table["run"]) == {Ledger(finished / LEDGER_NAME).run}
    assert table.loc[table["origin"] == "known", ranks].isna().all(axis=None)
    found = table.loc[table["origin"] == "predicted", ranks].to_numpy()
    for column, rank in zip(found.T, votes.rank.t(), strict=True):
        np.testing.assert_array_equal(np.sort(column), np.sort(rank.numpy()))
    assert counts == sorted(counts, reverse=True)


def test_align_refuses(cli, finished: Path, tmp_path: Path) -> None:
    assert cli("align", finished, "--out", tmp_path / "pairs.xml")[0] == 2
    assert cli("align", finished, "--out", tmp_path / "a.csv", "--target-precision=0")[0] == 2
    assert cli("align", finished, "--out", tmp_path / "none" / "a.csv")[0] == 2
    assert not list(tmp_path.glob("*.csv"))


def test_of_two_processes_one_writes_and_prints(quick, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pyg_mmea", "train", *quick, "--training.devices=2"]
    env = {**os.environ, "PYTHONPATH": str(Path(pyg_mmea.__file__).parents[1])}
    done = subprocess.run(
        [*command, f"--out={tmp_path / 'run'}"], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("PCMEA on FakeMMKG") == 1
    assert done.stderr.count("The run is in") == 1
    for name in ("config.yaml", "result.json", "aligner.pt", "metrics.csv", "log.txt"):
        assert (tmp_path / "run" / name).is_file(), name


def test_seeds_from_what_looks_alike(cli, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    transform = ["--data.transform", "PivotAnchors", "--data.transform.modality", "image"]
    out = tmp_path / "run"
    quick = ["--epochs", "2", "--calibration", "none", "--out", str(out)]
    assert main(["train", "--data", "FakeMMKG", *transform, *quick]) == 0
    data = load_data(out)
    assert not torch.equal(data[ANCHOR_EDGE].train_mask, FakeMMKG()[0][ANCHOR_EDGE].train_mask)
    result = json.loads((out / "result.json").read_text())
    anchors = data[ANCHOR_EDGE]
    assert result["num_seeds"] == int((anchors.train_mask | anchors.val_mask).sum())
    assert result["pivot"] == "image"
    assert (result["num_pivots"], result["pivot_judged"]) == (result["num_seeds"], None)

    path = tmp_path / "links.csv"
    code, _, err = cli("align", out, "--out", path, "--target-precision=0.9")
    assert code == 0
    assert (
        "0.9 is none against the truth: all validation links are what looks alike by" in caplog.text
    )
    assert (
        f"{result['num_seeds']} pairs are of origin 'pivot': training and validation links are"
        in err
    )
    links = pd.read_csv(path)
    pivots = links[links["origin"] == "pivot"]
    assert len(pivots) == result["num_seeds"]
    assert pivots["confidence"].isna().all()
    assert not (links["origin"] == "known").any()
    sssom = tmp_path / "links.sssom.tsv"
    assert cli("align", out, "--out", sssom)[0] == 0
    cells = pd.read_csv(sssom, sep="\t", comment="#")["confidence"]
    assert int(cells.isna().sum()) == len(pivots)

    first = pivots[["source", "target"]].iloc[0]
    assert cli("audit", out, "--accept", *first)[0] == 0
    code, _, err = cli("train", "--out", out, "--resume")
    assert code == 0
    assert "what looks alike by 'image': nobody has confirmed" in err
    for options in ((), ("--extend",)):
        cli("align", out, "--out", path, *options)
        links = pd.read_csv(path)
        known = links.loc[links["origin"] == "known", ["source", "target", "confidence"]]
        assert known.to_numpy().tolist() == [[*first, 1.0]], options

    assert cli("report", out)[0] == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "training and validation links are what looks alike by &#39;image&#39;: nobody" in page
    assert "metrics of validation links are against that, and not against the truth" in page


def test_seeds_from_what_looks_alike_beside_known_links(
    cli, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out, path = tmp_path / "run", tmp_path / "links.csv"
    pivots = ["--data.transform", "PivotAnchors", "--data.transform.modality", "image"]
    keep = ["--data.transform.keep_known", "true", "--calibration", "none", "--epochs", "2"]
    code, _, err = cli("train", "--data", "FakeMMKG", *pivots, *keep, "--out", out)
    assert code == 0
    result = json.loads((out / "result.json").read_text())
    given, anchors = FakeMMKG()[0][ANCHOR_EDGE], load_data(out)[ANCHOR_EDGE]
    num = result["num_pivots"]
    assert num > 0
    assert result["pivot_judged"] == anchors.pivot_judged
    assert result["num_seeds"] == num + int((given.train_mask | given.val_mask).sum())
    num_train = int(given.train_mask.sum()) + num
    said = f"{num} of {num_train} training links are what looks alike by 'image': nobody"
    assert said in err

    code, _, err = cli("align", out, "--out", path, "--target-precision=0.9")
    assert code == 0
    assert said in err
    assert "none against the truth" not in caplog.text
    origin = pd.read_csv(path)["origin"].value_counts()
    assert origin["pivot"] == num
    assert origin["known"] == int((given.train_mask | given.val_mask).sum())

    assert cli("report", out)[0] == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert f"Note that {num} of {num_train} training links" in page
    assert "not against the truth" not in page


def test_a_class_that_is_chosen_has_its_own_defaults(tmp_path: Path) -> None:
    parser = build_parser()

    def parse(*options: str) -> Namespace:
        return parser.parse_args([*options, "--data=FakeMMKG", "--out=none"])

    assert parse("--model=MCLEA").model.init_args.channels == 300  # of PCMEA it is 96
    assert parse("--model=MCLEA", "--model.channels=64").model.init_args.channels == 64
    objective = parse("--objective=MEAformerObjective").objective.init_args
    assert (objective.temperature, objective.contrast_weight) == (0.1, 1.0)
    file = tmp_path / "settings.yaml"
    file.write_text("model: {class_path: EVA, init_args: {dropout: 0.2}}\n")
    model = parse(f"--config={file}").model.init_args
    assert (model.structure_encoder, model.channels, model.dropout) == ("GCN", 300, 0.2)
    assert parse().model.class_path == "pyg_mmea.nn.PCMEA"  # no call sees the one before
    assert parse("--model.channels=64").model.init_args.dropout == 0.5


def test_what_was_rejected_since_is_left_out(cli, finished: Path, tmp_path: Path) -> None:
    run, path = tmp_path / "run", tmp_path / "links.csv"
    shutil.copytree(finished, run)
    cli("align", run, "--out", path)
    before = pd.read_csv(path)
    known, found = (
        before.loc[before["origin"] == origin, ["source", "target"]].iloc[0]
        for origin in ("known", "predicted")
    )
    for pair in (known, found):
        assert cli("audit", run, "--reject", *pair)[0] == 0
    code, _, err = cli("align", run, "--out", path)
    assert code == 0
    assert "2 pairs that were rejected by hand since the training are left out" in err
    after = pd.read_csv(path)
    assert len(after) == len(before) - 2
    assert not {*known, *found} & {*after["source"]}
    cli("audit", run, "--undo", *found)
    cli("align", run, "--out", path)
    assert len(pd.read_csv(path)) == len(before) - 1


def test_a_dataset_may_be_named_in_yaml(tmp_path: Path) -> None:
    settings = ["--epochs=1", "--calibration=none", "--quiet", f"--out={tmp_path / 'run'}"]
    assert main(["train", "--data", "{class_path: FakeMMKG}", *settings]) == 0


@pytest.mark.parametrize(
    ("option", "names"),
    [
        (
            ["--help"],
            ["pyg_mmea.nn.EVA", "pyg_mmea.datasets.TablePair", "pyg_mmea.loss.EVAObjective"],
        ),
        (["--model.help", "EVA"], ["--model.structure_encoder"]),
        (
            ["--data.help", "DBP15K"],
            ["--data.pair", "pyg_mmea.data.PivotAnchors", "(default: None, which is 0.3)"],
        ),
        (["--data.help", "MMKB"], ["The aligner.pt of a run", "see load_features"]),
    ],
)
def test_help_names_what_is_ours(cli, option: list[str], names: list[str]) -> None:
    code, out, _ = cli("train", *option)
    assert code == 0
    flat = " ".join(out.split())
    assert all(name in flat for name in names)
    assert "torch.nn.Linear" not in out
    assert ":obj:" not in out
    assert "torch_geometric.transforms.ToDevice" not in out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--data", "FakeMMG"], "there is no dataset 'FakeMMG', did you mean 'FakeMMKG'?"),
        (["--data=nothing_like_it"], "there is no dataset 'nothing_like_it'; 'pyg-mmea datasets"),
        (["--data.config", "pair.yaml"], "'--data.config' needs '--data NAME' before it"),
    ],
)
def test_datasets_that_are_not_named_well(cli, tmp_path: Path, arguments, text: str) -> None:
    code, _, err = cli("train", *arguments, "--out", tmp_path / "run")
    assert code == 2
    assert text in err
    assert len(err.splitlines()) == 1
