"""A year of a team's GPUs: what its ledger takes up, and how long a report of it takes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from snapenv.usage.ledger import open_ledger
from tests.command import Command
from tests.usage_year import FIRST_MONTH, GPUS, LAST_MONTH, RUNS, fill_year

if TYPE_CHECKING:
    from pathlib import Path

SNAPENV = Command()
HOUR_MS = 3_600_000


@pytest.mark.parametrize("runs", [800, pytest.param(RUNS, marks=pytest.mark.full)])
def test_a_year_is_reported_within_five_seconds(
    runs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "usage.sqlite3"
    fill_year(path, runs=runs)
    monkeypatch.setenv("SNAPENV_LEDGER", str(path))

    began_s = time.process_time()
    report = SNAPENV.result("usage", "report", "--month", LAST_MONTH)
    took_s = time.process_time() - began_s

    with open_ledger(path) as ledger:
        rows = ledger.run_gpus(LAST_MONTH, LAST_MONTH)
        assert len(ledger.run_gpus(FIRST_MONTH, LAST_MONTH)) > runs
    allocated_ms = sum(row["totals"]["allocated_ms"] for row in report["rows"])
    charged_ms = sum(row["totals"]["charged_ms"] for row in report["rows"])
    assert allocated_ms == sum(row.allocated_ms for row in rows) >= charged_ms
    assert charged_ms + report["unallocated_ms"] == GPUS * 30 * 24 * HOUR_MS
    assert len(report["months"]) == 12
    assert took_s < 5
    assert path.stat().st_size < 1500 * runs + 200_000
