import logging

import pytest

from pyg_mmea.data.findings import Findings
from pyg_mmea.errors import DataError


def test_totals_and_examples() -> None:
    findings = Findings(max_examples=2)
    for line in range(1, 6):
        findings.error("id twice", f"id {line} is there twice", "a.csv", line)
    findings.warnings("no number", "a.csv", [(7, "'x' is no number")])
    assert (findings.num_errors, findings.num_warnings) == (5, 1)
    rule = findings.rules["id twice"]
    assert rule.count == 5
    assert [str(example) for example in rule.examples] == [
        "a.csv:1: id 1 is there twice",
        "a.csv:2: id 2 is there twice",
    ]


def test_strict_raises_errors_and_logs_warnings(caplog: pytest.LogCaptureFixture) -> None:
    findings = Findings(strict=True)
    findings.warning("picture", "is missing", "a.png")
    findings.warning("picture", "is missing", "b.png")
    with pytest.raises(DataError, match=r"a\.csv:3: is empty"):
        findings.error("id empty", "is empty", "a.csv", 3)
    with caplog.at_level(logging.WARNING):
        findings.log()
    assert caplog.messages == ["a.png: is missing (2 of this kind)"]
