import copy

import torch

from pyg_mmea.distill import Student, compare, comparison_rows
from pyg_mmea.training import Aligner
from pyg_mmea.typing import ANCHOR_EDGE


def test_compare(pair, teacher: Aligner, student: Student) -> None:
    threads = torch.get_num_threads()
    z = student.embed(pair)
    half = {side: x.half() for side, x in z.items()}
    weights = {"lin": torch.zeros(3, 4), "bias": torch.zeros(5)}
    small = copy.copy(teacher)
    small._kept = {**teacher._state, "model": weights}
    out = compare(pair, small, student, half)
    assert torch.get_num_threads() == threads
    assert out["teacher"]["test"] == teacher.evaluate(pair)
    assert out["student"]["test"]["num_links"] == int(pair[ANCHOR_EDGE].test_mask.sum())
    assert out["teacher"]["num_parameters"] == 17
    assert out["teacher"]["weight_bytes"] == 4 * 17
    assert out["teacher"]["embed_ms"] is None
    assert out["student"]["channels"] == 16
    num = sum(x.numel() for x in student.encoder.parameters())
    scales = sum(x.numel() for x in student.encoder.buffers())
    assert out["student"]["num_parameters"] == num + scales
    assert out["student"]["weight_bytes"] == 2 * num + 4 * scales
    assert out["student"]["embedding_bytes"] == sum(2 * x.numel() for x in z.values())
    assert min(out["student"]["embed_ms"], out["student"]["search_ms"]) > 0

    rows = comparison_rows(out)
    assert rows[0] == ["", "teacher", "student"]
    assert rows[1] == [
        "test Hits@1",
        *(f"{out[name]['test']['mean']['hits@1']:.3f}" for name in ("teacher", "student")),
    ]
    assert rows[-2][:2] == ["embedding 1,000 entities", "needs both graphs"]
    assert len({len(row) for row in rows}) == 1


def test_without_test_links(fake, teacher: Aligner, student: Student) -> None:
    fake[ANCHOR_EDGE].test_mask[:] = False
    out = compare(fake, teacher, student, student.embed(fake))
    assert out["student"]["test"] is None
    assert comparison_rows(out)[1][0] == "numbers an entity"
