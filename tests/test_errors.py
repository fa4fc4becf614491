from __future__ import annotations

import re

import pytest

from snapenv import errors
from snapenv.errors import SnapenvError

DRAWN = re.compile(r"[├└]── (\w+) +(\d+) +\S")
CODES = {
    2: {"usage"},  # Click's
    3: {
        *("interpreter", "environment-missing", "not-found", "base"),
        *("tag-taken", "place-taken", "place-busy", "key-file"),
    },
    4: {
        *("probe", "ssh", "engine-missing", "buildkit-missing", "engine", "build", "registry"),
        *(
            "index",
            "advisory-service",
            "install",
            "smoke-train",
            "bench",
            "export",
            "sigstore",
            "team-ledger",
            "usage-source",
            "write",
        ),
    },
    5: {"lock", "leak", "conflict", "not-as-locked", "not-verified"},
    6: {
        *("snapshot-damaged", "snapshot-version", "archive"),
        *("price-list", "ledger", "ledger-version"),
    },
    70: {"bug"},  # EX_SOFTWARE of sysexits.h
    125: ("start",),
    126: ("command-refused",),
    127: ("command-missing",),
    129: {"hung-up"},  # the shell's: 128 and the signal's number
    130: {"interrupted"},
    143: {"terminated"},
}

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


def test_each_kind_has_its_exit_code_and_none_is_there_twice() -> None:
    errors: list[type[SnapenvError]] = [SnapenvError, *SnapenvError.__subclasses__()]

    assert sorted((error.exit_code, error.slug) for error in errors) == sorted(
        (code, slug) for code, slugs in CODES.items() for slug in slugs
    )


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
