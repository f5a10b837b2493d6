import sys
from pathlib import Path

import pytest

from pyg_mmea.cli import demo


def test_demo(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = (
        *("--data.num_products", "24", "--model.channels", "8", "--model.modality_channels", "8"),
        *("--training.epochs", "2", "--training.switch_epoch", "1", "--training.accelerator=cpu"),
    )
    monkeypatch.setattr(demo, "_SETTINGS", settings)
    code, out, err = cli("demo", "--out", tmp_path / "demo")
    assert code == 0
    assert [line.split()[2] for line in out.splitlines() if line.startswith("$ ")] == [
        "train",
        "evaluate",
        "align",
        "report",
    ]
    assert "data:image/jpeg" in (tmp_path / "demo" / "run" / "report.html").read_text()
    assert (tmp_path / "demo" / "alignment.csv").read_text().startswith("source,target,")
    assert list((tmp_path / "demo" / "data").rglob("*.jpg"))
    assert (tmp_path / "demo" / "run" / "result.json").exists()
    assert "alignment.csv" in err
    # A second call takes what is there; without the extra there is no report.
    monkeypatch.setitem(sys.modules, "jinja2", None)
    code, _, err = cli("demo", "--out", tmp_path / "demo")
    assert code == 0
    assert "There is no report. A report needs pip install '.[report]' from a clone" in err
