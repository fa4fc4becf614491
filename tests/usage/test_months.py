from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING

import pytest

from snapenv.usage.months import by_month, is_month, month_of, month_span, shift_month
from snapenv.usage.prices import day_of, start_ms

if TYPE_CHECKING:
    from collections.abc import Iterator

NOVEMBER_MS = 1_793_491_200_000  # date -d 2026-11-01T00:00:00Z +%s


@pytest.fixture(params=["UTC", "Asia/Tokyo", "America/Los_Angeles"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Be on a machine of another time zone."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("zone")
def test_months_and_days_are_those_of_utc_wherever_the_machine_is() -> None:
    month_span.cache_clear()

    assert month_span("2026-11") == (NOVEMBER_MS, NOVEMBER_MS + 30 * 86_400_000)
    assert (month_of(NOVEMBER_MS - 1), month_of(NOVEMBER_MS)) == ("2026-10", "2026-11")
    assert start_ms(dt.date(2026, 11, 1)) == NOVEMBER_MS
    assert (day_of(NOVEMBER_MS - 1), day_of(NOVEMBER_MS)) == (
        dt.date(2026, 10, 31),
        dt.date(2026, 11, 1),
    )


@pytest.mark.parametrize(
    ("month", "by", "other"),
    [("2026-11", 1, "2026-12"), ("2026-12", 1, "2027-01"), ("2026-01", -13, "2024-12")],
)
def test_a_month_is_shifted_across_years(month: str, by: int, other: str) -> None:
    assert shift_month(month, by) == other


@pytest.mark.parametrize("text", ["2026-00", "2026-13", "2026-1", "26-01", "2026-01-01", "", "x"])
def test_what_is_no_month_is_told(text: str) -> None:
    assert not is_month(text)
    assert is_month("2026-11")


def test_a_time_of_months_has_a_part_for_each() -> None:
    day, december_ms = 86_400_000, NOVEMBER_MS + 30 * 86_400_000

    assert by_month(december_ms + day, 61 * day) == (
        ("2026-10", 30 * day),
        ("2026-11", 30 * day),
        ("2026-12", day),
    )
    assert by_month(december_ms, 5) == (("2026-11", 5),)
    assert by_month(december_ms, 0) == (("2026-12", 0),)
