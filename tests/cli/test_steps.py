"""Steps of calibration from outside the package, by class path."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pyg_mmea.calibration import Candidates, Confidence, Ledger, Pool, Votes, replay
from pyg_mmea.calibration.ledger import LEDGER_NAME
from pyg_mmea.cli import main
from pyg_mmea.cli.runs import load_run
from pyg_mmea.utils.pairs import contains, judge


class ShareConfidence(Confidence):
    """The share of voters that rank a pair first."""

    rule = "share of voters"
    cases = (torch.empty(0, dtype=torch.double), torch.empty(0, dtype=torch.bool))

    def fit(
        self,
        candidates: Candidates,
        votes: Votes,
        calibration_links: Tensor,
        eligible: Tensor | None = None,
    ) -> dict[str, Any]:
        return {"rule": self.rule}

    def __call__(self, candidates: Candidates, votes: Votes) -> Tensor:
        return votes.cpu().share_first()

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        assert not state


class GrowingPool(Pool):
    """Takes what is sure at once, and gives it back only where it has to."""

    def __init__(self) -> None:
        self.reset()

    @property
    def pairs(self) -> Tensor:
        return self._pairs

    @property
    def num_used(self) -> int:
        return self._pairs.size(1)

    @property
    def beliefs(self) -> tuple[Tensor, Tensor]:
        return self._pairs, torch.ones(self.num_used, dtype=torch.double)

    def survivors(self, candidates: Candidates, votes: Votes) -> Tensor:
        taken, _ = judge(candidates.pairs.cpu(), self._pairs)
        return ~taken

    def update(
        self, candidates: Candidates, votes: Votes, confidence: Tensor, threshold: float
    ) -> list[dict[str, Any]]:
        joins = self.survivors(candidates, votes) & (confidence >= threshold)
        new = candidates.pairs.cpu()[:, joins]
        self._pairs = torch.cat([self._pairs, new], dim=1)
        return [{"pair": pair, "decision": "accept", "reason": "mine"} for pair in new.t().tolist()]

    def discard(self, links: Tensor, rejected: Tensor) -> list[dict[str, Any]]:
        taken, _ = judge(self._pairs, links.cpu())
        gone = taken | contains(rejected.cpu(), self._pairs)
        left, self._pairs = self._pairs[:, gone], self._pairs[:, ~gone]
        return [{"pair": pair, "decision": "drop", "reason": "gone"} for pair in left.t().tolist()]

    def reset(self) -> None:
        self._pairs = torch.empty(2, 0, dtype=torch.long)

    def state_dict(self) -> dict[str, Tensor]:
        return {"pairs": self._pairs}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self._pairs = state["pairs"]


@pytest.fixture(scope="module")
def run(quick: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("steps") / "run"
    steps = [
        f"--calibration.confidence={__name__}.ShareConfidence",
        f"--calibration.pool={__name__}.GrowingPool",
        "--calibration.precision=0.5",
    ]
    assert main(["train", *quick, *steps, f"--out={folder}"]) == 0
    return folder


def test_ledger_has_what_own_steps_did(run: Path) -> None:
    entries = Ledger(run / LEDGER_NAME).read()
    rounds = [entry for entry in entries if entry["decision"] == "round"]
    assert {entry["rule"] for entry in rounds} == {"share of voters"}
    assert {entry["selection"] for entry in rounds} == {"expected precision"}
    assert any(entry.get("reason") == "mine" for entry in entries)
    history = replay(entries)
    for each in rounds[:-1]:  # the last one is followed by training on all seeds
        assert len(history[each["epoch"]]) == each["num_used"]


def test_own_steps_are_there_when_a_run_is_read(
    cli, run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, aligner = load_run(run)
    assert isinstance(aligner.calibrator.confidence, ShareConfidence)
    assert isinstance(aligner.calibrator.pool, GrowingPool)
    found = tmp_path / "links.csv"
    assert cli("align", run, "--out", found, "--target-precision", "0.9")[0] == 0
    assert "are selected by expected precision, an estimate" in caplog.text
    code, out, _ = cli("audit", run)
    assert code == 0
    assert "accept: mine" in out
    assert "share of voters" in out
