from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.verify.compare import compare_facts, loaded_lines
from snapenv.verify.differences import differences
from tests.samples import sample_facts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.model.outcome import Check

    Startup = Mapping[str, tuple[str, ...]] | None

PYTHONPATH = {"PYTHONPATH": ("six",)}
PRELOAD = {"LD_PRELOAD": ("libtcmalloc.so.4",)}
FOLDER = {"LD_LIBRARY_PATH": ("libcudnn.so.9",)}


def compare(expected: Startup, actual: Startup) -> list[Check]:
    """Return the checks that do not pass, which are all of this topic."""
    sides = (replace(sample_facts(), startup=startup) for startup in (expected, actual))
    checks = [check for check in compare_facts(*sides) if not check.ok]
    assert {check.topic for check in checks} <= {"startup"}
    return checks


def told(expected: Startup, actual: Startup) -> list[tuple[str, str]]:
    checks = compare(expected, actual)
    return [(check.id.removeprefix("variables."), check.severity) for check in checks]


@pytest.mark.parametrize("startup", [None, {}, PYTHONPATH, PRELOAD, {**FOLDER, **PRELOAD}])
def test_what_was_so_at_the_capture_is_no_difference(startup: Startup) -> None:
    assert told(startup, startup) == []


@pytest.mark.parametrize(
    ("actual", "severity"),
    [
        (PYTHONPATH, "error"),
        (PRELOAD, "error"),
        ({"LD_AUDIT": ("libaudit.so",)}, "error"),
        ({"PYTHONHOME": ("the standard library",)}, "error"),
        ({"PYTHONWARNINGS": ("errors",)}, "error"),
        (FOLDER, "warning"),
    ],
)
def test_what_is_brought_since_is_named(actual: Startup, severity: str) -> None:
    assert actual is not None
    (name,) = actual
    assert told({}, actual) == [(name, severity)]
    assert told({name: ("another",)}, actual) == [(name, severity)]


@pytest.mark.parametrize(
    ("actual", "severity"), [(PYTHONPATH, "error"), (PRELOAD, "warning"), (FOLDER, "warning")]
)
def test_of_an_older_snapshot_only_what_none_could_have_is_a_no(
    actual: Startup, severity: str
) -> None:
    assert actual is not None
    assert told(None, actual) == [(*actual, severity)]


def test_a_library_that_is_not_loaded_any_more_is_a_warning() -> None:
    assert told(PRELOAD, {}) == [("LD_PRELOAD", "warning")]


@pytest.mark.parametrize("before", [PYTHONPATH, FOLDER])
def test_what_travels_or_is_not_needed_is_not_missed(before: Startup) -> None:
    assert told(before, {}) == []


def test_a_side_on_which_nobody_looked_misses_nothing() -> None:
    assert told(PRELOAD, None) == []


def test_a_capture_says_what_is_in_memory_and_does_not_travel() -> None:
    assert loaded_lines({**PYTHONPATH, **FOLDER, **PRELOAD}) == (
        wording("LD_PRELOAD loads libtcmalloc.so.4 into each program here: it does not travel"),
    )
    assert loaded_lines(None) == loaded_lines({}) == ()


def test_a_check_says_what_is_brought_and_how_to_be_rid_of_it() -> None:
    names = tuple(f"m{number}" for number in range(7))

    (check,) = compare({}, {"PYTHONPATH": names})

    assert check.expected == wording("nothing before the environment's own")
    assert check.actual == wording("m0, m1, m2, m3, m4 and 2 more before the environment's own")
    assert check.fix == wording(
        "Unset PYTHONPATH in your shell, or remove it from the image's ENV."
    )


def test_a_comparison_lists_each_variable_where_both_sides_were_looked_at() -> None:
    facts = [replace(sample_facts(), startup=one) for one in ({}, {**PYTHONPATH, **PRELOAD})]
    old = replace(sample_facts(), startup=None)

    assert [(one.group, one.subject, one.right) for one in differences(*facts)] == [
        ("behaviour", "LD_PRELOAD", "brings libtcmalloc.so.4"),
        ("behaviour", "PYTHONPATH", "brings six"),
    ]
    assert differences(old, facts[1]) == ()
