"""Judge all checks together: where the cause lies, and the one thing to do next. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from snapenv.model.outcome import Part, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snapenv.model.fingerprint import Tier
    from snapenv.model.outcome import Check

PARTS: tuple[Part, ...] = get_args(Part)

_GENERAL = "distributions"  # counts what the checks after it name
_SEEN_BY_DIFF = ("python", "frameworks", "distribution", "unowned", "kernels")


def judge(
    checks: Sequence[Check],
    *,
    held: str,
    failed: str,
    tier: Tier | None = None,
    diff: str | None = None,
) -> Verdict:
    """Attribute a no to the first part that fails, in the order in which they build on another.

    ``held`` is the summary where all held, to which the tier is added; ``failed`` begins that of
    a no, and what decided is added. ``diff`` is a command that shows how two environments
    differ; it is next where packages do.
    """
    deciding = _find_deciding(checks)
    if deciding is None:
        return Verdict(ok=True, summary=f"{held}: tier {tier}" if tier else held)
    return Verdict(
        ok=False,
        summary=f"{failed}: {_reason(deciding)}",
        part=deciding.part,
        check=deciding.id,
        next=_next(deciding, diff),
    )


def _find_deciding(checks: Sequence[Check]) -> Check | None:
    """Give the first failing check of the first failing part, a named package before the count."""
    failing = [check for check in checks if check.fails]
    return min(
        failing, key=lambda check: (PARTS.index(check.part), check.id == _GENERAL), default=None
    )


def _reason(check: Check) -> str:
    if check.part in ("host", "transport"):
        return f"{check.actual} (wanted: {check.expected})"
    name = check.id.removeprefix("distribution.")
    return f"{name} is {check.actual}, not {check.expected}"


def _next(check: Check, diff: str | None) -> str | None:
    return diff if diff and check.id.startswith(_SEEN_BY_DIFF) else check.fix
