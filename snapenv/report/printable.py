"""Text that came from someone else, made harmless to read."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Write out what would end a line, steer a terminal or turn the direction of reading.

    Such a character becomes its Python escape: ``\x1b``, ``\n``, ``\u202e``. All others stay.
    """
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else _escape(sign) for sign in text)


def _escape(sign: str) -> str:
    return sign.encode("unicode_escape").decode()
