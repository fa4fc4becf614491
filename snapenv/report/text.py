"""An outcome as text for people; nothing here prints."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, TypeGuard

from rich.text import Text

from snapenv.report.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.errors import SnapenvError
    from snapenv.model.outcome import Check, Difference, Outcome, Result, Section, Verdict
    from snapenv.model.results import Comparison, UpdateOutcome
    from snapenv.model.update import LossesSideBySide

_MARKS = {True: ("✓", "green"), False: ("✗", "bold red")}
_WARNING = ("!", "yellow")
_CHANGED = ("•", "cyan")  # on purpose, so neither right nor wrong
_ID_WIDTH = 16
_TITLE_WIDTH = 11
_SUBJECT_WIDTH = 26  # of a longer one, what differs stands on the same line, not aligned


def outcome_text(outcome: Outcome[Result]) -> Text:
    """Return the checks, one line each with what to do where one says no, then what was done.

    Checks that passed come first, then warnings, then what failed, so that the most
    important stands last, beside the verdict; what that says to do next is not said twice. Of a
    comparison, give each group with its differences instead, one line each; of an update, those
    that have some, and the losses of both.
    """
    if _compares(outcome):
        lines = list(_comparison_lines(outcome))
    elif _updates(outcome):
        lines = list(_update_lines(outcome))
    else:
        checks = sorted(outcome.checks, key=lambda check: (check.fails, not check.ok))
        lines = [line for check in checks for line in _check_lines(check, outcome.verdict)]
    verdict = _verdict_lines(outcome.verdict) if outcome.verdict else ()
    return Text("\n").join([*lines, *(Text(line) for line in outcome.lines), *verdict])


def _compares(outcome: Outcome[Result]) -> TypeGuard[Comparison]:
    return outcome.command == "diff"


def _updates(outcome: Outcome[Result]) -> TypeGuard[UpdateOutcome]:
    return outcome.command == "update" and outcome.ok


def warnings_text(outcome: Outcome[Result]) -> Text:
    """Return the warnings, one line each; empty where there are none."""
    return Text("\n").join(
        Text.assemble(("warning: ", "yellow"), warning) for warning in outcome.warnings
    )


def next_text(command: str) -> Text:
    """Return the line that names the command to type next."""
    return Text.assemble(("next: ", "cyan"), printable(command))


def error_text(error: SnapenvError) -> Text:
    """Return a line of what went wrong and a line of what to do next."""
    return Text.assemble(
        ("error: ", "bold red"), error.message, "\n", ("hint: ", "cyan"), error.hint
    )


def _check_lines(check: Check, verdict: Verdict | None) -> Iterator[Text]:
    mark = _MARKS[check.ok] if check.ok or check.fails else _WARNING
    start = Text.assemble(mark, f" {printable(check.id):<{_ID_WIDTH}} ")
    if check.ok:
        yield start.append(printable(check.actual))
        return
    yield start.append(f"expected: {printable(check.expected)}; actual: {printable(check.actual)}")
    if check.fix and (verdict is None or (check.id, check.fix) != (verdict.check, verdict.next)):
        yield Text.assemble("  ", ("fix: ", "cyan"), printable(check.fix))


def _verdict_lines(verdict: Verdict) -> Iterator[Text]:
    """Yield the answer with where its cause lies, and what to run next."""
    mark, style = _MARKS[verdict.ok]
    part = f"{verdict.part}: " if verdict.part else ""
    yield Text.assemble((mark, style), " ", (part, "bold"), (printable(verdict.summary), "bold"))
    if verdict.next:
        yield Text.assemble("  ", ("next: ", "cyan"), printable(verdict.next))


def _comparison_lines(comparison: Comparison) -> Iterator[Text]:
    yield Text.assemble(("left   ", "dim"), printable(comparison.result.left.place))
    yield Text.assemble(("right  ", "dim"), printable(comparison.result.right.place))
    for section in comparison.sections:
        yield from _section_lines(section)


def _update_lines(update: UpdateOutcome) -> Iterator[Text]:
    for section in update.sections:
        if section.differences:
            yield from _section_lines(section, mark=_CHANGED)
    if update.result.losses:
        yield from _losses_lines(update.result.losses)


def _losses_lines(losses: LossesSideBySide) -> Iterator[Text]:
    yield Text.assemble(
        _CHANGED, " ", (f"{'losses':<{_TITLE_WIDTH}}", "bold"), ("step by step", "dim")
    )
    pairs = zip_longest(losses.before, losses.after)
    for number, (before, after) in enumerate(pairs, start=1):
        values = ["absent" if value is None else f"{value:.6f}" for value in (before, after)]
        style = "dim" if before == after else "yellow"
        yield Text.assemble(f"  {number:>2}  {values[0]:>12}  ", (f"{values[1]:>12}", style))


def _section_lines(section: Section, *, mark: tuple[str, str] | None = None) -> Iterator[Text]:
    yield Text.assemble(
        mark or _MARKS[section.ok],
        " ",
        (f"{section.title:<{_TITLE_WIDTH}}", "bold"),
        (section.reason, "dim"),
    )
    widest = max(
        (len(printable(difference.subject)) for difference in section.differences), default=0
    )
    for difference in section.differences:
        yield _difference_line(difference, width=min(widest, _SUBJECT_WIDTH))


def _difference_line(difference: Difference, *, width: int) -> Text:
    return Text.assemble(
        f"  {printable(difference.subject):<{width}}  ",
        _value(difference.left, style="red"),
        (" → ", "dim"),
        _value(difference.right, style="green"),
    )


def _value(text: str | None, *, style: str) -> tuple[str, str]:
    return ("absent", "dim") if text is None else (printable(text), style)
