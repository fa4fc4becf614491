from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.model.python import Distribution, Files, OriginKind, UntrackedFile
from snapenv.model.wheels import Pinned
from snapenv.report.card import list_packages
from snapenv.report.summary import (
    summarize,
    summary_lines,
    summary_warnings,
)
from tests.samples import sample_environment, sample_facts, sample_lock, sample_wheel

if TYPE_CHECKING:
    from snapenv.model.results import CaptureResult
    from snapenv.model.snapshot import Lock
    from snapenv.model.wheels import Locked

PYTHON = "/envs/x/bin/python"


def package(
    name: str,
    origin: OriginKind = "index",
    *,
    edited: tuple[str, ...] = (),
    missing: tuple[str, ...] = (),
) -> Distribution:
    files = Files(count=3, size_bytes=9, sha256="0" * 64, edited=edited, missing=missing)
    return Distribution(name=name, version="1.0", origin=origin, files=files)


def lock(*packages: Distribution, loose: int = 0, **others: Locked) -> Lock:
    untracked = tuple(UntrackedFile(path=f"x{number}") for number in range(loose))
    environment = sample_environment(distributions=packages, untracked=untracked)
    sample = sample_lock(facts=sample_facts(environment=environment))
    return replace(sample, packages={**sample.packages, **others})


def summary(given: Lock) -> CaptureResult:
    return summarize(given, path="s", digest="sha256:1", python=PYTHON)


@pytest.mark.parametrize(
    ("given", "lines"),
    [
        (lock(), [f"looked at {PYTHON}: 0 packages"]),
        (lock(package("a")), [f"looked at {PYTHON}: 1 package, from an index"]),
        (
            lock(package("a"), package("b"), package("c", "editable")),
            [
                f"looked at {PYTHON}: 3 packages, 2 from an index, 1 editable",
                wording("special: 1 package carried"),
            ],
        ),
        (
            lock(package("a", edited=("a/x.py", "a/y.py"), missing=("a/z.py",)), loose=1),
            [
                f"looked at {PYTHON}: 1 package, from an index",
                wording("special: 2 files edited, 1 file missing, 1 file of no package carried"),
            ],
        ),
    ],
)
def test_a_capture_says_what_it_looked_at_and_what_is_special(
    given: Lock, lines: list[str]
) -> None:
    assert list(summary_lines(summary(given))) == lines


@pytest.mark.parametrize(
    ("missing", "lost"),
    [
        (("a/__init__.py", "a/x.py"), ["a"]),
        (("one.py", "two.py"), ["one", "two"]),
        (("a/b/__init__.py", "a/x.py", "../../../bin/x.py", "a-1.0.dist-info/LICENSE"), []),
    ],
)
def test_a_package_whose_modules_are_gone_is_named(
    missing: tuple[str, ...], lost: list[str]
) -> None:
    found = summary(lock(package("a", missing=missing)))

    warned = list(summary_warnings(found))

    assert list(found.not_importable) == lost
    assert len(warned) == bool(lost)
    assert all(name in warned[0] for name in lost)


def test_an_environment_of_no_packages_is_warned_of() -> None:
    (warning,) = summary_warnings(summary(lock()))

    assert warning == wording(
        "/envs/x/bin/python has 0 packages: see that it is the Python that is meant"
    )


def test_each_package_is_listed_with_its_source_and_its_proof() -> None:
    proved = Pinned(wheel=sample_wheel("a", "1.0"), proof="record")
    packages = (package("a"), package("b", "local"), package("c"), package("d", "base"))

    listed = list_packages(lock(*packages, a=proved))

    assert [(one.name, one.source, one.proof) for one in listed] == [
        ("a", "from an index", "proved by RECORD"),
        ("b", "from a local file", "carried"),
        ("c", "from an index", "not proved"),
        ("d", wording("of the base image"), wording("in the base image")),
    ]
