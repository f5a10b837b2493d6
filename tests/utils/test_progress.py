import sys

import pytest

from pyg_mmea.utils.progress import show_progress, track


def test_nothing_is_shown_unless_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track([1, 2, 3], "Counting")) == [1, 2, 3]
    with show_progress():  # stderr is no terminal here
        assert list(track([1, 2, 3], "Counting")) == [1, 2, 3]
    assert capsys.readouterr() == ("", "")


def test_bars_have_rates_and_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as in a terminal
    monkeypatch.setenv("COLUMNS", "120")
    with show_progress(True):
        for _ in track(range(3), "Outer", unit="files", step=4):
            assert list(track("ab", "Inner")) == ["a", "b"]  # not drawn inside of another one
        list(track(iter("abc"), "Again"))
    list(track("ab", "Silent"))
    out, err = capsys.readouterr()
    assert out == ""
    assert "Outer" in err
    assert "/12" in err
    assert "files/s" in err
    assert "Again" in err
    assert "Inner" not in err
    assert "Silent" not in err


def test_a_terminal_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    from pyg_mmea.utils import progress

    with show_progress():
        assert progress._SHOWN
    assert not progress._SHOWN


def test_an_error_takes_the_bar_away() -> None:
    def broken():
        yield 1
        raise RuntimeError("stop")

    from pyg_mmea.utils import progress

    with show_progress(True):
        with pytest.raises(RuntimeError, match="stop"):
            list(track(broken(), "Breaking", total=2))
        assert not progress._BUSY
