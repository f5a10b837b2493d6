from pathlib import Path

import pytest
import torch
from torch_geometric.data import HeteroData

from pyg_mmea.calibration import Ledger, replay
from pyg_mmea.datasets import FakeMMKG
from pyg_mmea.training.record import record, settle


@pytest.fixture
def pair() -> HeteroData:
    return FakeMMKG()[0]


def pairs(*labels: tuple[int, int]) -> torch.Tensor:
    return torch.tensor(labels, dtype=torch.long).view(-1, 2).t()


def test_settling_names_what_came_and_went(tmp_path: Path, pair: HeteroData) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    accepted = [{"pair": [i, i], "decision": "accept", "reason": "votes"} for i in range(3)]
    record(ledger, [{"decision": "round"}, *accepted], 4, pair)
    discarded = [
        {"pair": [i, i], "decision": "drop", "reason": "rejected"} for i in (1, 7)
    ]  # 7 is not in use
    settle(ledger, pairs((0, 0), (5, 6)), pair, 6, discarded)
    new = ledger.read()[4:]
    assert [(entry["pair"], entry["decision"], entry["reason"]) for entry in new] == [
        ([1, 1], "drop", "rejected"),
        ([2, 2], "drop", "not in use any more"),
        ([5, 6], "accept", "in use again"),
    ]
    assert {entry["epoch"] for entry in new} == {6}
    assert new[2]["uri"] == [pair["source"].uri[5], pair["target"].uri[6]]
    assert replay(ledger.read()) == {4: {(0, 0), (1, 1), (2, 2)}, 6: {(0, 0), (5, 6)}}


def test_settling_does_not_go_back_in_time(tmp_path: Path, pair: HeteroData) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    record(ledger, [{"pair": [0, 0], "decision": "accept", "reason": "votes"}], 4, pair)
    settle(ledger, pairs((1, 1)), pair, 2)
    assert {entry["epoch"] for entry in ledger.read()} == {4}
    assert replay(ledger.read()) == {4: {(1, 1)}}


def test_nothing_is_written_where_all_is_as_it_was(tmp_path: Path, pair: HeteroData) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    settle(ledger, pairs(), pair, 9)
    assert not ledger.path.exists()
    record(ledger, [{"pair": [0, 0], "decision": "accept", "reason": "votes"}], 4, pair)
    settle(ledger, pairs((0, 0)), pair, 9)
    assert ledger.num_entries == 1
