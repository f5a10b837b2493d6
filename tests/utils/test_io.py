from pathlib import Path

import pytest

from pyg_mmea.utils.io import atomic_folder, atomic_write, cache_folder, fingerprint


@pytest.mark.parametrize(("mode", "content"), [("w", "ä\n"), ("wb", b"\x00\r\n")])
def test_atomic_write(tmp_path: Path, mode: str, content: str | bytes) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with atomic_write(path, mode) as file:
        file.write(content)
        assert path.read_text() == "old"
    expected = content.encode() if isinstance(content, str) else content
    assert path.read_bytes() == expected
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_write_leaves_nothing_behind(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_write(tmp_path / "file") as file:
            file.write("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()
    assert list(tmp_path.iterdir()) == []


def test_atomic_write_checks_mode(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'mode'"), atomic_write(tmp_path / "file", "a"):
        pass


def test_atomic_write_says_where_no_file_can_be(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a folder"), atomic_write(tmp_path):
        pass
    with (
        pytest.raises(FileNotFoundError, match=f"'{tmp_path / 'none'}' is no folder"),
        atomic_write(tmp_path / "none" / "file"),
    ):
        pass


def test_atomic_folder(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    with atomic_folder(path) as temporary:
        (temporary / "a").write_text("b")
        assert not path.exists()
    assert (path / "a").read_text() == "b"
    with pytest.raises(FileExistsError), atomic_folder(path):
        pass
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_folder_leaves_nothing_behind(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_folder(tmp_path / "folder") as temporary:
            (temporary / "a").write_text("b")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()
    assert list(tmp_path.iterdir()) == []


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYG_MMEA_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("PYG_MMEA_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "pyg_mmea"


def test_fingerprint_tells_parts_apart() -> None:
    assert fingerprint("a", "b") == fingerprint("a", "b")
    assert len({fingerprint(*parts) for parts in [("a", "b"), ("ab",), ("a", None), (1,)]}) == 4
