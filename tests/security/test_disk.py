"""Full disks, folders that cannot be written, programs that are killed, and two at a time."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree

import pytest

from pyg_mmea.calibration import Ledger
from pyg_mmea.utils.io import atomic_folder, atomic_write, file_lock, inside, open_ordinary

resource = pytest.importorskip("resource", reason="needs limits of POSIX")


@contextmanager
def _full_disk(size: int) -> Iterator[None]:
    """The system refuses to make files larger than that, in the midst of a write, as a full disk
    does; Python raises an :class:`OSError`."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("mode", ["w", "wb"])
def test_full_disk_keeps_the_old_file(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    content = "x" * 100_000
    with _full_disk(5_000), pytest.raises(OSError, match="too large"):  # noqa: SIM117
        with atomic_write(path, mode) as file:
            file.write(content if mode == "w" else content.encode())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_failure_at_the_last_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space left"), atomic_write(path) as file:
        file.write("new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk_leaves_no_half_folder(tmp_path: Path) -> None:
    with _full_disk(100), pytest.raises(OSError, match="too large"):  # noqa: SIM117
        with atomic_folder(tmp_path / "folder") as folder:
            (folder / "a").write_bytes(bytes(1000))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".csv", ".nt", ".sssom.tsv", ".parquet"])
def test_align_on_a_full_disk(call, finished_run: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"links{suffix}"
    arguments = ("align", finished_run, "--out", out, "--target-precision", "null")
    assert call(*arguments, "--base", "http://a.org/")[0] == 0  # what is cached may be written
    old = out.read_bytes()
    with _full_disk(64):
        code, err = call(*arguments, "--base", "http://a.org/")
    assert code == 1
    assert err.startswith("pyg-mmea: error: ")
    assert err.count("\n") == 1
    assert "too large" in err
    assert out.read_bytes() == old
    assert list(tmp_path.glob(".*")) == []


def test_report_on_a_full_disk(call, finished_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    out.write_text("old")
    with _full_disk(5_000):
        code, err = call("report", finished_run, "--out", out)
    assert (code, err.count("\n")) == (1, 1)
    assert out.read_text() == "old"


def test_ledger_on_a_full_disk(tmp_path: Path) -> None:
    """A decision is there in full or not at all, and the next one is not spoiled."""
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append([{"decision": "round", "epoch": 0}])
    with _full_disk(120), pytest.raises(OSError, match="too large"):
        ledger.append([{"decision": "round", "epoch": 1, "note": "x" * 500}])
    assert [entry["epoch"] for entry in ledger.read()] == [0]
    ledger.append([{"decision": "round", "epoch": 2}])
    assert [entry["epoch"] for entry in ledger.read()] == [0, 2]
    for line in (tmp_path / "ledger.jsonl").read_text().splitlines():
        json.loads(line)


KILLED = """
import os, signal, sys
from pyg_mmea.utils.io import atomic_write
with atomic_write(sys.argv[1]) as file:
    file.write("half of it")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    with atomic_write(path) as file:  # what is left behind is in nobody's way
        file.write("new")
    assert path.read_text() == "new"


def _unwritable() -> Path:
    """A folder that the system keeps even the superuser from writing to."""
    folder = Path("/sys/kernel")
    if not folder.is_dir():
        pytest.skip("needs Linux")
    try:
        (folder / "pyg_mmea").mkdir()
    except OSError:
        return folder
    pytest.skip("everything can be written here")


@pytest.mark.parametrize("verb", ["align", "report"])
def test_folder_that_cannot_be_written(call, finished_run: Path, verb: str) -> None:
    folder = _unwritable()
    code, err = call(verb, finished_run, "--out", folder / "out.csv")
    assert code == 1
    assert err.count("\n") == 1
    assert "ermission" in err or "Read-only" in err
    assert str(folder) in err


def test_train_into_a_folder_that_cannot_be_written(call) -> None:
    folder = _unwritable()
    code, err = call("train", "--data=FakeMMKG", "--quiet", "--out", folder / "run")
    assert (code, err.count("\n")) == (1, 1)
    assert str(folder / "run") in err


def test_a_file_in_place_of_the_folder(call, finished_run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    code, err = call("align", finished_run, "--out", tmp_path / "file" / "links.csv")
    assert (code, err.count("\n")) == (2, 1)
    code, err = call("train", "--data=FakeMMKG", "--quiet", "--out", tmp_path / "file")
    assert (code, err.count("\n")) == (2, 1)
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "links.csv").mkdir()
    code, err = call("align", finished_run, "--out", tmp_path / "links.csv")
    assert (code, err.count("\n")) == (2, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "links.csv"]


def test_two_trainings_of_one_run(call, finished_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    copytree(finished_run, run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with file_lock(run / "train"):
        code, err = call("train", "--out", run, "--resume", "--quiet")
    assert code == 1
    assert f"another process is training the run in '{run}'" in err
    assert err.count("\n") == 1
    assert all(path.read_bytes() == content for path, content in before.items())


def test_only_ordinary_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, rule in ((tmp_path / "pipe", "ordinary"), ("/dev/zero", "ordinary")):
        with pytest.raises(OSError, match=rule):
            open_ordinary(path)
    with pytest.raises(IsADirectoryError):
        open_ordinary(tmp_path)
    num = len(os.listdir("/dev/fd"))
    with pytest.raises(OSError, match="ordinary"):
        open_ordinary("/dev/zero")
    assert len(os.listdir("/dev/fd")) == num  # nothing stays open


@pytest.mark.parametrize(
    ("path", "is_inside"),
    [
        ("a.png", True),
        ("b/../a.png", True),
        ("..a.png", True),
        ("../a.png", False),
        ("b/../../a.png", False),
        ("/etc/passwd", False),
        ("../folder-2/a.png", False),
    ],
)
def test_inside(path: str, is_inside: bool, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    assert inside(folder, path) == (folder / path if is_inside else None)
    assert (inside(Path("/"), path) is None) is False  # the root holds everything
