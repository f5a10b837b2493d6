"""``pyg-mmea audit``."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from jsonargparse import ArgumentParser
from jsonargparse.typing import NonNegativeInt
from torch_geometric.data import HeteroData

from pyg_mmea.calibration import Ledger, in_force, replay
from pyg_mmea.calibration.ledger import BY_HAND, LEDGER_NAME, Entry, is_by_hand
from pyg_mmea.cli.console import echo, note, table
from pyg_mmea.cli.runs import CONFIG, load_data, when_used
from pyg_mmea.training import Aligner
from pyg_mmea.training.aligner import ALIGNER
from pyg_mmea.training.decisions import VERDICTS, Decision, Decisions, Verdict
from pyg_mmea.typing import SIDES

# What is shown of a round, and what the ledger calls it; older ledgers lack some of it.
_OF_ROUND = {
    "candidates": "num_candidates",
    "survivors": "num_survivors",
    "right cases": "num_right",
    "wrong cases": "num_wrong",
    "confidence by": "rule",
    "threshold by": "selection",
    "threshold": "threshold",
}


def run(arguments: Sequence[str]) -> None:
    """Summarises the ledger, tells the history of a pair, or adds decisions of people."""
    parser = ArgumentParser(
        prog="pyg-mmea audit",
        description="Says why and when a pseudo-label was taken, kept or dropped. A decision "
        "(--accept, --reject, --undo) is an entry of the ledger, too: 'train --resume' trains on "
        "what was accepted, and never proposes again what was rejected.",
    )
    parser.add_argument("folder", metavar="RUN", help="folder of the run")
    for name, text in (
        ("pair", "the history of one pair"),
        ("accept", "decide that a pair is right"),
        ("reject", "decide that a pair is wrong"),
        ("undo", "take the decision on a pair back"),
    ):
        uris = ("SOURCE_URI", "TARGET_URI")
        parser.add_argument(f"--{name}", type=str, nargs=2, metavar=uris, help=text)
    parser.add_argument("--note", type=str, help="why, kept beside the decision")
    parser.add_argument(
        "--since-epoch", type=NonNegativeInt, default=0, help="leave out earlier epochs"
    )
    parser.add_argument("--format", type=Literal["table", "json"], default="table")
    config = parser.parse_args(arguments)
    folder = Path(config.folder)
    decisions = [(name, config[name]) for name in VERDICTS if config[name]]
    if decisions and config.pair:
        raise ValueError("'--pair' tells a history and goes with no decision")
    if decisions and (config.since_epoch > 0 or config.format != "table"):
        raise ValueError("'--since-epoch' and '--format' are of histories and go with no decision")
    if config.note is not None and not decisions:
        raise ValueError("'--note' needs '--accept', '--reject' or '--undo'")
    path = folder / LEDGER_NAME
    if decisions:
        _decide(folder, decisions, config.note)
        return
    if not path.is_file() and not any((folder / name).is_file() for name in (CONFIG, ALIGNER)):
        raise FileNotFoundError(f"{path} is missing; 'pyg-mmea train' writes it in its first round")
    ledger = Ledger(path).read()
    entries = [
        entry
        for entry in in_force(ledger)
        if is_by_hand(entry) or entry["epoch"] >= config.since_epoch
    ]
    if config.pair:
        found = [entry for entry in entries if entry.get("uri") == config.pair]
        if not found and (folder / CONFIG).is_file():  # there is none if Python started the run
            _ids(load_data(folder), config.pair, folder)
        _tell(found, config.format)
    else:
        _summarise(entries, replay(ledger), config.format)


def _decide(folder: Path, verdicts: list[tuple[Verdict, list[str]]], why: str | None) -> None:
    data = load_data(folder)
    if (folder / ALIGNER).is_file():  # entries hold ids, which mean others in changed data
        Aligner.load(folder).check(data)
    decisions = [Decision(verdict, _ids(data, uris, folder), why) for verdict, uris in verdicts]
    num = Decisions(data, Ledger.of(folder)).record(decisions)
    note(f"{num} decision(s) kept: {when_used(folder)}")


def _ids(data: HeteroData, uris: list[str], folder: Path) -> tuple[int, int]:
    pair = []
    for side, uri in zip(SIDES, uris, strict=True):
        if uri not in data[side].uri:
            raise ValueError(f"'{uri}' is no {side} entity of the run in {folder}")
        pair.append(data[side].uri.index(uri))
    return pair[0], pair[1]


def _tell(found: list[Entry], form: str) -> None:
    if form == "json":
        echo(json.dumps(found, indent=2))  # ASCII, since nothing else is sure to arrive
        return
    if not found:
        echo("no decision was taken on this pair")
    for entry in found:
        when = f"epoch {entry['epoch']}: " if "epoch" in entry else ""
        echo(f"{when}{entry['decision']} ({entry['reason']}){_because(entry)}")
        for name, vote in entry.get("votes", {}).items():
            word = {None: "abstains", True: "agrees", False: "disagrees"}[vote["agrees"]]
            numbers = "" if vote["rank"] is None else _numbers(vote)
            echo(f"  {name}: {word}{numbers}")


def _because(entry: Entry) -> str:
    if "note" in entry:
        return f": {entry['note']}"
    if "confidence" not in entry:
        return ""
    threshold = "none" if entry["threshold"] is None else f"{entry['threshold']:.4f}"
    return f", confidence {entry['confidence']:.4f}, threshold {threshold}"


def _numbers(vote: dict[str, Any]) -> str:
    return (
        f", rank {vote['rank']:g}, margin {vote['margin']:.4f}, "
        f"probability {vote['probability']:.4f}"
    )


def _summarise(entries: list[Entry], in_use: dict[int, set[tuple[int, int]]], form: str) -> None:
    rounds: dict[int, dict[str, Any]] = {}
    reasons: Counter[str] = Counter()
    by_hand: Counter[str] = Counter()
    for entry in entries:
        if is_by_hand(entry):
            by_hand[entry["decision"]] += 1
        elif entry["decision"] == "round":
            row = rounds.setdefault(entry["epoch"], _row(entry["epoch"], in_use))
            row |= {name: entry.get(key) for name, key in _OF_ROUND.items()}
        else:
            ended = "accepted" if entry["decision"] == "accept" else "dropped"
            # Between two rounds labels end by decisions, and come back.
            row = rounds.setdefault(entry["epoch"], _row(entry["epoch"], in_use))
            row[ended] += 1
            reasons[f"{entry['decision']}: {entry['reason']}"] += 1
    if form == "json":
        summary = {"rounds": list(rounds.values()), "reasons": reasons, "by hand": by_hand}
        echo(json.dumps(summary, indent=2))
        return
    if not rounds and not by_hand:
        echo(
            "no round of calibration took place, so that no pseudo-label was taken; nobody decided "
            "on a pair"
        )
        return
    rows = [[_cell(value) for value in each.values()] for each in rounds.values()]
    if rows:
        echo(table([list(next(iter(rounds.values()))), *rows]))
        echo("")
    for text, count in [*reasons.items(), *((f"{k} ({BY_HAND})", n) for k, n in by_hand.items())]:
        echo(f"{count:8d}  {text}")


def _row(epoch: int, in_use: dict[int, set[tuple[int, int]]]) -> dict[str, Any]:
    return {
        "epoch": epoch,
        **dict.fromkeys(_OF_ROUND),
        "accepted": 0,
        "dropped": 0,
        "in use": len(in_use[epoch]),
    }


def _cell(value: float | None) -> str:
    if value is None:
        return "none"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
