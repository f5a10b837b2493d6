"""Which code made a result."""

import subprocess
from pathlib import Path

import pyg_mmea


def describe_source() -> dict[str, str | None]:
    """The version, and the commit where the package is part of a git checkout, with
    :obj:`-dirty` behind it where tracked files are changed.
    """
    return {"version": pyg_mmea.__version__, "git": _commit(Path(pyg_mmea.__file__).parent)}


def _commit(folder: Path) -> str | None:
    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    # An installed package may lie in the checkout of something else, which does not track it.
    if git("ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
