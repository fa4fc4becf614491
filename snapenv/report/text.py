"""An outcome as text for people; nothing here prints."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, TypeGuard

from snapenv.report.printable import printable
from snapenv.report.styled import joined, styled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.errors import SnapenvError
    from snapenv.model.outcome import Check, Difference, Outcome, Result, Section, Verdict
    from snapenv.model.results import Comparison, UpdateOutcome
    from snapenv.model.update import LossesSideBySide
    from snapenv.report.styled import Styled

_MARKS = {True: ("✓", "green"), False: ("✗", "bold red")}
_WARNING = ("!", "yellow")
_CHANGED = ("•", "cyan")  # on purpose, so neither right nor wrong
_ID_WIDTH = 16
_TITLE_WIDTH = 11
_SUBJECT_WIDTH = 26  # of a longer one, what differs stands on the same line, not aligned


def outcome_text(outcome: Outcome[Result]) -> Styled:
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
    return joined([*lines, *map(styled, outcome.lines), *verdict])


def _compares(outcome: Outcome[Result]) -> TypeGuard[Comparison]:
    return outcome.command == "diff"


def _updates(outcome: Outcome[Result]) -> TypeGuard[UpdateOutcome]:
    return outcome.command == "update" and outcome.ok


def warnings_text(outcome: Outcome[Result]) -> Styled:
    """Return the warnings, one line each; empty where there are none."""
    return joined(styled(("warning: ", "yellow"), warning) for warning in outcome.warnings)


def next_text(command: str) -> Styled:
    """Return the line that names the command to type next."""
    return styled(("next: ", "cyan"), printable(command))


def error_text(error: SnapenvError) -> Styled:
    """Return a line of what went wrong and a line of what to do next."""
    return styled(("error: ", "bold red"), error.message, "\n", ("hint: ", "cyan"), error.hint)


def _check_lines(check: Check, verdict: Verdict | None) -> Iterator[Styled]:
    mark = _MARKS[check.ok] if check.ok or check.fails else _WARNING
    actual = printable(check.actual)
    words = actual if check.ok else f"expected: {printable(check.expected)}; actual: {actual}"
    yield styled(mark, f" {printable(check.id):<{_ID_WIDTH}} ", words)
    is_said = verdict is not None and (check.id, check.fix) == (verdict.check, verdict.next)
    if not check.ok and check.fix and not is_said:
        yield styled("  ", ("fix: ", "cyan"), printable(check.fix))


def _verdict_lines(verdict: Verdict) -> Iterator[Styled]:
    """Yield the answer with where its cause lies, and what to run next."""
    mark, style = _MARKS[verdict.ok]
    part = f"{verdict.part}: " if verdict.part else ""
    yield styled((mark, style), " ", (part, "bold"), (printable(verdict.summary), "bold"))
    if verdict.next:
        yield styled("  ", ("next: ", "cyan"), printable(verdict.next))


def _comparison_lines(comparison: Comparison) -> Iterator[Styled]:
    yield styled(("left   ", "dim"), printable(comparison.result.left.place))
    yield styled(("right  ", "dim"), printable(comparison.result.right.place))
    for section in comparison.sections:
        yield from _section_lines(section)


def _update_lines(update: UpdateOutcome) -> Iterator[Styled]:
    for section in update.sections:
        if section.differences:
            yield from _section_lines(section, mark=_CHANGED)
    if update.result.losses:
        yield from _losses_lines(update.result.losses)


def _losses_lines(losses: LossesSideBySide) -> Iterator[Styled]:
    yield styled(_CHANGED, " ", (f"{'losses':<{_TITLE_WIDTH}}", "bold"), ("step by step", "dim"))
    pairs = zip_longest(losses.before, losses.after)
    for number, (before, after) in enumerate(pairs, start=1):
        values = ["absent" if value is None else f"{value:.6f}" for value in (before, after)]
        style = "dim" if before == after else "yellow"
        yield styled(f"  {number:>2}  {values[0]:>12}  ", (f"{values[1]:>12}", style))


def _section_lines(section: Section, *, mark: tuple[str, str] | None = None) -> Iterator[Styled]:
    yield styled(
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


def _difference_line(difference: Difference, *, width: int) -> Styled:
    return styled(
        f"  {printable(difference.subject):<{width}}  ",
        _value(difference.left, style="red"),
        (" → ", "dim"),
        _value(difference.right, style="green"),
    )


def _value(text: str | None, *, style: str) -> tuple[str, str]:
    return ("absent", "dim") if text is None else (printable(text), style)
