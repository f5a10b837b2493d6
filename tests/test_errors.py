import pickle
from pathlib import Path

import pytest

from pyg_mmea.errors import DataError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (DataError("is missing", Path("a") / "b", 3), "a/b:3: is missing"),
        (DataError("is missing", "a"), "a: is missing"),
        (DataError("is missing"), "is missing"),
        (DataError("two\nlines", "odd\nname"), "odd\\nname: two lines"),
    ],
)
def test_data_error_is_one_line(error: DataError, text: str) -> None:
    assert isinstance(error, ValueError)
    assert str(error) == text


def test_data_error_survives_workers() -> None:
    error = pickle.loads(pickle.dumps(DataError("rule", "file", 7)))
    assert (error.rule, error.path, error.line) == ("rule", "file", 7)
