"""Make the checks of the preflight: one that held, one that fails, one that warns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.model.outcome import Check

if TYPE_CHECKING:
    from snapenv.model.outcome import Part


def held(name: str, expected: str, seen: str, *, part: Part = "host") -> Check:
    """Say that what is needed is there."""
    return Check(id=name, ok=True, expected=expected, seen=seen, part=part)


def failed(name: str, expected: str, seen: str, fix: str, *, part: Part = "host") -> Check:
    """Say that it cannot work, and the command or the sentence that mends it."""
    return Check(id=name, ok=False, expected=expected, seen=seen, fix=fix, part=part)


def warned(name: str, expected: str, seen: str, fix: str, *, part: Part = "host") -> Check:
    """Say that it may not work, or not as wanted."""
    return Check(
        id=name,
        ok=False,
        expected=expected,
        seen=seen,
        fix=fix,
        part=part,
        severity="warning",
    )
