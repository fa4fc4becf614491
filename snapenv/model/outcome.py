"""What a command answers: checks, differences, a result, and whether all checks passed."""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

from msgspec import Struct

Part = Literal["host", "transport", "image", "environment", "workload"]
"""Where the cause of a no lies, in the order in which one is asked after another."""

Severity = Literal["error", "warning"]
"""Whether a no of a check is the answer, or only a warning."""

Topic = Literal[
    "python",
    "startup",
    "frameworks",
    "packages",
    "import-path",
    "files",
    "kernels",
    "libraries",
    "variables",
]
"""What of two environments is compared, in the order in which it is told."""


Group = Literal["abi", "numerics", "behaviour", "cosmetic"]
"""What follows from a difference, the gravest first."""


class Check(Struct, frozen=True, kw_only=True):
    """One question with its answer."""

    id: str  # "python", "distribution.numpy", "fingerprint"
    ok: bool  # whether it passed
    expected: str  # what should be, in words
    actual: str  # what is, in words
    fix: str | None = None  # what to do; None where it passed
    part: Part = "environment"  # where the cause lies
    severity: Severity = "error"  # whether a no is the answer or a warning
    topic: Topic | None = None  # what of two environments it compares; None for any other question
    package: str | None = None  # the distribution that it is about

    @property
    def fails(self) -> bool:
        """True where the check says no, and that no counts."""
        return not self.ok and self.severity == "error"


class Difference(Struct, frozen=True, kw_only=True):
    """One thing that is not the same on both sides; None where a side does not have it."""

    group: Group  # what follows from it
    subject: str  # "numpy", "click/core.py", "glibc"
    left: str | None  # None where the left side has none
    right: str | None  # None where the right side has none


class Section(Struct, frozen=True, kw_only=True):
    """The differences of one group, with what follows from them; ``ok`` where they are none."""

    title: str
    ok: bool
    reason: str
    differences: tuple[Difference, ...] = ()


class Verdict(Struct, frozen=True, kw_only=True):
    """The whole answer: what it is, where the cause lies, and the one command to run next."""

    ok: bool  # whether all checks that count passed
    summary: str  # one line
    part: Part | None = None  # None where all checks passed
    check: str | None = None  # the id of the check that decided
    next: str | None = None  # a command, or an imperative sentence


class Result(Struct, frozen=True):
    """What a command answers to programs; each has its own, in ``model/results.py``."""


R_co = TypeVar("R_co", bound=Result, covariant=True)


class Outcome(Struct, Generic[R_co], frozen=True, kw_only=True):
    """The answer of one command, before it becomes text or JSON."""

    command: str
    result: R_co
    checks: tuple[Check, ...] = ()
    lines: tuple[str, ...] = ()  # for people: what was done, one line each
    document: bytes | None = None  # what stands on stdout, byte for byte, in the place of lines
    warnings: tuple[str, ...] = ()
    verdict: Verdict | None = None  # of those commands that judge

    @property
    def ok(self) -> bool:
        """True only if no check fails."""
        return not any(check.fails for check in self.checks)

    @property
    def exit_code(self) -> int:
        """0 when every check passed, 1 when a check says no."""
        return 0 if self.ok else 1


class Handed(Struct, frozen=True, kw_only=True):
    """What is left to do after a program had stdin, stdout and stderr for itself."""

    exit_code: int
    answer: str | None = None  # a line for stdout, where no program wrote there
