"""The append-only record of what happened to every pseudo-label."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1


class Ledger:
    """A file of one JSON object a line. Lines are only ever added, except that a run that resumes
    cuts off what was written after the checkpoint it resumes from: those epochs happen again.

    Args:
        path (str or Path): The file, made at the first entry.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    def append(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Writes entries in one go and waits until they are on disk."""
        lines = [
            json.dumps({"schema": SCHEMA_VERSION, **entry}, ensure_ascii=False) + "\n"
            for entry in entries
        ]
        if not lines:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(lines))
            file.flush()
            os.fsync(file.fileno())

    def truncate(self, size: int) -> None:
        """Cuts off what was written after the first :obj:`size` bytes."""
        if self.size > size:
            os.truncate(self.path, size)

    def read(self) -> list[dict[str, Any]]:
        """Returns all entries; a last line that a killed run left unfinished is none."""
        if not self.path.exists():
            return []
        with self.path.open(encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}('{self.path}')"
