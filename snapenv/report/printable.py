"""Text that came from someone else, made harmless to read."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Write out what would end a line, steer a terminal or turn the direction of reading.

    Such a character becomes its Python escape: ``\x1b``, ``\n``, ``\u202e``. All others stay.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else _escape(one) for one in text)


def _escape(one: str) -> str:
    return one.encode("unicode_escape").decode()
