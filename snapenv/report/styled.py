"""Text with styles, as a value: who prints it knows whether there is a terminal to show them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable

Piece = tuple[str, str]
"""A text, and its style as Rich names it, such as ``bold red``; empty for none."""


class Styled(Struct, frozen=True):
    """Pieces of text, one after the other."""

    pieces: tuple[Piece, ...]

    @property
    def plain(self) -> str:
        """The text alone."""
        return "".join(text for text, _ in self.pieces)


def styled(*parts: str | Piece) -> Styled:
    """Put together texts without a style, and pieces."""
    return Styled(tuple((part, "") if isinstance(part, str) else part for part in parts))


def joined(lines: Iterable[Styled]) -> Styled:
    """Return lines one below the other."""
    pieces = [piece for line in lines for piece in (("\n", ""), *line.pieces)]
    return Styled(tuple(pieces[1:]))
