"""Names that people can read."""

from urllib.parse import unquote

from pyg_mmea.printable import printable


def label_of(uri: str, name: str | None = None, limit: int = 120) -> str:
    """Returns the name of an entity or relation, or a readable one made of its URI.

    Args:
        uri (str): The URI, of which what is behind the last ``/``, ``#`` or ``:`` counts.
        name (str, optional): Its name, empty if there is none. (default: :obj:`None`)
        limit (int): Characters that are kept. (default: :obj:`120`)
    """
    text = (name or "").strip()
    if not text:
        end = uri.rstrip("/#:")
        text = end[1 + max(end.rfind(mark) for mark in "/#:") :]
        text = unquote(text).replace("_", " ").strip() or uri
    return printable(text, limit) or "(no name)"
