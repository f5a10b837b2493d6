"""The error that bad input data raises."""

from os import PathLike, fspath

_LONGEST = 600  # characters of a rule, which may quote a cell of any size


class DataError(ValueError):
    """Says in one line which file, which line of it and which rule was broken.

    Args:
        rule (str): What is wrong, and what is expected.
        path (str or PathLike, optional): File or folder at fault. (default: :obj:`None`)
        line (int, optional): Line of the file, counted from 1. (default: :obj:`None`)
    """

    def __init__(
        self, rule: str, path: str | PathLike[str] | None = None, line: int | None = None
    ) -> None:
        text = " ".join(rule.split())
        # What is quoted is shortened, the words behind it are not.
        head, tail = text[: _LONGEST // 2], text[-_LONGEST // 2 :]
        self.rule = text if len(text) <= _LONGEST else f"{head}…{tail}"
        self.path = None if path is None else fspath(path)
        self.line = line
        super().__init__(str(self))

    def __str__(self) -> str:
        if self.path is None:
            return self.rule
        # A file name may hold a line break; the message stays one line.
        where = self.path.replace("\n", "\\n")
        if self.line is not None:
            where = f"{where}:{self.line}"
        return f"{where}: {self.rule}"

    def __reduce__(self) -> tuple[type["DataError"], tuple[str, str | None, int | None]]:
        return type(self), (self.rule, self.path, self.line)
