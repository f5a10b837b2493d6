"""Texts of others, made harmless for terminals and pages."""

import unicodedata

_CONTROL = ("Cc", "Cs", "Zl", "Zp")
# They turn the direction of the text around them.
_TURNING = {chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F)}


def printable(text: str, limit: int | None = None) -> str:
    """Takes out of a text what has no shape or changes what is around it: control characters,
    marks that turn the direction of writing, halves of characters.

    Args:
        text (str): Any text.
        limit (int, optional): Characters that are kept, with an ellipsis for the rest.
            (default: :obj:`None`)
    """
    if limit is not None and len(text) > limit:
        text = f"{text[: limit - 1]}…"
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        "�" if unicodedata.category(c) in _CONTROL else c for c in text if c not in _TURNING
    )
