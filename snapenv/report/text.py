"""An outcome as text for people; nothing here prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.errors import SnapenvError
    from snapenv.model.outcome import Check, Outcome

_MARKS = {True: ("✓", "green"), False: ("✗", "bold red")}
_ID_WIDTH = 14


def outcome_text(outcome: Outcome) -> Text:
    """Give the checks, one line each with what to do where one says no, then what was done."""
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
