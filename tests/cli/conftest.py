from collections.abc import Callable

import pytest

from pyg_mmea.cli import main

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def quick() -> list[str]:
    """Settings of a run with a little of everything: a validation, rounds of calibration."""
    return [
        "--data=FakeMMKG",
        "--model.channels=16",
        "--model.modality_channels=16",
        "--training.num_negatives=20",
        "--epochs=4",
        "--training.switch_epoch=1",
        "--training.round_every=1",
        "--training.val_every=2",
        "--training.refit_epochs=2",
        "--training.checkpoint_every=2",
        "--training.accelerator=cpu",
        "--quiet",
    ]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Calls the command line and gives exit code, stdout and stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code: object = main([str(argument) for argument in arguments])
        except SystemExit as error:
            code = error.code
        out, err = capsys.readouterr()
        assert isinstance(code, int)
        return code, out, err

    return call
