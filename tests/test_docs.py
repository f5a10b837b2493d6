"""The examples of the guides are run, with less training."""

import glob
import re
import shlex
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch_geometric.transforms import ToUndirected

from pyg_mmea.cli import main
from pyg_mmea.cli.settings import build_parser
from pyg_mmea.data import validate
from pyg_mmea.data.findings import Findings
from pyg_mmea.data.pairfile import read_pair_file
from pyg_mmea.datasets import FakeMMKG
from pyg_mmea.training import Aligner, TrainingConfig

DOCS = Path(__file__).parents[1] / "docs"
FEW = TrainingConfig(epochs=7, switch_epoch=1, round_every=1, lr=0.02)


def blocks(guide: str, language: str) -> list[str]:
    pattern = rf"\.\. code-block:: {language}\n\n((?:(?:    .*)?\n)+)"
    text = (DOCS / guide).read_text(encoding="utf-8")
    return [textwrap.dedent(block) for block in re.findall(pattern, text)]


def table_keys(text: str) -> set[str]:
    """The keys in the second column of tables."""
    rows = re.findall(r"^   \* -.*\n     - (``.*)$", text, re.MULTILINE)
    return {key for row in rows for key in re.findall(r"``(.+?)``", row)}


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


def test_quick_start(guide: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyg_mmea.datasets.Catalogue", FakeMMKG)
    for code in blocks("quick_start.rst", "python"):
        exec(code, guide.__dict__)
    assert guide.loss.isfinite()
    assert {"source", "run"} < set(guide.links.columns)


def test_quick_start_undirected() -> None:
    for transform in (ToUndirected(merge=False), ToUndirected(reduce="min")):
        validate(FakeMMKG(transform=transform)[0])
    with pytest.raises(ValueError, match="edge_type: needs to be in"):
        validate(FakeMMKG(transform=ToUndirected())[0])


def test_quick_start_keys() -> None:
    data = FakeMMKG()[0]
    keys = table_keys((DOCS / "quick_start.rst").read_text(encoding="utf-8"))
    assert {"uri", "edge_type", "edge_label_index", "val_mask"} <= keys
    held = {key for store in data.stores for key in store}
    assert {key for key in keys if "<" not in key} <= held
    assert data["source"].x_relation.layout == data["source"].x_attribute.layout == torch.sparse_coo


def test_baselines(guide: ModuleType) -> None:
    for code in blocks("baselines.rst", "python"):
        exec(code, guide.__dict__)
    assert {"source", "confidence"} < set(guide.links.columns)
    assert guide.light.num_rounds == 3


def test_calibration(guide: ModuleType, tmp_path: Path) -> None:
    (step, loop), (text,) = blocks("calibration.rst", "python"), blocks("calibration.rst", "yaml")
    guide.data = FakeMMKG()[0]
    exec(step, guide.__dict__)
    assert guide.aligner.result["num_pseudo_labels"] > 0
    torch.manual_seed(0)
    exec(loop, guide.__dict__)
    assert guide.summary["num_used"] == guide.calibrator.pool.num_used > 0
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
    scratch = Aligner(objective=guide.JointOnly).fit(guide.data)
    assert scratch.result["test"]["mean"]["hits@1"] > 0.1
    parser = build_parser()
    parser.parse_args(["--objective=my_package.JointOnly", "--data=FakeMMKG", "--out=none"])
    options = ["--model.structure_encoder=my_package.TwoHops"]
    options += ["--objective=my_package.WithTriplets", "--out=none"]
    options += ["--data=FakeMMKG", "--data.transform=my_package.AddPrices"]
    built = parser.instantiate(parser.parse_args(options))
    assert isinstance(built.data.transform, guide.AddPrices)


def test_distill(guide: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for code in blocks("distill.rst", "python"):
        exec(code, guide.__dict__)
    assert guide.nearest.shape == (66, 5)
    torch.testing.assert_close(guide.z_s, guide.z["source"])


def test_distill_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxscript")
    monkeypatch.chdir(tmp_path)
    small = ["--model.channels=16", "--model.modality_channels=16", "--epochs=2", "--quiet"]
    assert main(["train", "--data=FakeMMKG", "--out=runs/cli", *small]) == 0
    few = {"distill": ["--epochs=2", "--hops=0", "--quiet"], "export": []}
    (lines,) = blocks("distill.rst", "sh")
    for line in filter(None, lines.split("\n")):
        verb, *arguments = shlex.split(line.removeprefix("pyg-mmea "))
        assert main([verb, *arguments, *few[verb]]) == 0, f"{line}: {capsys.readouterr().err}"
    assert sorted(path.suffix for path in tmp_path.glob("encoder.*")) == [".onnx", ".pt2"]


def test_review(guide: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    guide.data = FakeMMKG()[0]
    Aligner().fit(guide.data).save("runs/cli")
    (code,) = blocks("review.rst", "python")
    exec(code, guide.__dict__)
    assert list(guide.decisions.in_force()) == [(guide.source, guide.target)]


def test_own_data_file(tmp_path: Path) -> None:
    (text,) = blocks("own_data.rst", "yaml")
    path = tmp_path / "pair.yaml"
    path.write_text(text, encoding="utf-8")
    pair = read_pair_file(path, Findings(strict=True))
    assert pair is not None
    assert pair.source.tables[0].columns["tags"].to == "tag"
    assert pair.target.columns["http://shop.example/mass"].name == "weight"


def test_own_data(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["--model.channels=16", "--model.modality_channels=16", "--training.num_negatives=20"]
    few = {"prepare": ["--num_products=40"], "train": [*small, "--epochs=3", "--quiet"]}
    lines = "".join(blocks("own_data.rst", "sh")).split("\n")
    lines = [line for line in lines if line]
    assert len(lines) == 11
    for line in lines:
        program, *arguments = shlex.split(line)
        if program == "cd":
            monkeypatch.chdir(glob.glob(arguments[0])[0])
            continue
        assert program == "pyg-mmea"
        more = [o for verb, options in few.items() if verb in arguments for o in options]
        assert main([*arguments, *more]) == 0, f"{line}: {capsys.readouterr().err}"
    assert Path("found.csv").read_text(encoding="utf-8").startswith("source,target,confidence")
    (code,) = blocks("own_data.rst", "python")
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["data"]["source"].number_mask.any()
