"""What was found of a training, as checks and an answer for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.model.outcome import Check, Verdict
from snapenv.sizes import counted, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snapenv.model.findings import Finding, Unit
    from snapenv.model.outcome import Part


def finding_check(finding: Finding) -> Check:
    """Return a finding as a check that says no: its threshold with its source, and its figure."""
    bound = "at most" if finding.above else "at least"
    return Check(
        id=finding.id,
        ok=False,
        expected=f"{bound} {_amount(finding.threshold, finding.unit)} ({finding.source})",
        actual=_actual(finding),
        fix=finding.next,
        part=_part(finding),
        severity=finding.severity,
    )


def findings_verdict(findings: Sequence[Finding], first: Finding | None) -> Verdict:
    """Return whether a training is held back, and what to try: ``first`` is to be acted on."""
    errors = [finding for finding in findings if finding.severity == "error"]
    warnings = len(findings) - len(errors)
    also = f"; {counted(warnings, 'warning')}" if warnings else ""
    if first is None or not errors:
        return Verdict(
            ok=True,
            summary=f"nothing holds this training back{also}",
            check=first.id if first else None,
            next=first.next if first else None,
        )
    return Verdict(
        ok=False,
        summary=f"held back: {_actual(first)}{also}",
        part=_part(first),
        check=first.id,
        next=first.next,
    )


def _part(finding: Finding) -> Part:
    return "host" if finding.layer == "system" else "workload"


def _actual(finding: Finding) -> str:
    amount = _amount(finding.figure, finding.unit)
    return (
        f"{amount} {finding.subject}"
        if finding.unit == "share"
        else (f"{finding.subject}: {amount}")
    )


def _amount(value: float, unit: Unit) -> str:
    if unit == "share":
        return f"{value:.0%}"
    return size(value) if unit == "bytes" else f"{value:.3g}"
