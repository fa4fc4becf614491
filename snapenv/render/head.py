"""The comment that every rendered file begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snapenv.model.rendering import Workload


def head_lines(work: Workload, *, how: tuple[str, ...]) -> tuple[str, ...]:
    """Return the lines, without the marks of a comment: what this is, and how it is used.

    Of an image for other machines than the usual ones it is said.
    """
    machine = work.label.machine
    return (
        f"{work.image.tagged}, rendered by {work.program}.",
        *((f"It runs on machines of {machine} alone.",) if machine not in {None, "amd64"} else ()),
        *how,
    )
