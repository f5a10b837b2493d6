"""Progress of long work, shown only where somebody watches."""

import sys
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from pyg_mmea.printable import printable

T = TypeVar("T")

_SHOWN = False  # a library is silent unless a program asks for bars
_BUSY = False  # a bar is drawn


class _Rate(ProgressColumn):
    """Items a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        unit = task.fields["unit"]
        return Text("" if speed is None else f"{speed:,.0f} {unit}/s")


@contextmanager
def show_progress(enabled: bool | None = None) -> Iterator[None]:
    """Lets :func:`track` draw bars on stderr inside of the block.

    Args:
        enabled (bool, optional): Whether to draw. By default where stderr is a terminal.
            (default: :obj:`None`)
    """
    global _SHOWN
    before = _SHOWN
    _SHOWN = sys.stderr.isatty() if enabled is None else enabled
    try:
        yield
    finally:
        _SHOWN = before


def track(
    items: Iterable[T], what: str, total: int | None = None, unit: str = "rows", step: int = 1
) -> Iterator[T]:
    """Hands items through and, inside of :func:`show_progress`, draws how far it is.

    A bar inside of another one is not drawn.

    Args:
        items (Iterable): What is worked through.
        what (str): What is done, in front of the bar.
        total (int, optional): How much there is, in :obj:`unit`. By default :obj:`len(items)`
            times :obj:`step`, where items have a length. (default: :obj:`None`)
        unit (str): What is counted. (default: :obj:`"rows"`)
        step (int): How many units an item stands for. (default: :obj:`1`)
    """
    global _BUSY
    if not _SHOWN or _BUSY:
        yield from items
        return
    if total is None and isinstance(items, Sized):
        total = len(items) * step
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate())
    bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
    _BUSY = True
    try:
        with bar:
            task = bar.add_task(escape(printable(what)), total=total, unit=unit)
            for item in items:
                yield item
                bar.advance(task, step)
    finally:
        _BUSY = False
