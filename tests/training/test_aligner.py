import functools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch_geometric.data import HeteroData
from torch_geometric.nn import GraphSAGE

import pyg_mmea
from pyg_mmea.calibration import Calibrator, Ledger, PseudoLabelPool, in_force, replay
from pyg_mmea.calibration.ledger import LEDGER_NAME
from pyg_mmea.data import DropModality, HideAnchors
from pyg_mmea.datasets import FakeMMKG
from pyg_mmea.loss import MEAformerObjective
from pyg_mmea.nn import PCMEA, MEAformer, PairSpec
from pyg_mmea.training import Aligner, AlignmentModule, Decision, Decisions, TrainingConfig
from pyg_mmea.typing import ANCHOR_EDGE

QUICK = {
    "epochs": 8,
    "switch_epoch": 3,
    "round_every": 1,
    "val_every": 2,
    "refit_epochs": 3,
    "checkpoint_every": 2,
}


def _aligner(calibrate: bool = True, seed: int = 0, **training: object) -> Aligner:
    # With the majority of voters as the rule, the few validation links of the fake are enough.
    calibrator = Calibrator(pool=PseudoLabelPool(min_votes=1, patience=1))
    config = TrainingConfig(**{**QUICK, **training})
    return Aligner(calibrator=calibrator, calibrate=calibrate, training=config, seed=seed)


@pytest.fixture(scope="module")
def pair() -> HeteroData:
    return FakeMMKG()[0]


@pytest.fixture(scope="module")
def run(pair: HeteroData, tmp_path_factory: pytest.TempPathFactory) -> tuple[Aligner, Path]:
    folder = tmp_path_factory.mktemp("runs") / "run"
    return _aligner().fit(pair, out=folder, quiet=True), folder


def test_result_has_what_the_contract_says(run: tuple[Aligner, Path]) -> None:
    aligner, folder = run
    result = json.loads((folder / "result.json").read_text())
    assert result == aligner.result
    kinds = {
        "seed": int,
        "device": str,
        "epochs": int,
        "refit_epochs": int,
        "train_seconds": float,
        "peak_rss_mb": float,
        "num_seeds": int,
        "num_decided_by_hand": int,
        "num_pseudo_labels": int,
        "selection": str,
    }
    for name, kind in kinds.items():
        assert isinstance(result[name], kind), name
    assert result["selection"] == "last"
    assert result["epochs"] == QUICK["epochs"]
    for split in ("val", "test"):
        assert result[split]["candidates"] == "test"
        assert result[f"{split}_all"]["candidates"] == "all"
    assert result["num_pseudo_labels"] > 0
    assert sum(result["view_weights"].values()) == pytest.approx(1)


def test_metrics_have_a_row_an_epoch(run: tuple[Aligner, Path]) -> None:
    table = pd.read_csv(run[1] / "metrics.csv")
    again = table[table["phase"] == "refit"]
    assert again["epoch"].tolist() == list(range(QUICK["refit_epochs"]))
    assert again["loss/momentum"].notna().all()
    table = table[table["phase"] == "select"]
    assert table["epoch"].tolist() == list(range(QUICK["epochs"]))
    assert table["val/mrr"].notna().tolist() == [epoch % 2 == 1 for epoch in table["epoch"]]
    assert table["loss/momentum"].notna().tolist() == [epoch >= 3 for epoch in table["epoch"]]
    assert (table["weight/image"].notna() == table["val/mrr"].notna()).all()


def test_replaying_the_ledger_gives_the_pseudo_labels(
    run: tuple[Aligner, Path], pair: HeteroData
) -> None:
    aligner, folder = run
    uris = pair["source"].uri, pair["target"].uri
    pairs: set[tuple[int, int]] = set()
    for entry in Ledger(folder / LEDGER_NAME).read():
        if entry["decision"] == "round":
            continue
        label = tuple(entry["pair"])
        assert entry["uri"] == [uri[i] for uri, i in zip(uris, label, strict=True)]
        assert (label in pairs) == (entry["decision"] == "drop")
        pairs.symmetric_difference_update({label})
    assert pairs == set(map(tuple, aligner.calibrator.pool.pairs.t().tolist()))


@pytest.mark.parametrize(
    "settings",
    [
        {"batch_size": 7, "round_every": 2},  # the last round is not after the last epoch
        {"selection": "validation", "round_every": 4, "refit": False},
    ],
    ids=["refit", "selection"],
)
def test_replaying_the_ledger_gives_what_each_epoch_trains_on(
    pair: HeteroData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict
) -> None:
    trained: dict[int, list[tuple[int, int]]] = {}
    step = AlignmentModule.training_step

    def spy(module: AlignmentModule, batch: list, batch_idx: int) -> torch.Tensor:
        epoch = QUICK["epochs"] * module.goes_on + module.current_epoch
        trained.setdefault(epoch, []).extend(map(tuple, batch[0].tolist()))
        return step(module, batch, batch_idx)

    monkeypatch.setattr(AlignmentModule, "training_step", spy)
    _aligner(**settings).fit(pair, out=tmp_path, quiet=True)
    refits = settings.get("refit", True)
    assert sorted(trained) == list(range(QUICK["epochs"] + QUICK["refit_epochs"] * refits))
    history = {-1: set(), **replay(Ledger(tmp_path / LEDGER_NAME).read())}
    anchors = pair[ANCHOR_EDGE]
    for epoch, links in trained.items():
        again = epoch >= QUICK["epochs"]
        mask = anchors.train_mask | anchors.val_mask if again else anchors.train_mask
        seeds = set(map(tuple, anchors.edge_label_index[:, mask].t().tolist()))
        labels = history[max(after for after in history if after < epoch)]
        assert sorted(links) == sorted([*seeds, *labels]), epoch
    assert len({frozenset(labels) for labels in history.values()}) > 2


def test_pseudo_labels_are_one_to_one_and_no_seeds(
    run: tuple[Aligner, Path], pair: HeteroData
) -> None:
    pairs = run[0].calibrator.pool.pairs
    anchors = pair[ANCHOR_EDGE]
    seeds = anchors.edge_label_index[:, anchors.train_mask | anchors.val_mask]
    assert run[0].result["num_seeds"] == seeds.size(1)
    assert run[0].result["refit_epochs"] == QUICK["refit_epochs"]
    for side in (0, 1):
        assert pairs[side].unique().numel() == pairs.size(1)
        assert not torch.isin(pairs[side], seeds[side]).any()


def test_loading_evaluates_and_predicts_the_same(
    run: tuple[Aligner, Path], pair: HeteroData
) -> None:
    aligner, folder = run
    loaded = Aligner.load(folder)
    assert loaded.result == aligner.result
    assert loaded.evaluate(pair) == aligner.result["test"]
    pd.testing.assert_frame_equal(loaded.predict(pair), aligner.predict(pair))


def test_predict_keeps_the_confident(run: tuple[Aligner, Path], pair: HeteroData) -> None:
    aligner = run[0]
    everything = aligner.predict(pair)
    sure = aligner.predict(pair, target_precision=1.0)
    assert len(sure) <= len(everything)
    assert sure["confidence"].eq(1).all()
    assert everything["confidence"].is_monotonic_decreasing
    for table in (everything, sure):
        covered = table["source"].nunique()
        assert table.attrs["abstained"] == pair["source"].num_nodes - covered
    with pytest.raises(ValueError, match="'target_precision' needs to be in"):
        aligner.predict(pair, target_precision=0.0)


def test_an_existing_run_is_refused(run: tuple[Aligner, Path], pair: HeteroData) -> None:
    with pytest.raises(FileExistsError, match="holds a run"):
        _aligner().fit(pair, out=run[1], quiet=True)


def test_an_aligner_that_is_not_fitted_says_so(pair: HeteroData, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="fitted or loaded"):
        Aligner().evaluate(pair)
    with pytest.raises(RuntimeError, match="fitted or loaded"):
        Aligner().save(tmp_path)
    with pytest.raises(FileNotFoundError, match="is missing"):
        Aligner.load(tmp_path)


@pytest.mark.parametrize("calibrate", [True, False])
def test_shuffled_test_links_leave_the_weights_alone(pair: HeteroData, calibrate: bool) -> None:
    shuffled = pair.clone()
    anchors = shuffled[ANCHOR_EDGE]
    test = anchors.test_mask.nonzero().view(-1)
    links = anchors.edge_label_index.clone()
    links[1, test] = links[1, test[torch.randperm(test.numel())]]
    assert not torch.equal(links, anchors.edge_label_index)
    anchors.edge_label_index = links

    one, two = (_aligner(calibrate).fit(data, quiet=True) for data in (pair, shuffled))
    for name, value in one._state["model"].items():
        assert torch.equal(value, two._state["model"][name]), name
    assert torch.equal(one.embeddings["source"], two.embeddings["source"])
    assert one.result["test"] != two.result["test"]


def test_the_seed_decides(pair: HeteroData) -> None:
    first, again, other = (_aligner(seed=seed).fit(pair, quiet=True) for seed in (0, 0, 1))
    assert torch.equal(first.embeddings["target"], again.embeddings["target"])
    assert not torch.equal(first.embeddings["target"], other.embeddings["target"])


_KILLED = """
import os, signal, sys
from pyg_mmea.datasets import FakeMMKG
from pyg_mmea.training import AlignmentModule
sys.path.insert(0, {here!r})
from test_aligner import _aligner
step = AlignmentModule.training_step
def killed(self, batch, batch_idx):
    if self.current_epoch == {epoch} and batch_idx == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch, batch_idx)
AlignmentModule.training_step = killed
_aligner({calibrate}, **{settings}).fit(FakeMMKG()[0], out={out!r}, quiet=True)
"""
_MINI = {"batch_size": 4, "batch_entities": 30, "accumulate_grad_batches": 2}


@pytest.mark.parametrize(
    ("calibrate", "settings"),
    [(True, {"batch_size": 8}), (False, {"batch_size": 8}), (True, _MINI)],
)
def test_a_killed_run_resumes_to_the_same_result(
    pair: HeteroData, tmp_path: Path, calibrate: bool, settings: dict
) -> None:
    if settings is _MINI:
        pytest.importorskip("pymetis")
    whole = _aligner(calibrate, **settings).fit(pair, out=tmp_path / "whole", quiet=True)
    out = tmp_path / "killed"
    script = _KILLED.format(
        here=str(Path(__file__).parent),
        epoch=5,
        calibrate=calibrate,
        settings=settings,
        out=str(out),
    )
    process = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ}, capture_output=True, check=False
    )
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()
    assert not (out / "result.json").exists()

    resumed = _aligner(calibrate, **settings).fit(pair, out=out, resume=True, quiet=True)
    measured = ("val", "val_all", "test", "test_all")
    for name in (*measured, "num_pseudo_labels", "view_weights", "epochs"):
        assert resumed.result[name] == whole.result[name], name
    for name, value in whole._state["model"].items():
        assert torch.equal(value, resumed._state["model"][name]), name
    if calibrate:
        assert _decisions(tmp_path / "whole") == _decisions(out)
    tables = [
        pd.read_csv(folder / "metrics.csv").drop(columns="seconds")
        for folder in (out, tmp_path / "whole")
    ]
    pd.testing.assert_frame_equal(*tables, check_like=True)


def _decisions(folder: Path) -> list[dict]:
    entries = in_force(Ledger(folder / LEDGER_NAME).read())
    return [{name: value for name, value in entry.items() if name != "run"} for entry in entries]


def test_without_calibration_all_seeds_train_in_the_end(pair: HeteroData, tmp_path: Path) -> None:
    anchors = pair[ANCHOR_EDGE]
    refit = _aligner(calibrate=False).fit(pair, out=tmp_path / "refit", quiet=True)
    plain = _aligner(calibrate=False, refit=False).fit(pair, quiet=True)
    assert refit.result["num_seeds"] == int((anchors.train_mask | anchors.val_mask).sum())
    assert plain.result["num_seeds"] == int(anchors.train_mask.sum())
    assert plain.result["refit_epochs"] == 0
    assert refit.result["refit_epochs"] == refit.result["epochs"] == QUICK["epochs"]
    assert refit.result["num_pseudo_labels"] == 0
    assert refit.result["pseudo_label_precision"] is None
    assert set(pd.read_csv(tmp_path / "refit" / "metrics.csv")["phase"]) == {"select", "refit"}


def test_validation_links_cannot_judge_a_model_they_trained(pair: HeteroData) -> None:
    for calibrate in (True, False):
        refit = _aligner(calibrate, epochs=2).fit(pair, quiet=True)
        with pytest.raises(ValueError, match="trained on the validation links"):
            refit.evaluate(pair, split="val")
    assert _aligner(epochs=2, refit=False).fit(pair, quiet=True).evaluate(pair, split="val")


def test_known_links_are_in_the_alignment(run: tuple[Aligner, Path], pair: HeteroData) -> None:
    anchors = pair[ANCHOR_EDGE]
    known = anchors.edge_label_index[:, ~anchors.test_mask].t().tolist()
    table = run[0].predict(pair)
    uris = {(pair["source"].uri[i], pair["target"].uri[j]) for i, j in known}
    listed = table[table["origin"] == "known"]
    assert set(zip(listed["source"], listed["target"], strict=True)) == uris
    assert table["source"].is_unique
    assert table["target"].is_unique


def test_another_pair_is_refused(run: tuple[Aligner, Path], pair: HeteroData) -> None:
    other = pair.clone()
    other["source"].uri = [*other["source"].uri[1:], "new"]
    for call in (run[0].evaluate, run[0].predict):
        with pytest.raises(ValueError, match="its entities differ: 1 came, and 1 are gone"):
            call(other)


def test_an_encoder_that_is_handed_in_stays_as_it_is(pair: HeteroData) -> None:
    encoder = GraphSAGE(16, 16, num_layers=1, out_channels=16)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    make = functools.partial(PCMEA, structure_encoder=encoder, channels=16)
    config = TrainingConfig(epochs=2)
    one, two = (
        Aligner(model=make, calibrate=False, training=config).fit(pair, quiet=True) for _ in "ab"
    )
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert torch.equal(one.embeddings["source"], two.embeddings["source"])


def test_selection_on_validation_takes_the_best_epoch(pair: HeteroData, tmp_path: Path) -> None:
    aligner = _aligner(selection="validation", patience=3, val_every=1, epochs=12)
    aligner.fit(pair, out=tmp_path / "run", quiet=True)
    table = pd.read_csv(tmp_path / "run" / "metrics.csv")
    table = table[table["phase"] == "select"]
    best = table["val/mrr"].max()
    chosen = table.loc[table["epoch"] == aligner.result["epochs"] - 1, "val/mrr"].item()
    assert chosen == pytest.approx(best)
    assert aligner.result["selection"] == "validation"
    blind = _aligner(selection="validation", val_every=3, epochs=2).fit(pair, quiet=True)
    assert blind.result["selection"] == "last"  # there was no look


def test_the_ledger_ends_with_the_labels_of_the_selected_epoch(
    pair: HeteroData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.9, *[0.1] * 20])  # the first look, before the switch, is the best
    monkeypatch.setattr("pyg_mmea.training.module.mean_reciprocal_rank", lambda ranks: next(scores))
    aligner = _aligner(selection="validation", val_every=2)
    aligner.fit(pair, out=tmp_path, quiet=True)
    assert aligner.result["epochs"] == 2
    assert aligner.result["num_pseudo_labels"] == 0
    entries = Ledger(tmp_path / LEDGER_NAME).read()
    assert any(entry["decision"] == "accept" for entry in entries)
    history = replay(entries)
    assert history[max(history)] == set()


def test_aligners_do_not_share_what_calibration_learns(pair: HeteroData) -> None:
    calibrator = Calibrator(pool=PseudoLabelPool(min_votes=1, patience=1))
    settings = TrainingConfig(**QUICK)
    first, second = (
        Aligner(calibrator=calibrator, training=settings, seed=seed) for seed in range(2)
    )
    first.fit(pair, quiet=True)
    before = first.predict(pair, target_precision=0.5)
    second.fit(FakeMMKG(noise=0.5)[0], quiet=True)
    assert calibrator.pool.num_used == 0
    pd.testing.assert_frame_equal(first.predict(pair, target_precision=0.5), before)


@pytest.mark.parametrize(
    ("settings", "num_epochs"),
    [
        ({"epochs": 3}, 3),  # no multiple of checkpoint_every
        # Nothing is learned, so the second look is no better than the first.
        ({"selection": "validation", "patience": 1, "val_every": 1, "lr": 0.0}, 2),
    ],
)
@pytest.mark.parametrize("calibrate", [True, False])
def test_a_finished_run_that_is_resumed_trains_no_more(
    pair: HeteroData, tmp_path: Path, calibrate: bool, settings: dict, num_epochs: int
) -> None:
    settings = {**settings, "checkpoint_every": 7}
    before = _aligner(calibrate, **settings).fit(pair, out=tmp_path, quiet=True)
    table = (tmp_path / "metrics.csv").read_bytes()
    phases = pd.read_csv(tmp_path / "metrics.csv")["phase"].value_counts()
    assert phases["select"] == num_epochs
    after = _aligner(calibrate, **settings).fit(pair, out=tmp_path, resume=True, quiet=True)
    assert not after.trained
    assert (tmp_path / "metrics.csv").read_bytes() == table
    for name, value in before.weights.items():
        assert torch.equal(value, after.weights[name]), name


@pytest.mark.parametrize(
    "training",
    [
        {"encoder": "momentum"},
        {"propagate_links": False},
        {"precision": "bf16-mixed"},
        {"tensorboard": True},
    ],
)
def test_options(pair: HeteroData, tmp_path: Path, training: dict) -> None:
    out = tmp_path / "run"
    base = _aligner().fit(pair, quiet=True)
    other = _aligner(**training).fit(pair, out=out, quiet=True)
    if "tensorboard" in training:
        assert list(out.glob("events.out.tfevents.*"))
    else:
        assert other.embeddings["source"].shape != base.embeddings["source"].shape or (
            not torch.equal(other.embeddings["source"], base.embeddings["source"])
        )


@pytest.mark.parametrize("batch_entities", ["all", 30])
def test_the_model_may_rank_by_its_own_joint_embedding(
    pair: HeteroData, tmp_path: Path, batch_entities: int | str
) -> None:
    settings = {"rank_by": "joint", "frozen_views": False, "propagate_links": False}
    settings |= {"num_negatives": 0, "lr": 0.02, "batch_entities": batch_entities}
    aligner = _aligner(**settings)
    aligner.model_factory = functools.partial(MEAformer, channels=8, modality_channels=8)
    aligner.objective_factory = MEAformerObjective
    aligner.fit(pair, out=tmp_path / "run", quiet=True)
    model = aligner.model_factory(PairSpec.from_data(pair)).eval()
    model.load_state_dict(aligner._state["model"])
    loaded = Aligner.load(tmp_path / "run")
    with torch.no_grad():
        out = model(HideAnchors("train")(pair))
    for side, embedding in loaded.embeddings.items():
        assert torch.allclose(embedding, out[side]["joint"], atol=1e-5)
    assert loaded.result["view_weights"] == {}
    assert loaded.result["num_pseudo_labels"] > 0  # modalities vote all the same
    assert (loaded.predict(pair)["origin"] == "predicted").any()
    assert loaded.evaluate(pair) == aligner.result["test"]


def test_any_pyg_model_is_a_structure_encoder(pair: HeteroData) -> None:
    encoder = GraphSAGE(16, 16, num_layers=2, out_channels=16)
    aligner = Aligner(
        model=lambda spec: PCMEA(spec, structure_encoder=encoder, channels=16),
        calibrate=False,
        training=TrainingConfig(epochs=3, refit=False),
    ).fit(pair, quiet=True)
    assert aligner.result["test"]["mean"]["hits@10"] > 0


def test_a_loss_that_is_not_finite_names_the_term(
    pair: HeteroData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "pyg_mmea.loss.sampled_softmax.SampledSoftmaxLoss.forward",
        lambda self, x_s, *args, **kwargs: x_s.sum() * torch.nan,
    )
    with pytest.raises(FloatingPointError, match="loss term 'soft' is nan"):
        _aligner().fit(pair, quiet=True)


def test_no_links_to_train_on(pair: HeteroData) -> None:
    empty = pair.clone()
    anchors = empty[ANCHOR_EDGE]
    anchors.test_mask = torch.ones_like(anchors.test_mask)
    anchors.train_mask = torch.zeros_like(anchors.test_mask)
    anchors.val_mask = torch.zeros_like(anchors.test_mask)
    with pytest.raises(ValueError, match="at least one link to train on"):
        _aligner().fit(empty, quiet=True)


def test_without_validation_links(pair: HeteroData) -> None:
    data = pair.clone()
    anchors = data[ANCHOR_EDGE]
    anchors.train_mask = anchors.train_mask | anchors.val_mask
    anchors.val_mask = torch.zeros_like(anchors.val_mask)
    aligner = _aligner().fit(data, quiet=True)
    assert aligner.result["val"] is None
    assert aligner.result["num_seeds"] == int(anchors.train_mask.sum())


def test_the_switch_comes_when_validation_stalls(
    pair: HeteroData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # No gain is large enough, so the second look, after four epochs, is the first that can tell.
    settings = {"switch_epoch": "auto", "switch_gain": 10.0, "val_every": 2, "epochs": 7}
    _aligner(**settings).fit(pair, out=tmp_path / "run", quiet=True)
    table = pd.read_csv(tmp_path / "run" / "metrics.csv")
    table = table[table["phase"] == "select"]
    assert table["loss/momentum"].notna().tolist() == [epoch >= 4 for epoch in table["epoch"]]
    rounds = [e for e in _decisions(tmp_path / "run") if e["decision"] == "round"]
    assert rounds[0]["epoch"] == 3
    assert "no pseudo-label was used" not in caplog.text
    never = _aligner(**{**settings, "switch_gain": 0.0, "val_every": 7})
    never.fit(pair, out=tmp_path / "never", quiet=True)
    assert not [e for e in _decisions(tmp_path / "never") if e["decision"] == "round"]
    assert "no pseudo-label was used: 'switch_epoch' is 'auto'" in caplog.text
    caplog.clear()  # labels were used, and an epoch before them was selected
    early = _aligner(**{**settings, "selection": "validation", "lr": 0.0, "val_every": 1})
    early.fit(pair, out=tmp_path / "early", quiet=True)
    assert early.result["epochs"] == 1
    assert [e for e in _decisions(tmp_path / "early") if e["decision"] == "round"]
    assert "no pseudo-label was used" not in caplog.text


def test_too_few_epochs_for_a_pseudo_label_are_said(
    pair: HeteroData, caplog: pytest.LogCaptureFixture
) -> None:
    calibrator = Calibrator(pool=PseudoLabelPool(min_votes=1, patience=2))
    for epochs, labels in ((1, False), (3, False), (4, True)):
        caplog.clear()
        config = TrainingConfig(**{**QUICK, "epochs": epochs, "switch_epoch": 2, "round_every": 2})
        aligner = Aligner(calibrator=calibrator, training=config).fit(pair, quiet=True)
        assert ("no pseudo-label will be used" in caplog.text) is not labels
        assert "'switch_epoch' is 'auto'" not in caplog.text
        assert (aligner.result["num_pseudo_labels"] > 0) is labels


def test_a_run_is_resumed_with_its_own_entities_only(pair: HeteroData, tmp_path: Path) -> None:
    settings = {"epochs": 2, "refit": False}
    _aligner(**settings).fit(pair, tmp_path, quiet=True)
    other = pair.clone()
    other["source"].uri = other["source"].uri[::-1]
    with pytest.raises(ValueError, match="the pair that the run was started with"):
        _aligner(**settings).fit(other, tmp_path, resume=True, quiet=True)
    decisions = Decisions(pair, Ledger(tmp_path / LEDGER_NAME))
    decisions.record([Decision("reject", (3, 4))])
    with pytest.raises(ValueError, match="source entity 3 was"):
        _aligner(**settings).fit(other, tmp_path, resume=True, quiet=True)
    _aligner(**settings).fit(pair, tmp_path, resume=True, quiet=True)


def test_a_run_is_resumed_with_its_own_links_only(pair: HeteroData, tmp_path: Path) -> None:
    settings = {"epochs": 2, "refit": False}
    _aligner(**settings).fit(pair, tmp_path, quiet=True)
    other, masks = pair.clone(), pair[ANCHOR_EDGE]
    other[ANCHOR_EDGE].train_mask = masks.test_mask  # as a split of other links may have it
    other[ANCHOR_EDGE].test_mask = masks.train_mask
    with pytest.raises(ValueError, match="the training and validation links that the run"):
        _aligner(**settings).fit(other, tmp_path, resume=True, quiet=True)
    fewer = DropModality("image")(pair.clone())
    with pytest.raises(ValueError, match=r"'in_channels' needs to be {.*'image': "):
        _aligner(**settings).fit(fewer, tmp_path, resume=True, quiet=True)
    order = torch.randperm(masks.train_mask.numel())
    for key in ("train_mask", "val_mask", "test_mask"):
        other[ANCHOR_EDGE][key] = masks[key][order]
    other[ANCHOR_EDGE].edge_label_index = masks.edge_label_index[:, order]
    _aligner(**settings).fit(other, tmp_path, resume=True, quiet=True)


def test_a_run_is_resumed_with_its_own_settings_only(pair: HeteroData, tmp_path: Path) -> None:
    _aligner(epochs=2, refit=False).fit(pair, tmp_path, quiet=True)
    for setting, old in (("lr", 0.005), ("num_negatives", 2000)):
        other = _aligner(epochs=2, refit=False, **{setting: 1})
        with pytest.raises(ValueError, match=f"'{setting}' needs to be {old}, as where the run"):
            other.fit(pair, tmp_path, resume=True, quiet=True)
    with pytest.raises(ValueError, match=r"'seed' needs to be 0, .* \(got 1\)"):
        _aligner(seed=1, epochs=2, refit=False).fit(pair, tmp_path, resume=True, quiet=True)
    longer = _aligner(epochs=3, refit=False, checkpoint_every=1)
    for other, text in (
        (_aligner(epochs=1, refit=False), r"'epochs' needs to be 2, .* \(got 1\)"),
        (_aligner(False, epochs=2, refit=False), "'calibrate' needs to be True"),
        (Aligner(MEAformer, training=longer.training), "'model' needs to be 'PCMEA'"),
    ):
        with pytest.raises(ValueError, match=text):
            other.fit(pair, tmp_path, resume=True, quiet=True)
    longer.fit(pair, tmp_path, resume=True, quiet=True)
    assert longer.result["epochs"] == 3


def test_settings_may_be_numbers_of_numpy(pair: HeteroData, tmp_path: Path) -> None:
    settings = {"num_negatives": np.int64(50), "momentum": np.float64(0.9), "refit": False}
    settings |= {"epochs": np.int64(2), "val_every": 1, "selection": "validation"}
    aligner = _aligner(seed=np.int64(0), **settings).fit(pair, tmp_path, quiet=True)
    assert Aligner.load(tmp_path).result["epochs"] == aligner.result["epochs"]


@pytest.mark.parametrize("name", ["excluded", "propagation"])
def test_voters_that_there_are_not_are_found_before_training(
    pair: HeteroData, tmp_path: Path, name: str
) -> None:
    calibrator = Calibrator(excluded_voters=[name])
    training = TrainingConfig(**{**QUICK, "propagate_links": False})
    aligner = Aligner(calibrator=calibrator, training=training)
    with pytest.raises(ValueError, match=rf"'excluded_voters' .* \(got '{name}'\)"):
        aligner.fit(pair, tmp_path, quiet=True)
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("name", ["aligner.pt", "result.json", "checkpoints"])
def test_nothing_of_a_run_is_overwritten(pair: HeteroData, tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(FileExistsError, match="holds a run"):
        _aligner().fit(pair, tmp_path, quiet=True)


@pytest.mark.parametrize("name", ["model", "objective"])
def test_models_and_objectives_are_made_by_the_aligner(pair: HeteroData, name: str) -> None:
    for value in (PCMEA.from_data(pair), "PCMEA"):
        with pytest.raises(ValueError, match=f"'{name}' needs to be a class, or a function"):
            Aligner(**{name: value})


def test_an_automatic_switch_needs_validation_links(pair: HeteroData) -> None:
    data = pair.clone()
    data[ANCHOR_EDGE].val_mask = torch.zeros_like(data[ANCHOR_EDGE].val_mask)
    data[ANCHOR_EDGE].test_mask = ~data[ANCHOR_EDGE].train_mask
    with pytest.raises(ValueError, match="'switch_epoch' cannot be 'auto'"):
        _aligner(switch_epoch="auto").fit(data, quiet=True)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("refit_epochs", 0),
        ("batch_size", 0),
        ("epochs", 1.5),
        ("num_negatives", -5),
        ("lr", -0.1),
        ("lr_end", -1.0),
        ("switch_gain", float("nan")),
        ("propagation_channels", 0),
        ("patience", -1),
        ("switch_epoch", -1),
        ("switch_epoch", "soon"),
        ("switch_gain", -0.1),
        ("switch_width", -1),
        ("batch_entities", 0),
        ("batch_entities", "some"),
        ("accumulate_grad_batches", 0),
        ("devices", 0),
        ("val_links", 0),
        ("test_links", 0),
        ("csls_k", -1),
        ("precision", "16-true"),
        ("rank_by", "late"),
        ("momentum", 1.5),
    ],
)
def test_settings_out_of_range(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"'{field}'"):
        TrainingConfig(**{field: value})


def test_patience_needs_selection() -> None:
    with pytest.raises(ValueError, match="'patience' needs 'selection'"):
        TrainingConfig(patience=2)


_PROCESS = """
import sys
from collections.abc import Iterator
from pyg_mmea.datasets import FakeMMKG
sys.path.insert(0, {here!r})
from test_aligner import _aligner
_aligner(devices=2, **{settings}).fit(FakeMMKG()[0], out={out!r}, quiet=True)
"""


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums by one thread, as in each of several processes: others differ in the last bit."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


@pytest.mark.parametrize("batch_entities", ["all", 30])
def test_two_processes_give_what_one_gives(
    pair: HeteroData, tmp_path: Path, batch_entities: int | str, one_thread: None
) -> None:
    if batch_entities == 30:
        pytest.importorskip("pymetis")
    settings = {"batch_size": 4, "epochs": 6, "refit_epochs": 1, "lr": 0.02}
    settings["batch_entities"] = batch_entities
    settings["precision"] = "64-true"  # training blows up the noise of single precision
    alone = _aligner(accumulate_grad_batches=2, **settings)
    alone.fit(pair, out=tmp_path / "alone", quiet=True)
    assert alone.result["num_pseudo_labels"] > 0

    out, script = tmp_path / "shared", tmp_path / "train.py"
    here = str(Path(__file__).parent)
    script.write_text(_PROCESS.format(here=here, settings=settings, out=str(out)))
    command = [sys.executable, str(script)]
    if batch_entities == "all":  # else Lightning starts the second process
        command[1:1] = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    env = {**os.environ, "PYTHONPATH": str(Path(pyg_mmea.__file__).parents[1])}
    env["OMP_NUM_THREADS"] = "1"
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    shared = Aligner.load(out)
    for name, value in alone._state["model"].items():
        assert torch.allclose(value, shared._state["model"][name], atol=1e-6), name
    for name in ("num_pseudo_labels", "num_seeds", "epochs", "refit_epochs"):
        assert shared.result[name] == alone.result[name], name
    labels = [
        [(entry["epoch"], entry["decision"], entry.get("pair")) for entry in _decisions(folder)]
        for folder in (tmp_path / "alone", out)
    ]
    assert labels[0] == labels[1]
    one, two = (
        pd.read_csv(folder / "metrics.csv").drop(columns="seconds")
        for folder in (tmp_path / "alone", out)
    )
    pd.testing.assert_frame_equal(one, two, rtol=1e-3, atol=1e-4)


_UNLIKE = """
import os, sys
from pyg_mmea.calibration import Ledger
from pyg_mmea.datasets import FakeMMKG
from pyg_mmea.training import Decision, Decisions
sys.path.insert(0, {here!r})
from test_aligner import _aligner
pair = FakeMMKG()[0]
if os.environ.get("LOCAL_RANK") == "1":  # somebody decides after the first process has started
    Decisions(pair, Ledger({ledger!r})).record([Decision("reject", (3, 4))])
_aligner(devices=2, epochs=2).fit(pair, out={out!r}, quiet=True)
"""


def test_processes_that_know_other_links_stop_at_once(tmp_path: Path) -> None:
    out, script = tmp_path / "run", tmp_path / "train.py"
    out.mkdir()
    here, ledger = str(Path(__file__).parent), str(out / LEDGER_NAME)
    script.write_text(_UNLIKE.format(here=here, ledger=ledger, out=str(out)))
    env = {**os.environ, "PYTHONPATH": str(Path(pyg_mmea.__file__).parents[1])}
    command = [sys.executable, str(script)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "somebody decided on a pair during the start" in done.stderr


def test_several_processes_need_a_folder(pair: HeteroData) -> None:
    with pytest.raises(ValueError, match="'out' needs to be given"):
        _aligner(devices=2).fit(pair, quiet=True)


def test_a_sample_of_links_is_measured(pair: HeteroData) -> None:
    aligner = _aligner(epochs=2, refit=False, val_links=1, test_links=7, csls_k=0)
    aligner.fit(pair, quiet=True)
    result = aligner.result
    for name, num in (("val", 1), ("val_all", 1), ("test", 7), ("test_all", 7)):
        assert (result[name]["num_links"], result[name]["csls_k"]) == (num, 0)
    assert aligner.evaluate(pair)["num_links"] == int(pair[ANCHOR_EDGE].test_mask.sum())
    assert aligner.evaluate(pair, csls_k=0, num_links=7) == result["test"]


@pytest.mark.parametrize(
    ("calibrate", "settings", "val_ratio"),
    [(True, {}, 0.0), (True, {"refit": False}, 0.1), (False, {"refit": False}, 0.1)],
)
def test_a_finished_run_without_refit_learns_from_decisions(
    tmp_path: Path, calibrate: bool, settings: dict, val_ratio: float
) -> None:
    pair = FakeMMKG(val_ratio=val_ratio)[0]
    settings = {"epochs": 2, "switch_epoch": 1, "refit_epochs": 1, "val_every": 1, **settings}
    before = _aligner(calibrate, **settings).fit(pair, out=tmp_path, quiet=True)
    source, target = before.alignment["pairs"][:, 0].tolist()
    decisions = Decisions(pair, Ledger(tmp_path / LEDGER_NAME))
    decisions.record([Decision("accept", (source, target))])
    after = _aligner(calibrate, **settings).fit(pair, tmp_path, resume=True, quiet=True)
    assert after.result["num_seeds"] == before.result["num_seeds"] + 1
    assert after.result["refit_epochs"] == (1 if calibrate else 2)
    changed = [
        name
        for name, value in before._state["model"].items()
        if not torch.equal(value, after._state["model"][name])
    ]
    assert changed
    if val_ratio > 0:  # still hidden
        assert after.evaluate(pair, "val") == after.result["val"]
    decisions.record([Decision("undo", (source, target))])
    undone = _aligner(calibrate, **settings).fit(pair, tmp_path, resume=True, quiet=True)
    for name, value in before._state["model"].items():
        assert torch.equal(value, undone._state["model"][name]), name
    assert not list((tmp_path / "checkpoints").glob("refit-*"))
    assert set(pd.read_csv(tmp_path / "metrics.csv")["phase"]) == {"select"}
    history = replay(Ledger(tmp_path / LEDGER_NAME).read())
    labels = set(map(tuple, undone.calibrator.pool.pairs.t().tolist()))
    assert labels == (history[max(history)] if history else set())


@pytest.mark.parametrize("checkpoint_every", [1, 5])
def test_the_ledger_replays_after_a_pseudo_label_was_a_seed_for_a_while(
    tmp_path: Path, checkpoint_every: int
) -> None:
    pair = FakeMMKG()[0]
    settings = {"epochs": 3, "switch_epoch": 1, "round_every": 1, "refit_epochs": 1}
    settings["checkpoint_every"] = checkpoint_every
    before = _aligner(**settings).fit(pair, out=tmp_path, quiet=True)
    ledger = Ledger(tmp_path / LEDGER_NAME)

    def labels() -> set[tuple[int, int]]:
        history = replay(ledger.read())
        return history[max(history)]

    first = labels()
    one, other = sorted(first)[:2]
    decisions = Decisions(pair, ledger)
    for verdicts, expected in (
        ([Decision("accept", one)], first - {one}),
        ([Decision("undo", one), Decision("accept", other)], first - {other}),
        ([Decision("undo", other)], first),
    ):
        decisions.record(verdicts)
        after = _aligner(**settings).fit(pair, tmp_path, resume=True, quiet=True)
        assert labels() == expected
        assert after.result["num_pseudo_labels"] == len(expected)
    assert before.result["num_pseudo_labels"] == len(first)


def test_what_was_rejected_since_is_not_predicted(pair: HeteroData, tmp_path: Path) -> None:
    aligner = _aligner(epochs=2, refit=False).fit(pair, tmp_path, quiet=True)
    before = aligner.predict(pair)
    wrong = tuple(aligner.alignment["pairs"][:, 0].tolist())
    decisions = Decisions(pair, Ledger(tmp_path / LEDGER_NAME))
    decisions.record([Decision("reject", wrong)])
    uris = [
        pair[side].uri[entity] for side, entity in zip(("source", "target"), wrong, strict=True)
    ]
    for one in (aligner, Aligner.load(tmp_path)):
        after = one.predict(pair)
        assert len(after) == len(before) - 1
        assert uris not in after[["source", "target"]].values.tolist()
        assert after.attrs["abstained"] == before.attrs["abstained"] + 1
    decisions.record([Decision("undo", wrong)])
    assert aligner.predict(pair).equals(before)


def test_all_test_links_may_be_accepted(tmp_path: Path) -> None:
    pair = FakeMMKG(num_links=20, seed_ratio=0.9)[0]
    anchors = pair[ANCHOR_EDGE]
    tested = anchors.edge_label_index[:, anchors.test_mask].t().tolist()
    decisions = Decisions(pair, Ledger(tmp_path / LEDGER_NAME))
    decisions.record([Decision("accept", (source, target)) for source, target in tested])
    aligner = _aligner(epochs=1, refit=False).fit(pair, tmp_path, quiet=True)
    assert aligner.result["test"] is aligner.result["test_all"] is None
    assert aligner.links(pair, "test").size(1) == 0
    assert aligner.links(pair, "train").size(1) == int(anchors.train_mask.sum())
    with pytest.raises(ValueError, match="'test_mask'"):
        aligner.evaluate(pair)


def test_links_that_look_wrong_are_named(
    pair: HeteroData, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looks = lambda candidates, votes, similarity, links: torch.arange(links.size(1)) == 1  # noqa: E731
    monkeypatch.setattr("pyg_mmea.training.fitting.doubtful_links", looks)
    aligner = _aligner(False, epochs=1, refit=False).fit(pair, quiet=True)
    anchors = pair[ANCHOR_EDGE]
    source, target = anchors.edge_label_index[:, anchors.val_mask][:, 1].tolist()
    uris = [pair["source"].uri[source], pair["target"].uri[target]]
    assert aligner.result["doubtful_links"] == [uris]
    assert " = ".join(uris) in caplog.text
