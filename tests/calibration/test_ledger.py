import json
import multiprocessing
import threading
from pathlib import Path

import pytest

from pyg_mmea.calibration import Ledger, decided_by_hand, in_force, replay
from pyg_mmea.errors import DataError

A, B, C = [0, 5], [1, 3], [2, 2]


def entry(decision, pair=None, epoch=0, **more):
    found = {"epoch": epoch, "decision": decision, **more}
    return found if pair is None else {**found, "pair": pair, "reason": "sure"}


def by_hand(decision, pair, **more):
    return {"decision": decision, "pair": pair, "reason": "by hand", **more}


def resume(num):
    return {"decision": "resume", "entry": num}


def test_append_and_read(tmp_path):
    path = tmp_path / "pseudo_labels.jsonl"
    ledger = Ledger(path)
    assert str(ledger) == f"Ledger('{path}')"
    assert ledger.num_entries == 0
    assert ledger.read() == []
    ledger.append([])
    assert not path.exists()
    ledger.append([{"epoch": 1, "pair": [0, 5]}, {"epoch": 1, "uri": "Zoë\u2028\n"}])
    ledger.append({"epoch": epoch} for epoch in (2, 3))
    entries = ledger.read()
    assert [entry["epoch"] for entry in entries] == [1, 1, 2, 3]
    assert entries[1] == {"schema": 1, "run": ledger.run, "epoch": 1, "uri": "Zoë\u2028\n"}
    lines = path.read_bytes().split(b"\n")
    assert [json.loads(line) for line in lines[:-1]] == entries
    assert lines[-1] == b""
    assert ledger.num_entries == 4
    again = Ledger(str(path))
    assert again.read() == entries
    assert (again.num_entries, again.run) == (4, ledger.run)
    again.append([{"epoch": 4}])  # as another process does
    assert ledger.num_entries == 5
    assert [entry["epoch"] for entry in ledger.read(2)] == [1, 1]
    assert Ledger(tmp_path / "other.jsonl").run != ledger.run


def test_the_ledger_of_a_run_has_its_id(tmp_path):
    drawn = Ledger.of(tmp_path)
    assert drawn.run.startswith("run-")
    (tmp_path / "result.json").write_text(json.dumps({"run": drawn.run}))
    again = Ledger.of(tmp_path)
    assert again.run == drawn.run
    again.append([{"decision": "reject"}])
    (tmp_path / "result.json").write_text(json.dumps({"run": "other"}))
    assert Ledger.of(tmp_path).run == drawn.run  # its first entry says so


def test_resume_only_adds(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append([entry("accept", A, 1), entry("accept", B, 2)])
    before = ledger.path.read_bytes()
    ledger.resume(2)  # nothing came later
    ledger.resume(10)
    assert ledger.path.read_bytes() == before
    ledger.resume(1)
    assert ledger.path.read_bytes().startswith(before)
    assert ledger.read()[-1] == {"schema": 1, "run": ledger.run, "decision": "resume", "entry": 1}
    assert ledger.num_entries == 3
    assert [found["pair"] for found in in_force(ledger.read())] == [A]
    Ledger(tmp_path / "none.jsonl").resume(0)
    assert not (tmp_path / "none.jsonl").exists()


@pytest.mark.parametrize(
    "rest", [b'{"schema": 1, "ep', b'{"schema": 1}', '{"uri": "Zoë'.encode()[:-1]]
)
def test_unfinished_last_line_is_no_entry(tmp_path, rest):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append([{"epoch": 1}])
    with ledger.path.open("ab") as file:
        file.write(rest)  # killed in the middle
    assert [found["epoch"] for found in ledger.read()] == [1]
    again = Ledger(ledger.path)
    assert again.num_entries == 1
    again.append([{"epoch": 2}])
    assert [found["epoch"] for found in again.read()] == [1, 2]


def test_a_first_line_that_is_unfinished(tmp_path):
    path = tmp_path / "ledger.jsonl"
    path.write_text('{"schema"')
    ledger = Ledger(path)
    ledger.append([{"epoch": 1}])
    assert [found["epoch"] for found in ledger.read()] == [1]


def test_what_a_resume_makes_void():
    hand = by_hand("reject", C)
    entries = [
        entry("accept", A, 1),
        entry("accept", B, 2),
        hand,
        resume(1),  # B again is undecided, people's decisions stand
        entry("accept", C, 2),
        entry("drop", A, 3),
        resume(5),  # counts all lines, those void included
        entry("drop", C, 3),
    ]
    kept = [entries[0], hand, entries[4], entries[7]]
    assert in_force(entries) == kept
    assert in_force(entries[:6]) == [entries[0], hand, *entries[4:6]]
    assert in_force([*entries, resume(0)]) == [hand]
    assert in_force([]) == []


def test_replay():
    entries = [
        entry("round", epoch=1),
        entry("accept", A, 1),
        entry("accept", B, 1),
        by_hand("accept", C),  # becomes a seed, no pseudo-label
        entry("round", epoch=3),
        entry("round", epoch=5),
        entry("drop", A, 5),
        entry("accept", C, 5),
    ]
    a, b, c = (tuple(pair) for pair in (A, B, C))
    assert replay(entries) == {1: {a, b}, 3: {a, b}, 5: {b, c}}
    again = [*entries, resume(5), entry("round", epoch=5), entry("drop", B, 5)]
    assert replay(again) == {1: {a, b}, 3: {a, b}, 5: {a}}
    assert replay([]) == {}


def test_the_last_decision_by_hand_counts():
    entries = [
        entry("accept", A),
        by_hand("accept", B),
        by_hand("reject", C, note="another year"),
        entry("drop", C, 2),
        by_hand("reject", B),
        by_hand("accept", C),
        by_hand("accept", [7, 8]),
    ]
    assert decided_by_hand(entries) == ([C, [7, 8]], [B])
    assert decided_by_hand(entries[:3]) == ([B], [C])
    assert decided_by_hand([]) == ([], [])


def test_an_undone_decision_counts_no_more():
    entries = [by_hand("accept", A), by_hand("reject", B), by_hand("undo", A)]
    assert decided_by_hand(entries) == ([], [B])
    assert in_force([*entries, resume(0)]) == entries  # it is a decision by hand, too
    assert replay(entries) == {}
    assert decided_by_hand([*entries, by_hand("reject", A)]) == ([], [A, B])


def test_reading_on(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    assert ledger.read_on(0) == ([], 0)
    ledger.append([{"epoch": 1, "uri": "Zoë\u2028"}, {"epoch": 2}])
    entries, place = ledger.read_on(0)
    assert entries == ledger.read()
    assert ledger.read_on(place) == ([], place)
    with ledger.path.open("ab") as file:
        file.write(b'{"schema"')
    assert ledger.read_on(place) == ([], place)
    ledger.append([{"epoch": 3}])
    assert [found["epoch"] for found in ledger.read_on(place)[0]] == [3]
    ledger.path.unlink()
    with pytest.raises(RuntimeError, match="was deleted or cut"):
        ledger.read_on(place)


def _write(path: Path, writer: int) -> None:
    ledger = Ledger(path)
    for number in range(10):
        # Longer than what a file buffers, so that a line takes several writes.
        ledger.append([{"writer": writer, "number": number, "uri": "é" * 10_000}])


def test_many_writers_lose_and_break_nothing(tmp_path):
    path = tmp_path / "ledger.jsonl"
    context = multiprocessing.get_context("fork")  # of a child that only writes
    workers = [context.Process(target=_write, args=(path, writer)) for writer in range(2)]
    workers += [threading.Thread(target=_write, args=(path, writer)) for writer in range(2, 5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    entries = Ledger(path).read()
    assert len(entries) == len(path.read_bytes().splitlines())
    assert len({entry["run"] for entry in entries}) == 1
    for writer in range(5):
        numbers = [entry["number"] for entry in entries if entry["writer"] == writer]
        assert numbers == list(range(10))


def test_a_locked_ledger(tmp_path, monkeypatch):
    monkeypatch.setattr("pyg_mmea.calibration.ledger._PATIENCE", 0.1)
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path)
    with ledger.locked():
        ledger.append([{"epoch": 1}])  # whoever holds the lock may write
        with pytest.raises(RuntimeError, match=r"ledger.jsonl has been locked .* for 0.1 s"):
            Ledger(path).append([{"epoch": 2}])
    Ledger(path).append([{"epoch": 3}])
    assert [entry["epoch"] for entry in ledger.read()] == [1, 3]


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.path.write_text("no json\n")
    for read in (ledger.read, lambda: ledger.read_on(0)):
        with pytest.raises(DataError, match=r"ledger.jsonl: holds what is no JSON"):
            read()
