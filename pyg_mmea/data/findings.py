"""Problems of files: all of them counted, a few of each shown, or the first one raised."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from os import PathLike
from typing import Literal

from pyg_mmea.errors import DataError

logger = logging.getLogger(__name__)

Severity = Literal["error", "warning"]


@dataclass
class Rule:
    """A broken rule.

    Args:
        name (str): What is wrong, such as :obj:`"id twice"`.
        severity (str): :obj:`"error"` where the pair cannot be built, :obj:`"warning"` where what
            is wrong is left out.
        count (int): How often it is broken. (default: :obj:`0`)
        examples (list[DataError]): The first few places.
    """

    name: str
    severity: Severity
    count: int = 0
    examples: list[DataError] = field(default_factory=list)


class Findings:
    """Collects what is wrong with files.

    Args:
        strict (bool): Raise the first error instead of collecting it. (default: :obj:`False`)
        max_examples (int): Places that are kept for each rule. (default: :obj:`5`)
    """

    def __init__(self, strict: bool = False, max_examples: int = 5) -> None:
        self.strict = strict
        self.max_examples = max_examples
        self.rules: dict[str, Rule] = {}

    @property
    def num_errors(self) -> int:
        return sum(rule.count for rule in self.rules.values() if rule.severity == "error")

    @property
    def num_warnings(self) -> int:
        return sum(rule.count for rule in self.rules.values() if rule.severity == "warning")

    def error(
        self,
        name: str,
        text: str,
        path: str | PathLike[str] | None = None,
        line: int | None = None,
    ) -> None:
        """Notes, or under :obj:`strict` raises, a fault that keeps the pair from being built.

        Raises:
            DataError: Under :obj:`strict`.
        """
        self.add("error", name, DataError(text, path, line))

    def warning(
        self,
        name: str,
        text: str,
        path: str | PathLike[str] | None = None,
        line: int | None = None,
    ) -> None:
        """Notes something that is passed over."""
        self.add("warning", name, DataError(text, path, line))

    def warnings(
        self, name: str, path: str | PathLike[str] | None, places: Iterable[tuple[int | None, str]]
    ) -> None:
        """Notes many of the same rule, as pairs of a line and what is wrong there."""
        for line, text in places:
            self.add("warning", name, DataError(text, path, line))

    def add(self, severity: Severity, name: str, problem: DataError) -> None:
        """Counts a problem.

        Raises:
            DataError: The problem, if it is an error, under :obj:`strict`.
        """
        if self.strict and severity == "error":
            raise problem
        rule = self.rules.setdefault(name, Rule(name, severity))
        rule.count += 1
        if len(rule.examples) < self.max_examples:
            rule.examples.append(problem)

    def log(self) -> None:
        """Logs a line for each rule that was passed over."""
        for rule in self.rules.values():
            more = f" ({rule.count} of this kind)" if rule.count > 1 else ""
            logger.warning("%s%s", rule.examples[0], more)
