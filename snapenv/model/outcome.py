"""What a command answers: checks, a result, and whether all held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One question with its answer. ``fix`` says what to do and is None where the check held."""

    id: str  # "python", "distribution.numpy", "fingerprint"
    ok: bool
    expected: str
    seen: str
    fix: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The answer of one command, before it becomes text or JSON."""

    command: str
    result: Mapping[str, object]  # JSON values
    checks: tuple[Check, ...] = ()
    lines: tuple[str, ...] = ()  # for people: what was done, one line each
    warnings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """True only if every check held."""
        return all(check.ok for check in self.checks)

    @property
    def exit_code(self) -> int:
        """0 when all held, 1 when a check says no."""
        return 0 if self.ok else 1
