"""What ``SECURITY.md`` promises: its table names tests that exist, and the code has no way to run
what a file says."""

import ast
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyg_mmea.cli.console import HarmlessFormatter, note

ROOT = Path(__file__).parents[2]
SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in SECURITY.splitlines()
    if line.startswith("| ") and "::" in line
]
TESTS = [(row[0], test) for row in ROWS for test in re.findall(r"`([^`]+::[^`]+)`", row[-1])]


def _functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_the_table_is_there() -> None:
    assert len(ROWS) > 30
    assert all(len(row) == 3 and all(row) for row in ROWS)
    assert all(any(what == row[0] for what, _ in TESTS) for row in ROWS)


@pytest.mark.parametrize(("what", "test"), TESTS)
def test_each_row_is_a_test(what: str, test: str) -> None:
    file, name = test.split("::")
    path = ROOT / "tests" / file
    assert path.is_file(), f"{what}: there is no {file}"
    function, _, cases = name.partition("[")
    assert function in _functions(path), f"{what}: {file} has no test '{function}'"
    if cases:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        assert cases.removesuffix("]") in texts, f"{what}: '{function}' has no case {cases}"


def test_each_case_is_in_the_table() -> None:
    corpus = ROOT / "tests" / "security" / "test_corpus.py"
    found: set[str] = set()
    for node in ast.parse(corpus.read_text(encoding="utf-8")).body:
        target = node.target if isinstance(node, ast.AnnAssign) else None
        target = node.targets[0] if isinstance(node, ast.Assign) else target
        if isinstance(target, ast.Name) and target.id in (
            "FEATURES",
            "FOLDERS",
            "TABLES",
            "RUNS",
            "CELLS",
        ):
            assert isinstance(node.value, ast.Dict)
            found |= {key.value for key in node.value.keys if isinstance(key, ast.Constant)}
    assert len(found) > 50
    listed = {test.partition("[")[2].removesuffix("]") for _, test in TESTS}
    assert found <= listed, f"SECURITY.md lacks {sorted(found - listed)}"


# What would run code that a file holds, and the keyword that makes it harmless, if there is one.
FORBIDDEN = {
    **dict.fromkeys(("eval", "exec", "compile", "__import__")),
    **dict.fromkeys(("os.system", "os.popen", "tempfile.mktemp", "shelve.open", "marshal.loads")),
    **dict.fromkeys(("pickle.load", "pickle.loads", "pickle.Unpickler", "pd.read_pickle")),
    **dict.fromkeys(("joblib.load", "dill.load", "cloudpickle.load", "urllib.request.urlopen")),
    **dict.fromkeys(("yaml.load", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all")),
    "yaml.compose": ("Loader", "yaml.SafeLoader"),
    "torch.load": ("weights_only", "True"),
    "np.load": ("allow_pickle", "False"),
    "Image.open": ("formats", "FORMATS"),
    "trainer.fit": ("weights_only", "True"),
}


def _misuses(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        given = {each.arg: ast.unparse(each.value) for each in node.keywords}
        if given.get("shell", "False") != "False":
            yield f"line {node.lineno}: shell=True"
        if name in FORBIDDEN and not (name == "trainer.fit" and "ckpt_path" not in given):
            rule = FORBIDDEN[name]
            if rule is None or given.get(rule[0]) != rule[1]:
                yield f"line {node.lineno}: {ast.unparse(node)[:80]}"


SOURCES = sorted(
    path
    for folder in ("pyg_mmea", "examples", "datasets", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_can_run_code(path: Path) -> None:
    assert list(_misuses(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "line",
    [
        "eval('1')",
        "subprocess.run('ls', shell=True)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, Loader=yaml.Loader)",
        "pickle.load(file)",
        "Image.open(path)",
        "trainer.fit(module, ckpt_path=path)",
    ],
)
def test_misuses_are_seen(line: str) -> None:
    assert list(_misuses(line))


def test_what_is_written_for_people_has_no_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hostile = "\x1b]0;owned\x07 a\u202eb \x9b2J\ttab\nline \ud800"
    note(hostile)
    record = logging.LogRecord("x", logging.WARNING, "x", 1, "%s: %s", (hostile, "é"), None)
    for text in (capsys.readouterr().err, HarmlessFormatter("%(message)s").format(record)):
        assert text.replace("\n", "").replace("\t", "").isprintable()
        assert "owned" in text
        assert "\ttab\nline" in text
        text.encode("utf-8")
    assert "é" in text
