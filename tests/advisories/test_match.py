from __future__ import annotations

from typing import Any

import msgspec
import pytest

from snapenv.advisories.match import affects, fixed_in
from snapenv.model.osv import Advisory, Query
from tests.advisories.records import record


def advisory(document: dict[str, Any]) -> Advisory:
    return msgspec.convert(document, Advisory)


FROM_START = record("demo", {"introduced": "0"}, {"fixed": "2.0"})
TWICE = record(
    "demo", {"introduced": "1.0"}, {"fixed": "1.2"}, {"introduced": "2.0"}, {"fixed": "2.1"}
)
MIXED = record(
    "demo", {"fixed": "2.1"}, {"introduced": "2.0"}, {"fixed": "1.2"}, {"introduced": "1.0"}
)
LAST = record("demo", {"introduced": "0"}, {"last_affected": "1.5"})
NEVER = record("demo", {"introduced": "1.0"})
LISTED = record("demo", versions=["1.0", "1.3.0"])


@pytest.mark.parametrize(
    ("document", "version", "expected"),
    [
        (FROM_START, "0.0.1", True),
        (FROM_START, "1.99", True),
        (FROM_START, "2.0rc1", True),  # before 2.0
        (FROM_START, "2.0", False),
        (TWICE, "0.9", False),
        (TWICE, "1.1", True),
        (TWICE, "1.2", False),
        (TWICE, "1.9", False),
        (TWICE, "2.0", True),
        (TWICE, "2.1", False),
        (MIXED, "1.1", True),
        (MIXED, "1.9", False),
        (MIXED, "2.0.5", True),
        (LAST, "1.5", True),
        (LAST, "1.5.1", False),
        (NEVER, "99", True),
        (NEVER, "0.9", False),
        (LISTED, "1.3", True),  # the same version, otherwise written
        (LISTED, "1.2", False),
        (LISTED, "not a version", False),
        (record("demo", versions=["not a version"]), "not a version", True),
        (record("demo", {"introduced": "0"}, kind="GIT"), "1.0", False),
        (record("demo", {"introduced": "0"}, withdrawn="2026-01-02T00:00:00Z"), "1.0", False),
        (record("other", {"introduced": "0"}), "1.0", False),
        (record("Demo", {"introduced": "0"}), "1.0", True),
    ],
)
def test_a_version_is_affected_as_the_schema_says(
    document: dict[str, Any], version: str, *, expected: bool
) -> None:
    assert affects(advisory(document), Query(name="demo", version=version)) is expected


def test_a_package_of_another_ecosystem_is_another() -> None:
    document = record("demo", {"introduced": "0"})
    document["affected"][0]["package"]["ecosystem"] = "npm"

    assert not affects(advisory(document), Query(name="demo", version="1.0"))


def test_only_versions_above_the_own_one_mend_it() -> None:
    assert fixed_in(advisory(TWICE), Query(name="demo", version="1.1")) == ("1.2", "2.1")
    assert fixed_in(advisory(TWICE), Query(name="demo", version="2.0")) == ("2.1",)
    assert fixed_in(advisory(NEVER), Query(name="demo", version="2.0")) == ()
