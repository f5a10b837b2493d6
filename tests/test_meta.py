"""Tests of the repository itself: arrows of imports, documented and tested names, examples."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest
from jsonargparse import Namespace

import pyg_mmea
from pyg_mmea.baselines import Baseline
from pyg_mmea.cli.settings import build_parser

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pyg_mmea"
# A part imports only from parts of lower rank or from itself; 'loss' and 'metrics' are siblings.
RANK = {
    "": 0,
    "typing": 0,
    "errors": 0,
    "resolver": 0,
    "printable": 0,
    "utils": 1,
    "data": 2,
    "datasets": 3,
    "nn": 4,
    "loss": 5,
    "metrics": 5,
    "calibration": 6,
    "baselines": 7,
    "training": 8,
    "inspect": 9,
    "distill": 9,
    "report": 10,
    "review": 11,
    "cli": 12,
    "testing": 6,
    "__main__": 13,
}
SUBPACKAGES = sorted(module.name for module in pkgutil.iter_modules([str(PACKAGE)]) if module.ispkg)
# The smallest settings that run everything; a new example needs a line here.
EXAMPLES = {
    "own_data_csv.py": ["--num_products=24", "--epochs=2"],
    "plain_pyg_loop.py": ["--num_products=24", "--epochs=2", "--channels=8"],
}


def _part(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            # 'from pyg_mmea import datasets' imports the part, 'from pyg_mmea.nn import X' not.
            names |= {f"{module}.{a.name}" if module == "pyg_mmea" else module for a in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name.split(".")[0] == "pyg_mmea"}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.stem)
def test_imports_go_one_way(path: Path) -> None:
    inside = path.relative_to(PACKAGE)
    own = (
        inside.parts[0].removesuffix(".py")
        if inside.name != "__init__.py" or (len(inside.parts) > 1)
        else ""
    )
    for name in _imports(path):
        other = _part(name)
        other = other if other in RANK else ""  # such as __version__
        assert other == own or RANK[other] < RANK[own] or own == other == "", f"{path}: {name}"


def _public() -> list[tuple[str, str]]:
    return [
        (package, name)
        for package in SUBPACKAGES
        for name in importlib.import_module(f"pyg_mmea.{package}").__all__
    ]


@pytest.mark.parametrize(("package", "name"), _public())
def test_public_names_are_documented_and_tested(package: str, name: str, tests_text: str) -> None:
    value = getattr(importlib.import_module(f"pyg_mmea.{package}"), name)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert value.__doc__, f"{name} has no docstring"
        assert not value.__doc__.startswith(f"{name}("), f"{name} has a generated docstring"
    assert re.search(rf"\b{name}\b", tests_text), f"no test names {name}"


@pytest.fixture(scope="module")
def tests_text() -> str:
    files = [path for path in ROOT.joinpath("tests").rglob("test_*.py") if path != Path(__file__)]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def test_each_example_has_settings() -> None:
    assert {path.name for path in (ROOT / "examples").glob("*.py")} <= set(EXAMPLES)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.stem)
def test_example_uses_each_flag(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    flags = re.findall(r'add_argument\("--(\w+)"', source)
    assert len(source.splitlines()) <= 120
    for flag in flags:
        assert re.search(rf"\bargs\.{flag}\b", source), f"--{flag} is parsed and not used"


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.stem)
def test_example_runs(path: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(path), *EXAMPLES[path.name]]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "path", sorted((ROOT / "benchmarks").glob("**/configs/*.yaml")), ids=lambda p: p.stem
)
def test_benchmark_settings_parse(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "\nbaseline:" in path.read_text(encoding="utf-8"):
        monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
        parser = importlib.import_module("baseline").build_parser()
        # A file that names features needs a dataset that can build them.
        config = parser.parse_args(["--data=DBP15K", "--config", str(path), "--out=none"])
        built = parser.instantiate(Namespace(baseline=config.baseline))
        assert isinstance(built.baseline, Baseline)
        return
    parser = build_parser()
    config = parser.parse_args(["--config", str(path), "--data=FakeMMKG", "--out=none"])
    assert parser.instantiate(config).training.epochs > 0


def test_version_is_everywhere_the_same() -> None:
    version = pyg_mmea.__version__
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
