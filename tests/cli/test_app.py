import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

import pyg_mmea
from pyg_mmea.cli import evaluate, main
from pyg_mmea.utils.progress import show_progress


def test_help_and_version(cli) -> None:
    code, out, _ = cli("--help")
    assert code == 0
    for verb in ("demo", "init", "datasets", "train", "evaluate", "align", "distill", "export"):
        assert f"\n  {verb} " in out
    assert cli("--version") == (0, f"pyg-mmea {pyg_mmea.__version__}\n", "")


@pytest.mark.parametrize("arguments", [(), ("fly",), ("--fly",), ("evaluate",)])
def test_bad_usage(cli, arguments: tuple[str, ...]) -> None:
    code, out, err = cli(*arguments)
    assert code == 2
    assert not out
    assert "error: " in err


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ValueError("'x' needs\nto be 1"), 2, "error: 'x' needs to be 1"),
        (FileNotFoundError("a is missing"), 2, "error: a is missing"),
        (RuntimeError("loss 'kl' is not finite"), 1, "error: loss 'kl' is not finite"),
        (MemoryError(), 1, "error: MemoryError"),
        (KeyboardInterrupt("go on"), 130, "interrupted; go on"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_failures(
    cli, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, message: str
) -> None:
    def fail(arguments: list[str]) -> None:
        raise error

    monkeypatch.setattr(evaluate, "run", fail)
    assert cli("evaluate", "RUN") == (code, "", f"pyg-mmea: {message}\n")


@pytest.mark.parametrize("arguments", [("--debug", "evaluate"), ("evaluate", "--debug", "RUN")])
def test_debug_shows_the_traceback(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    def fail(rest: list[str]) -> None:
        raise ValueError(rest)

    monkeypatch.setattr(evaluate, "run", fail)
    with pytest.raises(ValueError, match=r"\[.*\]") as info:
        main(arguments)
    assert "--debug" not in str(info.value)


def test_as_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pyg_mmea", "--version"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.split()[0]) == (0, "pyg-mmea")


@pytest.mark.parametrize("quiet", [True, False])
def test_bars_are_drawn_in_a_terminal_unless_quiet(
    cli, table_folder: Path, monkeypatch: pytest.MonkeyPatch, quiet: bool
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    seen = show_progress

    def terminal(enabled: bool | None) -> AbstractContextManager[None]:
        return seen(True if enabled is None else enabled)

    monkeypatch.setattr("pyg_mmea.cli.app.show_progress", terminal)
    options = ["--quiet"] if quiet else []
    code, _, err = cli("datasets", "check", table_folder / "pair.yaml", *options)
    assert code == 0
    assert ("Opening pictures" in err) != quiet
