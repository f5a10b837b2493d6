import subprocess
from pathlib import Path

import pytest

import pyg_mmea
from pyg_mmea.cli import provenance


def test_checkout(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        name = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run(
            ["git", *name, "-C", tmp_path, *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    git("init")
    (tmp_path / "__init__.py").touch()
    assert provenance._commit(tmp_path) is None  # not tracked: the checkout of something else
    git("add", ".")
    git("commit", "-m", "first")
    assert provenance._commit(tmp_path) == git("rev-parse", "HEAD")
    (tmp_path / "__init__.py").write_text("changed")
    assert provenance._commit(tmp_path) == git("rev-parse", "HEAD") + "-dirty"


def test_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert provenance.describe_source() == {"version": pyg_mmea.__version__, "git": None}
