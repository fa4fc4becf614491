from __future__ import annotations

import re

import pytest

from snapenv import errors
from snapenv.errors import SnapenvError

DRAWN = re.compile(r"[├└]── (\w+) +(\d+) +\S")
CONVENTIONS = {
    "UsageError": 2,
    "HangupError": 129,
    "InterruptionError": 130,
    "TerminationError": 143,
}  # Click's, and the shell's

classes = pytest.mark.parametrize(
    "error", SnapenvError.__subclasses__(), ids=lambda error: error.slug
)


def test_the_tree_at_the_top_draws_every_error_with_its_exit_code() -> None:
    drawn = [(name, int(code)) for name, code in DRAWN.findall(errors.__doc__ or "")]

    assert drawn == [(error.__name__, error.exit_code) for error in SnapenvError.__subclasses__()]


def test_the_drawing_has_one_line_for_each_class_of_the_module() -> None:
    lines = [line for line in (errors.__doc__ or "").splitlines() if "──" in line]
    named = {name for name in vars(errors) if name.endswith("Error")} - {"SnapenvError"}

    assert len(lines) == len(named) > 0
    assert {error.__name__ for error in SnapenvError.__subclasses__()} == named


def test_no_two_errors_share_an_exit_code_or_a_slug() -> None:
    found: list[type[SnapenvError]] = [SnapenvError, *SnapenvError.__subclasses__()]

    assert len({error.exit_code for error in found}) == len(found)
    assert len({error.slug for error in found}) == len(found)


@classes
def test_an_exit_code_is_from_three_on_or_a_convention(error: type[SnapenvError]) -> None:
    assert "exit_code" in vars(error)
    assert 3 <= error.exit_code < 64 or CONVENTIONS.get(error.__name__) == error.exit_code


@classes
def test_a_slug_is_lower_case_words(error: type[SnapenvError]) -> None:
    assert "slug" in vars(error)
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", error.slug)


def test_an_error_is_one_line_of_what_and_one_of_what_to_do() -> None:
    error = errors.LockError("numpy was edited", hint="Reinstall numpy.")

    assert (str(error), error.message, error.hint) == (
        "numpy was edited",
        "numpy was edited",
        "Reinstall numpy.",
    )
