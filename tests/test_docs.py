"""The examples of the guides are run, with less training."""

import re
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

from pyg_mmea.cli.train import build_parser
from pyg_mmea.datasets import FakeMMKG
from pyg_mmea.training import Aligner, TrainingConfig

DOCS = Path(__file__).parents[1] / "docs"
FEW = TrainingConfig(epochs=7, switch_epoch=1, round_every=1, lr=0.02)


def blocks(guide: str, language: str) -> list[str]:
    pattern = rf"\.\. code-block:: {language}\n\n((?:(?:    .*)?\n)+)"
    text = (DOCS / guide).read_text(encoding="utf-8")
    return [textwrap.dedent(block) for block in re.findall(pattern, text)]


@pytest.fixture
def guide(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Where the code of a guide is run, so that it is found by class path, too."""
    module = ModuleType("my_package")
    monkeypatch.setitem(sys.modules, "my_package", module)
    fit = Aligner.fit

    def quick(self: Aligner, data: object) -> Aligner:
        self.training = FEW
        return fit(self, data, quiet=True)

    monkeypatch.setattr(Aligner, "fit", quick)
    return module


def test_baselines(guide: ModuleType) -> None:
    for code in blocks("baselines.rst", "python"):
        exec(code, guide.__dict__)
    assert {"source", "confidence"} < set(guide.links.columns)
    assert guide.light.num_rounds == 3


def test_calibration(guide: ModuleType, tmp_path: Path) -> None:
    (code,), (text,) = blocks("calibration.rst", "python"), blocks("calibration.rst", "yaml")
    guide.data = FakeMMKG()[0]
    exec(code, guide.__dict__)
    assert guide.aligner.result["num_pseudo_labels"] > 0
    config = tmp_path / "settings.yaml"
    config.write_text(text)
    parser = build_parser()
    settings = parser.parse_args(["--config", str(config), "--data=FakeMMKG", "--out=none"])
    built = parser.instantiate(settings)
    assert isinstance(built.calibration.proposer, guide.PictureProposer)
    assert built.training.switch_epoch == "auto"


def test_models(guide: ModuleType) -> None:
    (code,) = blocks("models.rst", "python")
    guide.data = FakeMMKG()[0]
    exec(code, guide.__dict__)
    assert guide.aligner.result["model"] == "MEAformer"
    text = (DOCS / "models.rst").read_text(encoding="utf-8")
    for path in re.findall(r"``(benchmarks/configs/\w+\.yaml)``", text):
        assert (DOCS.parent / path).is_file(), path


def test_extending(guide: ModuleType) -> None:
    for code in blocks("extending.rst", "python"):
        exec(code, guide.__dict__)
    assert "price" in guide.aligner.result["view_weights"]
    assert "price_frozen" in guide.aligner.result["view_weights"]
    parser = build_parser()
    options = ["--model.structure_encoder=my_package.TwoHops"]
    options += ["--objective=my_package.WithTriplets", "--out=none"]
    options += ["--data=FakeMMKG", "--data.transform=my_package.AddPrices"]
    built = parser.instantiate(parser.parse_args(options))
    assert isinstance(built.data.transform, guide.AddPrices)


def test_review(guide: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    guide.data = FakeMMKG()[0]
    Aligner().fit(guide.data).save("runs/cli")
    (code,) = blocks("review.rst", "python")
    exec(code, guide.__dict__)
    assert list(guide.decisions.in_force()) == [(guide.source, guide.target)]
