from __future__ import annotations

from inline_snapshot import snapshot as wording

from snapenv.errors import LockError
from snapenv.model.outcome import Check, Difference, Outcome, Result, Section, Verdict
from snapenv.model.results import UpdateOutcome, UpdateResult
from snapenv.model.update import LossesSideBySide
from snapenv.report.text import error_text, outcome_text

HELD = Check(id="python", ok=True, expected="cpython 3.11.7", actual="cpython 3.11.9")
FAILED = Check(
    id="distribution.numpy", ok=False, expected="2.4.6", actual="absent", fix="Reinstall numpy."
)
SLOW = Check(
    id="speed",
    ok=False,
    expected="170 images/s",
    actual="151",
    fix="Raise the power limit.",
    severity="warning",
)


def test_a_check_that_held_is_one_line_with_what_was_seen() -> None:
    text = outcome_text(Outcome(command="restore", result=Result(), checks=(HELD,)))

    assert text.plain == "✓ python           cpython 3.11.9"


def test_a_check_that_failed_says_both_sides_and_what_to_do() -> None:
    text = outcome_text(
        Outcome(command="restore", result=Result(), checks=(FAILED,), lines=("no",))
    )

    assert text.plain.splitlines() == wording(
        [
            "✗ distribution.numpy expected: 2.4.6; actual: absent",
            "  fix: Reinstall numpy.",
            "no",
        ]
    )


def test_square_brackets_in_a_message_are_not_taken_for_markup() -> None:
    text = error_text(LockError("gpus[0] of [bold]x[/bold]", hint="See [1]."))

    assert text.plain == wording("error: gpus[0] of [bold]x[/bold]\nhint: See [1].")


def test_what_to_look_out_for_has_a_mark_of_its_own() -> None:
    text = outcome_text(Outcome(command="restore", result=Result(), checks=(SLOW,)))

    assert text.plain.splitlines() == wording(
        [
            "! speed            expected: 170 images/s; actual: 151",
            "  fix: Raise the power limit.",
        ]
    )
    assert text.pieces[0] == ("!", "yellow")


def test_what_failed_stands_last_beside_the_verdict() -> None:
    verdict = Verdict(
        ok=False,
        summary="numpy is another one",
        part="environment",
        check="distribution.numpy",
        next="snapenv restore train-x",
    )

    text = outcome_text(
        Outcome(
            command="restore",
            result=Result(),
            checks=(FAILED, SLOW, HELD, SLOW),
            lines=("it is in .venv",),
            verdict=verdict,
        )
    )

    assert [line[0] for line in text.plain.splitlines() if line[0] != " "] == list("✓!!✗i✗")
    assert text.plain.splitlines()[-2:] == wording(
        [
            "✗ environment: numpy is another one",
            "  next: snapenv restore train-x",
        ]
    )


def test_a_yes_needs_no_part_and_no_next_step() -> None:
    verdict = Verdict(ok=True, summary="train-x is back: tier identical")

    text = outcome_text(Outcome(command="restore", result=Result(), verdict=verdict))

    assert text.plain == wording("✓ train-x is back: tier identical")


def test_a_check_cannot_steer_the_terminal_or_make_a_line_of_its_own() -> None:
    bad = "2\x1b[2J\n✓ all held\u202e"
    check = Check(id=bad, ok=False, expected=bad, actual=bad, fix=bad)
    verdict = Verdict(ok=False, summary=bad, next=bad)

    text = outcome_text(
        Outcome(command="restore", result=Result(), checks=(check,), verdict=verdict)
    )

    assert len(text.plain.splitlines()) == 4
    assert all(line.isprintable() for line in text.plain.splitlines())


def test_what_is_next_is_not_said_twice() -> None:
    verdict = Verdict(
        ok=False, summary="no", part="environment", check=FAILED.id, next="Reinstall numpy."
    )

    text = outcome_text(
        Outcome(command="verify", result=Result(), checks=(FAILED,), verdict=verdict)
    )

    assert text.plain.count("Reinstall numpy.") == 1


def test_an_update_shows_what_is_another_and_both_losses() -> None:
    difference = Difference(group="numerics", subject="numpy", left="1.0", right="2.0")
    losses = LossesSideBySide(
        before=(1.5, 2.5),
        after=(1.5, None),
        first_differing_step=2,
        largest_relative_difference=None,
        devices=("cpu", "cpu"),
        same_machine=True,
    )
    outcome = UpdateOutcome(
        command="update",
        result=UpdateResult(parent="sha256:1", moves=(), path="new", losses=losses),
        sections=(
            Section(title="ABI", ok=True, reason="the same"),
            Section(title="numerics", ok=False, reason="other losses", differences=(difference,)),
        ),
        verdict=Verdict(ok=True, summary="numpy 1.0 → 2.0"),
    )

    assert outcome_text(outcome).plain == wording("""\
• numerics   other losses
  numpy  1.0 → 2.0
• losses     step by step
   1      1.500000      1.500000
   2      2.500000        absent
✓ numpy 1.0 → 2.0\
""")
