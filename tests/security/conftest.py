import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from pyg_mmea.cli import main

# Few examples, always the same; the long profile is for those who look for more.
settings.register_profile(
    "short",
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.register_profile(
    "long", settings.get_profile("short"), max_examples=5_000, derandomize=False
)
settings.load_profile("short")

_STARTS = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen")
_CALLS = ("socket.connect", "socket.getaddrinfo", "urllib.Request")
# Python offers no way to take a hook away again, so that it looks whether it is wanted.
_watched: list[tuple[Path, list[str]]] = []


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if not _watched:
        return
    folder, seen = _watched[-1]
    if event in _STARTS or event in _CALLS:
        if arguments[0] != "uname":  # libraries ask for the machine when they are imported
            seen.append(f"{event} {arguments[:1]}")
    elif event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
        path, _, flags = arguments
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        place = Path(os.path.abspath(os.fsdecode(path)))
        if writes and not place.is_relative_to(folder) and place != Path(os.devnull):
            seen.append(f"written: {place}")


sys.addaudithook(_hook)

Call = Callable[..., tuple[int, str]]


@pytest.fixture
def misdeeds(tmp_path: Path) -> Iterator[list[str]]:
    """Programs started, machines asked, and files written outside of the folder of the test."""
    seen: list[str] = []
    _watched.append((tmp_path, seen))
    yield seen
    _watched.pop()


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Calls the command line and gives exit code and stderr."""

    def run(*arguments: object) -> tuple[int, str]:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return code, capsys.readouterr().err

    return run


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small finished run."""
    folder = tmp_path_factory.mktemp("security") / "run"
    arguments = ["--data=FakeMMKG", "--epochs=1", "--training.accelerator=cpu", "--quiet"]
    small = ["--model.channels=8", "--model.modality_channels=8", "--training.num_negatives=5"]
    small += ["--training.refit=false", "--calibration=none"]
    assert main(["train", *arguments, *small, f"--out={folder}"]) == 0
    return folder
