"""The comment that every rendered file begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snapenv.model.rendering import Workload


def head_lines(work: Workload, *, how: tuple[str, ...]) -> tuple[str, ...]:
    """Return the lines, without the marks of a comment: what this is, and how it is used."""
    return (
        f"{work.image.tagged}, rendered by {work.program}.",
        *how,
    )
