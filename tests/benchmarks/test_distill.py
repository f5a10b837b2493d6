import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from pyg_mmea.cli.distill import _parser

Script = Callable[[str], ModuleType]


def _test(hits: float) -> dict:
    row = {"hits@1": hits, "hits@5": 0.95, "hits@10": 1.0, "mrr": (1 + hits) / 2}
    return {"num_links": 77, "mean": row}


def _part(hits: float, channels: int, embed_ms: float | None) -> dict:
    sizes = {"weight_bytes": 2_500_000, "embedding_bytes": 9_000_000, "num_parameters": 625_000}
    return {
        **sizes,
        "test": _test(hits),
        "channels": channels,
        "embed_ms": embed_ms,
        "search_ms": channels / 20,
    }


def test_the_page_has_what_was_run(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = script("distill/report.py")
    monkeypatch.setattr(report, "HERE", tmp_path)
    folder = tmp_path / "results" / "emoji"
    folder.mkdir(parents=True)
    common = {"git": "abc", "teacher_git": "abc", "teacher_seconds": 99}
    for name, hits, modalities in (("image", 0.4, ["image"]), ("channels_64", 0.8, None)):
        result = {
            **common,
            "command": f"pyg-mmea train\npyg-mmea distill {name}",
            "config": {"modalities": modalities, "hops": 2},
            "train_seconds": 12.3,
            "teacher": _part(0.9, 1920, None),
            "student": _part(hits, 64, 3.21),
        }
        (folder / f"{name}.json").write_text(json.dumps(result))
    names = ("pictures", "teacher", "seen", "unseen")
    unseen = {name: _test(hits) for name, hits in zip(names, (0.5, 0.7, 0.65, 0.6), strict=True)}
    (folder / "unseen.json").write_text(json.dumps({**common, **unseen, "command": "python run"}))
    report.main()
    page = (tmp_path / "README.md").read_text()
    rows = [
        line for line in page.splitlines() if line.startswith(("| `", "| teacher", "| student"))
    ]
    assert rows[0] == (
        "| teacher | all |  | 1,920 | 0.900 | 0.950 | 1.000 | 0.950 | 625,000 | 2.50 | 9.00 | "
        "needs both graphs | 100% | 99 |"
    )
    assert rows[1].startswith("| `channels_64` | all | 2 | 64 | 0.800 |")
    assert rows[1].endswith("| 3.2 | 3% | 12 |")
    assert rows[2].startswith("| `image` | image | 2 |")
    assert rows[-1] == "| student | distilled without them | 0.600 | 0.950 | 1.000 | 0.800 |"
    assert page.count("pyg-mmea train\n") == 1
    assert "Commits: abc." in page


def test_students_can_be_asked_for(script: Script) -> None:
    run = script("distill/run.py")
    for name, options in run.STUDENTS.items():
        _parser().parse_args(["RUN", "--out", name, *options])
    shown = run.shown(["train", "--data.root", f"{run.data_root()}/emoji"], ["distill", "a b"])
    assert shown == "pyg-mmea train --data.root $PYG_MMEA_DATA/emoji\npyg-mmea distill 'a b'"


def test_results_of_other_code_are_refused(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = script("distill/run.py")
    monkeypatch.setattr(run, "HERE", tmp_path)
    monkeypatch.setattr(run, "describe_source", lambda: {"version": "1", "git": "new"})
    teacher = {"git": "abc", "train_seconds": 9.0}
    with pytest.raises(RuntimeError, match="'image' is of commit old, not of new"):
        run.keep("image", {"git": "old"}, "pyg-mmea distill", teacher)
    assert not list(tmp_path.iterdir())
    run.keep("image", {"git": "new"}, "pyg-mmea distill", teacher)
    kept = json.loads((tmp_path / "results" / "emoji" / "image.json").read_text())
    assert (kept["git"], kept["teacher_git"]) == ("new", "abc")
