import json

from pyg_mmea.calibration import Ledger


def test_append_and_read(tmp_path):
    path = tmp_path / "pseudo_labels.jsonl"
    ledger = Ledger(path)
    assert str(ledger) == f"Ledger('{path}')"
    assert ledger.size == 0
    assert ledger.read() == []
    ledger.append([])
    assert not path.exists()
    ledger.append([{"epoch": 1, "pair": [0, 5]}, {"epoch": 1, "uri": "Zoë\u2028\n"}])
    ledger.append({"epoch": epoch} for epoch in (2, 3))
    entries = ledger.read()
    assert [entry["epoch"] for entry in entries] == [1, 1, 2, 3]
    assert entries[1] == {"schema": 1, "epoch": 1, "uri": "Zoë\u2028\n"}
    lines = path.read_bytes().split(b"\n")
    assert [json.loads(line) for line in lines[:-1]] == entries
    assert lines[-1] == b""
    assert ledger.size == path.stat().st_size
    assert Ledger(str(path)).read() == entries


def test_truncate_cuts_off_what_came_later(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append([{"epoch": 1}, {"epoch": 2}])
    size = ledger.size
    ledger.append([{"epoch": 3}])
    ledger.truncate(size)
    assert [entry["epoch"] for entry in ledger.read()] == [1, 2]
    ledger.truncate(10**6)  # never makes it longer
    assert ledger.size == size
    ledger.append([{"epoch": 3}])
    assert [entry["epoch"] for entry in ledger.read()] == [1, 2, 3]
    ledger.truncate(0)
    assert ledger.read() == []
    Ledger(tmp_path / "none.jsonl").truncate(0)
    assert not (tmp_path / "none.jsonl").exists()


def test_unfinished_last_line_is_no_entry(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append([{"epoch": 1}])
    with ledger.path.open("a") as file:
        file.write('{"schema": 1, "ep')  # killed in the middle
    assert [entry["epoch"] for entry in ledger.read()] == [1]
