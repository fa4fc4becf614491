"""What the page shows, decided in Python: marks, words, rows and charts. Pure."""

from __future__ import annotations

import math
from itertools import zip_longest
from typing import TYPE_CHECKING, get_args

from msgspec import Struct

from snapenv.model.outcome import Check, Part
from snapenv.model.results import Report
from snapenv.report.chart import Plot, difference_chart, loss_chart
from snapenv.report.sides import (
    SidesRow,
    Table,
    condition_rows,
    difference_tables,
    export_rows,
    sides,
    speed_rows,
)
from snapenv.sizes import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from snapenv.model.fingerprint import Fingerprint

_MARKS = {"passed": "✓", "warning": "!", "failed": "✗"}


class Line(Struct, frozen=True, kw_only=True):
    """A check as it is shown; ``kind`` is passed, warning or failed."""

    kind: str
    mark: str
    check: Check


class Group(Struct, frozen=True, kw_only=True):
    """The checks of one part."""

    part: str
    lines: tuple[Line, ...]


class Step(Struct, frozen=True, kw_only=True):
    """One step of both smoke-trains, as the table has it."""

    number: int
    expected: str
    actual: str
    difference: str
    differs: bool


class Page(Struct, frozen=True, kw_only=True):
    """All that the template reads."""

    report: Report
    kind: str  # of the verdict: passed or failed
    mark: str
    word: str
    facts: tuple[tuple[str, str], ...]
    losses: Plot | None
    differences: Plot | None
    proof: str  # the losses in a sentence
    steps: tuple[Step, ...]
    speed: tuple[SidesRow, ...]
    exports: tuple[SidesRow, ...]
    groups: tuple[Group, ...]
    counts: str
    differing: tuple[Table, ...]
    conditions: tuple[SidesRow, ...]
    machines: tuple[SidesRow, ...]
    none_differ: str = "Nothing that was compared here differs."


def make_page(report: Report) -> Page:
    """Decide what the page of a report shows."""
    kind = "passed" if report.verdict.ok else "failed"
    expected, actual = _losses(report.expected), _losses(report.actual)
    differences: tuple[float, ...] = ()
    first = None
    if report.expected and report.actual:
        differences = report.expected.relative_differences(report.actual)
        first = report.expected.first_differing_step(report.actual)
    lines = []
    for check in report.checks:
        of_check = "passed" if check.ok else "failed" if check.fails else "warning"
        lines.append(Line(kind=of_check, mark=_MARKS[of_check], check=check))
    word = "not the same" if report.restored_in else "not restored"
    conditions = tuple(condition_rows(report))
    return Page(
        report=report,
        kind=kind,
        mark=_MARKS[kind],
        word=report.tier or ("the same" if report.verdict.ok else word),
        facts=tuple(_facts(report)),
        losses=loss_chart(expected, actual, first=first),
        differences=difference_chart(differences, first=first, limits=report.limits),
        proof=_proof(report, differences, first),
        steps=tuple(_steps(expected, actual, differences)),
        speed=tuple(speed_rows(report)),
        exports=tuple(export_rows(report)),
        groups=tuple(_groups(lines)),
        counts=_counts(lines),
        differing=tuple(difference_tables(report, conditions)),
        conditions=conditions,
        machines=tuple(sides(row) for row in report.machines),
    )


def _losses(fingerprint: Fingerprint | None) -> tuple[float, ...]:
    return fingerprint.values if fingerprint else ()


def _proof(report: Report, differences: Sequence[float], first: int | None) -> str:
    if report.actual is None:
        return "No smoke-train was run: this rests on the facts alone."
    if report.expected is None:
        return "There are no losses of the capture to compare with."
    if first is None:
        return f"All {len(report.actual.losses)} losses are the same, bit for bit."
    largest = max(differences)
    far = f"by at most {largest:.1e}" if math.isfinite(largest) else "and are not all comparable"
    return f"The losses differ from step {first} of {len(differences)}, {far}."


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    named = {
        "Tag": report.title,
        "Snapshot": report.snapshot,
        "Image": report.image,
        "Image digest": report.image_digest,
        "Captured": _readable(report.captured_at),
        "Restored": _readable(report.restored_at),
        "Restored in": report.restored_in,
    }
    return ((label, value) for label, value in named.items() if value)


def _readable(time: str | None) -> str | None:
    """Return a time of RFC 3339 in UTC as people read it."""
    return time and time.replace("T", " ", 1).replace("+00:00", " UTC")


def _steps(
    expected: Sequence[float], actual: Sequence[float], differences: Sequence[float]
) -> Iterator[Step]:
    rows = enumerate(zip_longest(expected, actual, differences), start=1)
    for number, (loss, actual_loss, difference) in rows:
        yield Step(
            number=number,
            expected="absent" if loss is None else f"{loss:.9g}",
            actual="absent" if actual_loss is None else f"{actual_loss:.9g}",
            difference="" if difference is None else f"{difference:.1e}" if difference else "0",
            differs=bool(difference),
        )


def _groups(lines: Sequence[Line]) -> Iterator[Group]:
    """Yield the parts in the order in which one is asked after another."""
    for part in get_args(Part):
        of_part = tuple(line for line in lines if line.check.part == part)
        if of_part:
            yield Group(part=part, lines=of_part)


def _counts(lines: Sequence[Line]) -> str:
    kinds = [line.kind for line in lines]
    failed, warnings, passed = map(kinds.count, ("failed", "warning", "passed"))
    counts = {
        f"{failed} failed": failed,
        counted(warnings, "warning"): warnings,
        f"{passed} passed": passed,
    }
    return ", ".join(words for words, number in counts.items() if number)
