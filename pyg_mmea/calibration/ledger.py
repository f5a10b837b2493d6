"""The append-only record of what happened to every pseudo-label."""

import itertools
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from filelock import Timeout

from pyg_mmea.data.textfile import read_json
from pyg_mmea.errors import DataError
from pyg_mmea.utils.io import RESULT, file_lock, open_ordinary

SCHEMA_VERSION = 1
LEDGER_NAME = "pseudo_labels.jsonl"
BY_HAND = "by hand"
_PATIENCE = 30  # seconds; entries are written in milliseconds

Entry = Mapping[str, Any]


class Ledger:
    """A file of one JSON object a line. Lines are only ever added, by one process or thread at a
    time, and are on disk when :meth:`append` returns.

    Every entry has :obj:`"schema"`, :obj:`"run"` (an id of the run) and :obj:`"decision"`:

    * :obj:`"round"`: sums up a round of calibration;
    * :obj:`"accept"` and :obj:`"drop"`: a pair begins or ends to train;
    * :obj:`"reject"`: somebody rejected the pair; like an acceptance with the reason
      :obj:`"by hand"` it binds all later training;
    * :obj:`"undo"`: somebody took a decision by hand back;
    * :obj:`"resume"`: a run goes on from a checkpoint, so that what was decided after the first
      :obj:`"entry"` entries, other than by hand, happens again and is void.

    Args:
        path (str or Path): The file, made at the first entry.
        run (str, optional): Id of the run, for a file without entries.
            (default: :obj:`None`, which draws one)
    """

    def __init__(self, path: str | Path, run: str | None = None) -> None:
        self.path = Path(path)
        # No spreadsheet takes this for a number.
        self._run = run or f"run-{uuid.uuid4().hex[:12]}"
        self._lock = file_lock(self.path)

    @classmethod
    def of(cls, folder: str | Path) -> Self:
        """Returns the ledger of the folder of a run, with the id that its :obj:`result.json` has,
        if there is one."""
        result = Path(folder, RESULT)
        known = read_json(result).get("run") if result.is_file() else None
        return cls(Path(folder, LEDGER_NAME), known)

    @property
    def run(self) -> str:
        """Id of the run, that of the first entry if there is one."""
        first = self.read(1)
        return first[0]["run"] if first else self._run

    @property
    def num_entries(self) -> int:
        """Number of entries of the file; other processes may add some."""
        if not self.path.exists():
            return 0
        with open_ordinary(self.path) as file:
            return sum(line.endswith(b"\n") for line in file)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes and threads from adding entries, so that what is read stays true
        until what follows from it is written.

        Raises:
            RuntimeError: If another one holds the lock for half a minute.
        """
        try:
            with self._lock.acquire(timeout=_PATIENCE, poll_interval=0.01):
                yield
        except Timeout as error:
            raise RuntimeError(
                f"{self.path} has been locked by another process for {_PATIENCE} s"
            ) from error

    def append(self, entries: Iterable[Entry]) -> None:
        """Writes entries in one go and waits until they are on disk.

        Raises:
            RuntimeError: If the ledger is locked, see :meth:`locked`.
        """
        found = list(entries)
        if not found:
            return
        with self.locked(), self.path.open("ab+") as file:
            head = {"schema": SCHEMA_VERSION, "run": self.run}
            lines = [json.dumps({**head, **entry}, ensure_ascii=False) + "\n" for entry in found]
            self._drop_unfinished_line(file)
            file.write("".join(lines).encode())
            file.flush()
            os.fsync(file.fileno())

    def resume(self, entry: int) -> None:
        """Records that all decisions after the first :obj:`entry` entries are void, if there are
        any."""
        if self.num_entries > entry:
            self.append([{"decision": "resume", "entry": entry}])

    def read(self, limit: int | None = None) -> list[dict[str, Any]]:
        """Returns all entries, or the first :obj:`limit`; a last line that a killed run left
        unfinished is none."""
        if not self.path.exists():
            return []
        with open_ordinary(self.path) as file:  # a character can be unfinished, too
            lines = itertools.islice(file, limit)
            return self._parse(line for line in lines if line.endswith(b"\n"))

    def read_on(self, start: int) -> tuple[list[dict[str, Any]], int]:
        """Returns the entries from a byte on, and the byte to go on from at the next call.

        Raises:
            RuntimeError: If the ledger is shorter than that, so that it is not what was read.
        """
        size = self.path.stat().st_size if self.path.exists() else 0
        if size < start:
            raise RuntimeError(f"{self.path} was deleted or cut while it was in use")
        if size == 0:
            return [], 0
        with open_ordinary(self.path) as file:
            file.seek(start)
            lines = file.read().split(b"\n")[:-1]
        return self._parse(lines), start + sum(len(line) + 1 for line in lines)

    def _parse(self, lines: Iterable[bytes]) -> list[dict[str, Any]]:
        entries = []
        for line in lines:
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"holds what is no JSON ({error})", self.path) from error
            if not isinstance(entry, dict) or "run" not in entry:
                raise DataError("holds what is no entry of a ledger", self.path)
            entries.append(entry)
        return entries

    @staticmethod
    def _drop_unfinished_line(file: Any) -> None:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            file.seek(end - 1)
            if file.read(1) == b"\n":
                break
            end -= 1
        file.truncate(end)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}('{self.path}')"


def in_force(entries: Iterable[Entry]) -> list[Entry]:
    """Returns the entries that no later :obj:`"resume"` made void."""
    kept: list[tuple[int, Entry]] = []
    for place, entry in enumerate(entries):
        if entry["decision"] == "resume":
            kept = [(i, old) for i, old in kept if i < entry["entry"] or is_by_hand(old)]
        else:
            kept.append((place, entry))
    return [entry for _, entry in kept]


def replay(entries: Iterable[Entry]) -> dict[int, set[tuple[int, int]]]:
    """Returns the pseudo-labels after each epoch with a round of calibration, which are those that
    the epochs after it train on, up to the next one."""
    pairs: set[tuple[int, int]] = set()
    history: dict[int, set[tuple[int, int]]] = {}
    for entry in in_force(entries):
        if is_by_hand(entry):
            continue
        if entry["decision"] == "accept":
            pairs.add(tuple(entry["pair"]))
        elif entry["decision"] == "drop":
            pairs.discard(tuple(entry["pair"]))
        history[entry["epoch"]] = set(pairs)
    return history


def decided_by_hand(entries: Iterable[Entry]) -> tuple[list[list[int]], list[list[int]]]:
    """Returns the pairs that people accepted and those that they rejected; of several decisions on
    a pair the last one counts, and one that was undone does not."""
    accepted, rejected = (
        [entry["pair"] for entry in last_by_hand(entries) if entry["decision"] == decision]
        for decision in ("accept", "reject")
    )
    return accepted, rejected


def last_by_hand(entries: Iterable[Entry]) -> list[Entry]:
    """Returns the entries of what people decided on pairs, the last one on each, without those that
    were undone."""
    last = {tuple(entry["pair"]): entry for entry in entries if is_by_hand(entry)}
    return [entry for entry in last.values() if entry["decision"] != "undo"]


def is_by_hand(entry: Entry) -> bool:
    """Tells decisions of people from those of the calibration."""
    return entry.get("reason") == BY_HAND
