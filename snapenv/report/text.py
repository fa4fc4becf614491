"""An outcome as text for people; nothing here prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from snapenv.model.difference import Comparison

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.errors import SnapenvError
    from snapenv.model.difference import Difference, Section
    from snapenv.model.outcome import Check, Outcome

_MARKS = {True: ("✓", "green"), False: ("✗", "bold red")}
_ID_WIDTH = 16
_TITLE_WIDTH = 11
_SUBJECT_WIDTH = 26  # of a longer one, what differs stands on the same line, not aligned


def outcome_text(outcome: Outcome) -> Text:
    """Give the checks, one line each with what to do where one says no, then what was done.

    Of a comparison, give each group with its differences instead, one line each.
    """
    if isinstance(outcome, Comparison):
        lines = list(_comparison_lines(outcome))
    else:
        lines = [line for check in outcome.checks for line in _check_lines(check)]
    return Text("\n").join([*lines, *(Text(line) for line in outcome.lines)])


def warnings_text(outcome: Outcome) -> Text:
    """Give the warnings, one line each; empty where there are none."""
    return Text("\n").join(
        Text.assemble(("warning: ", "yellow"), warning) for warning in outcome.warnings
    )


def error_text(error: SnapenvError) -> Text:
    """Give a line of what went wrong and a line of what to do next."""
    return Text.assemble(
        ("error: ", "bold red"), error.message, "\n", ("hint: ", "cyan"), error.hint
    )


def _check_lines(check: Check) -> Iterator[Text]:
    mark, style = _MARKS[check.ok]
    start = Text.assemble((mark, style), f" {check.id:<{_ID_WIDTH}} ")
    if check.ok:
        yield start.append(check.seen)
        return
    yield start.append(f"expected {check.expected}; is {check.seen}")
    if check.fix:
        yield Text.assemble("  ", ("fix: ", "cyan"), check.fix)


def _comparison_lines(comparison: Comparison) -> Iterator[Text]:
    yield Text.assemble(("left   ", "dim"), _printable(comparison.left))
    yield Text.assemble(("right  ", "dim"), _printable(comparison.right))
    for section in comparison.sections:
        yield from _section_lines(section)


def _section_lines(section: Section) -> Iterator[Text]:
    mark, style = _MARKS[section.ok]
    yield Text.assemble(
        (mark, style), " ", (f"{section.title:<{_TITLE_WIDTH}}", "bold"), (section.reason, "dim")
    )
    widest = max((len(_printable(one.subject)) for one in section.differences), default=0)
    for difference in section.differences:
        yield _difference_line(difference, width=min(widest, _SUBJECT_WIDTH))


def _difference_line(difference: Difference, *, width: int) -> Text:
    return Text.assemble(
        f"  {_printable(difference.subject):<{width}}  ",
        _value(difference.left, style="red"),
        (" → ", "dim"),
        _value(difference.right, style="green"),
    )


def _value(text: str | None, *, style: str) -> tuple[str, str]:
    return ("absent", "dim") if text is None else (_printable(text), style)


def _printable(text: str) -> str:
    """Escape what would end the line or steer the terminal: it may come from someone else."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()
