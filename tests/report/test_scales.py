from __future__ import annotations

import pytest

from snapenv.report.scales import round_ticks


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (59.93, 60.42, (59.8, 60.0, 60.2, 60.4, 60.6)),
        (0.0, 100.0, (0.0, 50.0, 100.0)),
        (1.0, 10.0, (0.0, 5.0, 10.0)),
        (-3.0, 4.0, (-4.0, -2.0, 0.0, 2.0, 4.0)),
        (2.0, 2.0, (1.9, 1.95, 2.0, 2.05, 2.1)),
        (2.0, 2.000001, (1.8, 1.9, 2.0, 2.1, 2.2)),
        (0.0, 0.0, (-1.0, -0.5, 0.0, 0.5, 1.0)),
    ],
)
def test_an_axis_has_round_numbers_around_all_values(
    low: float, high: float, ticks: tuple[float, ...]
) -> None:
    assert round_ticks(low, high) == pytest.approx(ticks)
