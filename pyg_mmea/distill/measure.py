"""What a student is worth beside its teacher: accuracy, size and time."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_mmea.distill.inputs import entity_inputs, take_rows
from pyg_mmea.distill.student import Student, stored_state
from pyg_mmea.metrics import evaluate_alignment
from pyg_mmea.training import Aligner
from pyg_mmea.typing import SIDES
from pyg_mmea.utils.similarity import normalize

_ROWS = 1000  # entities that a latency is for
_NEIGHBORS = 10
_REPEATS = 7


def compare(
    data: HeteroData,
    aligner: Aligner,
    student: Student,
    embeddings: dict[str, Tensor],
    csls_k: int = 10,
) -> dict[str, Any]:
    """Measures teacher and student in the same way: metrics on the test links that the run was not
    told, sizes, and milliseconds for 1,000 entities on one thread.

    Latency of embedding is that of the encoder on inputs that are there, without the means over
    neighbours; the teacher has none, as it cannot embed an entity alone. Latency of search is that
    of comparing 1,000 sources with all targets and taking the ten nearest.

    Args:
        data (HeteroData): The pair.
        aligner (Aligner): The teacher.
        student (Student): The student.
        embeddings (dict): Its embeddings as they are stored.
        csls_k (int): Neighbourhood of CSLS. (default: :obj:`10`)

    Returns:
        dict: :obj:`"teacher"` and :obj:`"student"`, each with :obj:`"test"` (see
        :func:`~pyg_mmea.metrics.evaluate_alignment`; :obj:`None` without test links),
        :obj:`"channels"`, :obj:`"num_parameters"`, :obj:`"weight_bytes"`,
        :obj:`"embedding_bytes"`, :obj:`"embed_ms"` and :obj:`"search_ms"`.
    """
    links = aligner.links(data, "test").cpu()
    inputs = entity_inputs(data, "source", student.encoder.spec)
    rows = torch.arange(_ROWS) % data["source"].num_nodes
    weights = stored_state(student.encoder, embeddings["source"].dtype)
    out = {}
    with _one_thread(), torch.no_grad():
        for name, z, tensors in (
            ("teacher", aligner.embeddings, list(aligner.weights.values())),
            ("student", embeddings, list(weights.values())),
        ):
            unit_s, unit_t = (normalize(z[side].float()) for side in SIDES)
            test = None
            if links.size(1) > 0:
                test = evaluate_alignment(unit_s, unit_t, links, "test", csls_k)
            out[name] = {
                "test": test,
                "channels": unit_s.size(1),
                "num_parameters": sum(x.numel() for x in tensors),
                "weight_bytes": _bytes(tensors),
                "embedding_bytes": _bytes(z.values()),
                "embed_ms": None,
                "search_ms": _milliseconds(partial(_search, unit_s[rows], unit_t)),
            }
        chosen = take_rows(inputs, rows)
        encoder = student.encoder.eval()
        out["student"]["embed_ms"] = _milliseconds(partial(encoder, chosen))
    return out


def comparison_rows(comparison: dict[str, Any]) -> list[list[str]]:
    """The rows of a table of what :func:`compare` returns, names of the columns first."""
    teacher, student = comparison["teacher"], comparison["student"]
    rows = [["", "teacher", "student"]]
    if teacher["test"] is not None:
        for name in ("hits@1", "hits@5", "hits@10", "mrr"):
            label = "test MRR" if name == "mrr" else f"test {name.capitalize()}"
            values = (part["test"]["mean"][name] for part in (teacher, student))
            rows.append([label, *(f"{value:.3f}" for value in values)])
    for name, label, show in (
        ("channels", "numbers an entity", _count),
        ("num_parameters", "parameters", _count),
        ("weight_bytes", "weights", _size),
        ("embedding_bytes", "embeddings", _size),
        ("embed_ms", "embedding 1,000 entities", _time),
        ("search_ms", "searching for 1,000 entities", _time),
    ):
        rows.append([label, show(teacher[name]), show(student[name])])
    return rows


def _count(value: int) -> str:
    return f"{value:,}"


def _size(value: int) -> str:
    return f"{value / 1e6:.2f} MB"


def _time(value: float | None) -> str:
    return "needs both graphs" if value is None else f"{value:.1f} ms"


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(x.numel() * x.element_size() for x in tensors)


def _search(unit_s: Tensor, unit_t: Tensor) -> Tensor:
    return (unit_s @ unit_t.t()).topk(min(_NEIGHBORS, unit_t.size(0)), dim=1).indices


def _milliseconds(call: Callable[[], object]) -> float:
    """The shortest of some runs: what the machine can do when it is left alone."""
    seconds = []
    for _ in range(_REPEATS + 1):  # the first one warms up
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return round(1e3 * min(seconds[1:]), 3)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
