from __future__ import annotations

from snapenv.errors import LockError
from snapenv.model.outcome import Check, Outcome
from snapenv.report.text import error_text, outcome_text

HELD = Check(id="python", ok=True, expected="cpython 3.11.7", seen="cpython 3.11.9")
FAILED = Check(
    id="distribution.numpy", ok=False, expected="2.4.6", seen="absent", fix="Reinstall numpy."
)


def test_a_check_that_held_is_one_line_with_what_was_seen() -> None:
    text = outcome_text(Outcome(command="restore", result={}, checks=(HELD,)))

    assert text.plain == "✓ python           cpython 3.11.9"


def test_a_check_that_failed_says_both_sides_and_what_to_do() -> None:
    text = outcome_text(Outcome(command="restore", result={}, checks=(FAILED,), lines=("no",)))

    assert text.plain.splitlines() == [
        "✗ distribution.numpy expected 2.4.6; is absent",
        "  fix: Reinstall numpy.",
        "no",
    ]


def test_square_brackets_in_a_message_are_not_taken_for_markup() -> None:
    text = error_text(LockError("gpus[0] of [bold]x[/bold]", hint="See [1]."))

    assert text.plain == "error: gpus[0] of [bold]x[/bold]\nhint: See [1]."
