"""Students as graphs that other programs run."""

import io
import json
from pathlib import Path

import torch
from torch import Tensor

from pyg_mmea.distill.encoder import EntityEncoder
from pyg_mmea.distill.student import SETTINGS, Student
from pyg_mmea.utils.io import atomic_write

SUFFIXES = (".pt2", ".onnx")
_OUTPUT = "embedding"
_TOLERANCE = 1e-4  # of numbers that make up rows of unit length
_BATCHES = (1, 33)  # entities in the batches that are compared


def export_student(student: Student, path: str | Path) -> float:
    """Writes the encoder as a graph of PyTorch (``.pt2``, see :func:`torch.export.export`) or of
    ONNX (``.onnx``), for batches of any size, reads it again and compares it with the module.

    The graph takes what :class:`~pyg_mmea.distill.EntityEncoder` does, each input and its mask by
    name, and gives :obj:`"embedding"`. Everything is dense, bags too: counts :math:`(B, D)`. Means
    over neighbours are inputs, so that whoever calls it needs no graph. The settings of the student
    lie in the file as ``student.json``, in ONNX as a property of that name.

    Args:
        student (Student): The student.
        path (str or Path): The file.

    Returns:
        float: The largest difference between a number of the graph and of the module, on random
        inputs.

    Raises:
        ValueError: If :obj:`path` ends in something else.
        ImportError: If ONNX is asked for and not installed; names the extra.
        RuntimeError: If the graph gives something else than the module; nothing is written then.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"'path' needs to end in one of {', '.join(SUFFIXES)} (got '{path}')")
    encoder = student.encoder.eval()
    settings = json.dumps(student.settings)
    onnx = path.suffix == ".onnx"
    example = random_inputs(encoder, 2)
    program = _program(example, encoder)
    content = _onnx(program, list(example), settings) if onnx else _pt2(program, settings)
    with atomic_write(path, "wb") as file:
        file.write(content)
        file.flush()
        written = Path(file.name).read_bytes()
        difference = 0.0
        for seed, size in enumerate(_BATCHES):
            inputs = random_inputs(encoder, size, seed)
            with torch.no_grad():
                expected = encoder(inputs)
            got = (_run_onnx if onnx else _run_pt2)(written, inputs)
            difference = max(difference, float((got - expected).abs().max()))
        if not difference <= _TOLERANCE:
            raise RuntimeError(f"the exported graph is off by {difference:.2g}; nothing is written")
    return difference


def random_inputs(encoder: EntityEncoder, size: int, seed: int = 0) -> dict[str, Tensor]:
    """Inputs that a student could have, some of them absent.

    Args:
        encoder (EntityEncoder): The student.
        size (int): Number of entities.
        seed (int): Seed of the numbers. (default: :obj:`0`)
    """
    random = torch.Generator().manual_seed(seed)
    out = {}
    for field, name in encoder.spec.fields.items():
        shape = size, encoder.spec.channels[name]
        if name in encoder.spec.bags:
            x = torch.randint(0, 3, shape, generator=random).float()
        else:
            x = torch.randn(shape, generator=random)
        mask = torch.rand(size, generator=random) < 0.7
        out[field], out[f"{field}_mask"] = x * mask.view(-1, 1), mask
    return out


def _program(inputs: dict[str, Tensor], encoder: EntityEncoder) -> torch.export.ExportedProgram:
    batch = torch.export.Dim("batch")
    shapes = ({name: {0: batch} for name in inputs},)
    return torch.export.export(encoder, (inputs,), dynamic_shapes=shapes)


def _pt2(program: torch.export.ExportedProgram, settings: str) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={SETTINGS: settings})
    return buffer.getvalue()


def _run_pt2(content: bytes, inputs: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        return torch.export.load(io.BytesIO(content)).module()(inputs)


def _onnx(program: torch.export.ExportedProgram, names: list[str], settings: str) -> bytes:
    try:
        import onnx
        import onnxscript  # noqa: F401  # what PyTorch's exporter needs
    except ImportError as error:
        raise ImportError("'.onnx' needs ONNX: pip install '.[onnx]' from a clone") from error
    converted = torch.onnx.export(
        program, dynamo=True, input_names=names, output_names=[_OUTPUT], verbose=False
    )
    if converted is None:
        raise RuntimeError("PyTorch made no ONNX program")
    model = converted.model_proto
    onnx.helper.set_model_props(model, {SETTINGS: settings})
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _run_onnx(content: bytes, inputs: dict[str, Tensor]) -> Tensor:
    from onnx.reference import ReferenceEvaluator

    values = {name: x.numpy() for name, x in inputs.items()}
    (out,) = ReferenceEvaluator(content).run([_OUTPUT], values)
    return torch.from_numpy(out)
