import pytest

from pyg_mmea.inspect import label_of, printable


@pytest.mark.parametrize(
    ("uri", "name", "label"),
    [
        ("http://a.org/resource/New_York_City", None, "New York City"),
        ("http://a.org/x#Caf%C3%A9", "", "Café"),
        ("http://a.org/x/", "  ", "x"),
        ("urn:isbn:123", None, "123"),
        ("Marco_Reich", None, "Marco Reich"),
        ("http://a.org/x", "Zoë", "Zoë"),
        ("///", None, "///"),
        ("", None, "(no name)"),
    ],
)
def test_label_of(uri: str, name: str | None, label: str) -> None:
    assert label_of(uri, name) == label


def test_printable() -> None:
    assert printable("a\u202eb\u2066c\x00d\ne\ud800") == "abc�d�e�"
    assert printable("👩‍🔬 שלום") == "👩‍🔬 שלום"
    assert printable("x" * 50, 10) == "x" * 9 + "…"
    assert label_of("u", "y" * 1000, 100) == "y" * 99 + "…"
