from __future__ import annotations

import pytest

from snapenv.report.amounts import cents, energy, mass, money, percent, time


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (time(0), "0.0 s"),
        (time(1_500), "1.5 s"),
        (time(59_999), "60.0 s"),
        (time(90_000), "1.5 min"),
        (time(4_444_440_000), "1,234.6 h"),
        (energy(1_000), "1.0 J"),
        (energy(5_400_000), "1.5 Wh"),
        (energy(3_600_000_000_000), "1,000.0 kWh"),
        (mass(500), "0.5 g"),
        (mass(363_000_000), "363.0 kg"),
        (mass(2_500_000_000), "2.5 t"),
        (money(1_234_560_000, "EUR"), "1,234.56 EUR"),
        (money(-50_000), "-0.05"),
        (money(4_999), "0.00"),
        (cents(100_000_005, "EUR"), "1,000,000.05 EUR"),
        (cents(-123), "-1.23"),
        (percent(0.4958), "49.6 %"),
        (percent(None), "unknown"),
    ],
)
def test_amounts_are_written_in_the_unit_that_fits(text: str, written: str) -> None:
    assert text == written
