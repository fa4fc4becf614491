"""Advisories as lines for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.report.printable import printable
from snapenv.sizes import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.results import AuditResult, FoundAdvisory

_MOST_NAMES = 5


def advisory_lines(result: AuditResult) -> Iterator[str]:
    """Yield a line for each advisory, the malicious first, and how much was asked for."""
    order = sorted(result.advisories, key=lambda each: (not each.malicious, each.package, each.id))
    for each in order:
        yield printable(_line(each))
    held = f", which holds {counted(result.held, 'advisory', 'advisories')}" if result.held else ""
    packages = len({each.package for each in result.advisories})
    count = counted(len(result.advisories), "advisory", "advisories") if packages else "no advisory"
    about = f" about {counted(packages, 'package')}" if packages else ""
    yield printable(
        f"{count}{about}, of {counted(result.packages, 'package')}, in {result.database}{held}"
    )
    if result.skipped:
        named = ", ".join(result.skipped[:_MOST_NAMES])
        more = ", …" if len(result.skipped) > _MOST_NAMES else ""
        yield printable(f"not asked for, as no index has them: {named}{more}")


def _line(advisory: FoundAdvisory) -> str:
    kind = (
        "MALICIOUS  "
        if advisory.malicious
        else f"{advisory.severity}  "
        if advisory.severity
        else ""
    )
    aliases = f" ({', '.join(advisory.aliases[:2])})" if advisory.aliases else ""
    fixed = f"; fixed in {advisory.fixed_in[0]}" if advisory.fixed_in else ""
    summary = f": {advisory.summary}" if advisory.summary else ""
    return f"{advisory.package} {advisory.version}  {kind}{advisory.id}{aliases}{summary}{fixed}"
