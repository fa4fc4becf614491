"""Make the checks of the preflight: one that held, one that fails, one that warns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.model.outcome import Check

if TYPE_CHECKING:
    from snapenv.model.outcome import Part


def held(name: str, expected: str, actual: str, *, part: Part = "host") -> Check:
    """Say that what is needed is there."""
    return Check(id=name, ok=True, expected=expected, actual=actual, part=part)


def failed(name: str, expected: str, actual: str, fix: str, *, part: Part = "host") -> Check:
    """Say that it cannot work, and the command or the sentence that mends it."""
    return Check(id=name, ok=False, expected=expected, actual=actual, fix=fix, part=part)


def warned(name: str, expected: str, actual: str, fix: str, *, part: Part = "host") -> Check:
    """Say that it may not work, or not as wanted."""
    return Check(
        id=name,
        ok=False,
        expected=expected,
        actual=actual,
        fix=fix,
        part=part,
        severity="warning",
    )
