"""Judge all checks together: where the cause lies, and the one thing to do next. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from snapenv.model.outcome import Part, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snapenv.model.fingerprint import Tier
    from snapenv.model.outcome import Check, Topic

PARTS: tuple[Part, ...] = get_args(Part)

_SHOWN_BY_DIFF: tuple[Topic, ...] = ("python", "frameworks", "packages", "files", "kernels")


def judge(
    checks: Sequence[Check],
    *,
    passed: str,
    failed: str,
    tier: Tier | None = None,
    diff: str | None = None,
) -> Verdict:
    """Attribute a no to the first part that fails, in the order in which they build on another.

    ``passed`` is the summary where every check passed, to which the tier is added; ``failed``
    begins that of a no, and what decided is added. ``diff`` is a command that shows how two
    environments differ; it is next where packages do.
    """
    deciding = _find_deciding(checks)
    if deciding is None:
        return Verdict(ok=True, summary=f"{passed}: tier {tier}" if tier else passed)
    return Verdict(
        ok=False,
        summary=f"{failed}: {_reason(deciding)}",
        part=deciding.part,
        check=deciding.id,
        next=diff if diff and deciding.topic in _SHOWN_BY_DIFF else deciding.fix,
    )


def _find_deciding(checks: Sequence[Check]) -> Check | None:
    """Return the first failing check of the first failing part, a package before the count."""
    failing = [check for check in checks if check.fails]
    return min(failing, key=lambda check: (PARTS.index(check.part), _is_count(check)), default=None)


def _is_count(check: Check) -> bool:
    """Return whether a check counts the packages that others name."""
    return check.topic == "packages" and check.package is None


def _reason(check: Check) -> str:
    if check.part in ("host", "transport"):
        return f"{check.actual} (expected: {check.expected})"
    return f"{check.package or check.id} is {check.actual}, not {check.expected}"
