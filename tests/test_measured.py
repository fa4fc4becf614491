"""What was measured is shown as it was recorded: medians, multiples in the same round, growth."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from docs import measured
from tests.benchmarks import results
from tests.benchmarks.faithfulness import difference
from tests.benchmarks.results import Conditions, Outcome, Result, Row, Table
from tests.benchmarks.shown import cells_of, growth_of

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

TABLE = Table(
    title="Nothing changed",
    rows=(
        Row(name="pip freeze", seconds=(0.2, 0.4, 0.3), memory_mib=30.0),
        Row(name="snapenv capture", seconds=(0.1, 0.1, 0.3), memory_mib=60.0, size_bytes=2_000_000),
    ),
    against="pip freeze",
)
GROWN = Table(
    title="Packages",
    rows=(
        Row(name="capture", seconds=(1.0,), memory_mib=50.0, size=50.0),
        Row(name="capture", seconds=(10.0,), memory_mib=55.0, size=1000.0),
    ),
    unit="packages",
)
CONDITIONS = Conditions(
    date="2026-03-01", machine="2 cores", load=(0.1, 1.0), seconds=9.0, versions={"uv": "0.9"}
)


def test_a_multiple_is_the_median_of_those_in_the_same_round() -> None:
    assert cells_of(TABLE) == [
        ["", "seconds", "lowest to highest", "x pip freeze", "most MiB", "MB"],
        ["pip freeze", "0.3", "0.2 to 0.4", "1.00", "30", ""],
        ["snapenv capture", "0.1", "0.1 to 0.3", "0.50 (0.25 to 1)", "60", "2.0"],
    ]


def test_growth_is_told_from_the_smallest_to_the_largest() -> None:
    assert list(growth_of(GROWN)) == [
        "capture: 20 times as much takes 10.0 times the time, 1.1 times the memory"
    ]


def test_what_a_restore_lost_and_added_is_counted() -> None:
    before = {"files": {"a": 1, "b": 2, "c": 3}, "dists": ["x"]}
    after = {"files": {"a": 1, "b": 9, "d": 4, "e": 5}, "dists": []}

    assert difference(before, after) == "of 3 files 1 missing, 1 other, 2 more; other packages"
    assert difference(before, before) == ""


def test_what_was_recorded_is_drawn_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in (results, measured):
        monkeypatch.setattr(place, "RECORDED", tmp_path)
    outcomes = [
        Outcome(group="in a venv", case=case, tool=tool, outcome=outcome)
        for case, tool, outcome in (
            ("edited", "snapenv", "same"),
            ("edited", "pip freeze", "broken"),
            ("plain", "snapenv", "same"),
            ("plain", "pip freeze", "same"),
        )
    ]
    found = Result(
        name="all_of_it",
        conditions=CONDITIONS,
        tables=(TABLE, GROWN),
        outcomes=tuple(outcomes),
    )
    assert measured.block("all_of_it") == measured.NOT_YET

    results.write_result(tmp_path, found)

    assert results.read_result("all_of_it") == found
    lines = measured.block("all_of_it").splitlines()
    assert lines[0].startswith("Recorded 2026-03-01 on 2 cores; load 0.1 before, 1.0 after. uv 0.9")
    assert "| snapenv | 2 |  |  |  |  |" in lines
    assert "| edited | same | broken |" in lines
    pictures = measured.pictures()
    shown = [line for line in lines if line.startswith("![")]
    assert {line.rpartition("/")[2].rstrip(")") for line in shown} == {
        path.name for path in pictures
    }
    assert len(pictures) == len(shown) == 3
    for text in pictures.values():
        ET.fromstring(text)
