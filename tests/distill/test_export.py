import sys
from pathlib import Path

import pytest
import torch

from pyg_mmea.distill import EntityEncoder, InputSpec, Student, export, export_student
from pyg_mmea.distill.inputs import entity_inputs, take_rows
from pyg_mmea.typing import SIDES


@pytest.fixture
def small(pair) -> Student:
    encoder = EntityEncoder(InputSpec.from_data(pair, ["image", "relation"], 1), 4)
    encoder.standardize([entity_inputs(pair, side, encoder.spec) for side in SIDES])
    return Student(encoder.eval(), {})


def test_pt2(pair, small: Student, tmp_path: Path) -> None:
    path = tmp_path / "student.pt2"
    assert export_student(small, path) < 1e-5
    extra = {"student.json": ""}
    program = torch.export.load(path, extra_files=extra).module()
    assert '"channels": 4' in extra["student.json"]
    rows = torch.arange(pair["source"].num_nodes)
    inputs = take_rows(entity_inputs(pair, "source", small.encoder.spec), rows)
    torch.testing.assert_close(program(inputs), small.embed(pair)["source"])


def test_onnx(pair, small: Student, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    path = tmp_path / "student.onnx"
    assert export_student(small, path) < 1e-5
    session = runtime.InferenceSession(str(path))
    assert "dropout" in session.get_modelmeta().custom_metadata_map["student.json"]
    inputs = take_rows(entity_inputs(pair, "target", small.encoder.spec), torch.arange(40))
    assert [x.name for x in session.get_inputs()] == list(inputs)
    values = {name: x.numpy() for name, x in inputs.items()}
    (out,) = session.run(["embedding"], values)
    expected = small.embed(pair)["target"][:40]
    torch.testing.assert_close(torch.from_numpy(out), expected, atol=1e-5, rtol=0)


def test_refusals(small: Student, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"needs to end in one of .pt2, .onnx \(got '.*a.pt'\)"):
        export_student(small, tmp_path / "a.pt")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install '\.\[onnx\]"):
        export_student(small, tmp_path / "a.onnx")
    monkeypatch.setattr(export, "_run_pt2", lambda content, inputs: torch.zeros(1))
    with pytest.raises(RuntimeError, match="is off by"):
        export_student(small, tmp_path / "a.pt2")
    assert not list(tmp_path.iterdir())


def test_single_precision_is_what_is_compared(small: Student, tmp_path: Path) -> None:
    """A graph of other weights is noticed."""
    export_student(small, tmp_path / "a.pt2")
    content = (tmp_path / "a.pt2").read_bytes()
    inputs = export.random_inputs(small.encoder, 3)
    before = export._run_pt2(content, inputs)
    with torch.no_grad():
        assert before.allclose(small.encoder(inputs), atol=1e-6)
        small.encoder.lins["image"].weight.neg_()
        assert not before.allclose(small.encoder(inputs), atol=1e-2)
