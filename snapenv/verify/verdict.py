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
    failing = [check for check in checks if check.fails]
    if not failing:
        return Verdict(ok=True, summary=f"{passed}: tier {tier}" if tier else passed)
    # A package decides before the count of those that differ.
    deciding = min(
        failing,
        key=lambda check: (
            PARTS.index(check.part),
            check.topic == "packages" and check.package is None,
        ),
    )
    reason = f"{deciding.package or deciding.id} is {deciding.actual}, not {deciding.expected}"
    if deciding.part in ("host", "transport"):
        reason = f"{deciding.actual} (expected: {deciding.expected})"
    return Verdict(
        ok=False,
        summary=f"{failed}: {reason}",
        part=deciding.part,
        check=deciding.id,
        next=diff if diff and deciding.topic in _SHOWN_BY_DIFF else deciding.fix,
    )
