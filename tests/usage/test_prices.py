from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from snapenv.errors import PriceListError
from snapenv.usage.prices import (
    co2_on,
    day_pieces,
    fleet_on,
    gpu_cost,
    gpu_price,
    parse_prices,
    power_on,
    read_prices,
    start_ms,
)

if TYPE_CHECKING:
    from pathlib import Path

LIST = """
currency = "EUR"

[[gpu]]
model = "NVIDIA H200"
from = 2026-01-01
per_hour = 3.10

[[gpu]]
model = "NVIDIA H200"
from = 2026-11-16
until = 2026-12-01
per_hour = 2.60

[[gpu]]
model = "L4"
from = 2026-01-01
per_hour = 0.8

[[power]]
from = 2026-01-01
per_kwh = 0.24
pue = 1.3

[[co2]]
from = 2026-01-01
grams_per_kwh = 363
place = "Germany"
country = "DEU"
year = 2024
source = "Umweltbundesamt"

[[fleet]]
model = "NVIDIA H200"
from = 2026-02-01
gpus = 8

[[bill]]
month = "2026-11"
amount = 18200.01
"""
PRICES = parse_prices(LIST, path="prices.toml")
HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("model", "day", "micros"),
    [
        ("NVIDIA H200", dt.date(2026, 1, 1), 3_100_000),
        ("NVIDIA H200", dt.date(2026, 11, 15), 3_100_000),
        ("NVIDIA H200", dt.date(2026, 11, 16), 2_600_000),
        ("h200", dt.date(2026, 11, 30), 2_600_000),
        ("NVIDIA L4", dt.date(2026, 12, 31), 800_000),
    ],
)
def test_the_price_is_that_of_the_day(model: str, day: dt.date, micros: int) -> None:
    assert gpu_price(PRICES, model, day) == micros


@pytest.mark.parametrize(
    ("model", "day"),
    [
        ("NVIDIA H200", dt.date(2025, 12, 31)),  # before the first line
        ("NVIDIA H200", dt.date(2026, 12, 1)),  # the last one has ended
        ("NVIDIA H200 MIG 1g.18gb", dt.date(2026, 2, 1)),
    ],
)
def test_a_hole_names_the_gpu_and_the_day(model: str, day: dt.date) -> None:
    with pytest.raises(PriceListError) as raised:
        gpu_price(PRICES, model, day)

    assert model in raised.value.message
    assert str(day) in raised.value.message
    assert "prices.toml" in raised.value.message
    assert model in raised.value.hint


def test_a_span_across_a_change_costs_each_part_at_its_price() -> None:
    change = start_ms(dt.date(2026, 11, 16))

    assert gpu_cost(PRICES, "NVIDIA H200", change - 2 * HOUR_MS, change + HOUR_MS) == 8_800_000
    assert day_pieces(PRICES, change - 2 * HOUR_MS, change + HOUR_MS) == (
        (dt.date(2026, 11, 15), 2 * HOUR_MS),
        (dt.date(2026, 11, 16), HOUR_MS),
    )
    with pytest.raises(PriceListError):
        gpu_cost(PRICES, "NVIDIA H200", change, start_ms(dt.date(2026, 12, 2)))


def test_power_has_its_dates_too() -> None:
    power = power_on(PRICES, dt.date(2026, 6, 1))

    assert power is not None
    assert (power.per_kwh, power.pue) == (0.24, 1.3)
    assert power_on(PRICES, dt.date(2025, 6, 1)) is None


def test_fleet_factor_and_bill_are_read_with_their_dates() -> None:
    factor = co2_on(PRICES, dt.date(2026, 3, 1))

    assert factor is not None
    assert (factor.grams_per_kwh, factor.place, factor.year) == (363, "Germany", 2024)
    assert fleet_on(PRICES, dt.date(2026, 1, 31)) == {}
    assert fleet_on(PRICES, dt.date(2026, 2, 1)) == {"NVIDIA H200": 8}
    assert PRICES.stated_bill("2026-11") == 18_200_010_000
    assert PRICES.stated_bill("2026-10") is None


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "currency"),
        ('currency = "euro"', "currency"),
        ('currency = "EUR"\nprice = 3', "price"),
        ('currency = "EUR"\n[[gpu]]\nmodel = "L4"\nfrom = "1 May"\nper_hour = 1', "gpu[0].from"),
        ('currency = "EUR"\n[[gpu]]\nmodel = "L4"\nfrom = 2026-01-01', "per_hour"),
        ('currency = "EUR"\n[[gpu]]\nmodel = "L4"\nfrom = 2026-01-01\nper_hour = -1', "per_hour"),
        ('currency = "EUR"\n[[gpu]]\nmodel = "L4"\nfrom = 2026-01-01\nper_hour = nan', "per_hour"),
        ('currency = "EUR"\n[[power]]\nfrom = 2026-01-01\nper_kwh = 0.2\npue = 0.5', "power.pue"),
        ('currency = "EUR"\n[[bill]]\nmonth = "2026-13"\namount = 1', "bill.month"),
        (
            'currency = "EUR"\n' + '[[bill]]\nmonth = "2026-11"\namount = 1\n' * 2,
            "bill.month: 2026-11 is there twice",
        ),
        (
            (
                'currency = "EUR"\n[[gpu]]\nmodel = "L4"\nfrom = 2026-01-02\nper_hour = 1\n'
                '[[gpu]]\nmodel = "NVIDIA L4"\nfrom = 2026-01-02\nper_hour = 2'
            ),
            "gpu l4: two lines hold on 2026-01-02",
        ),
        (
            (
                'currency = "EUR"\n[[gpu]]\nmodel = "L4"\nfrom = 2026-01-01\nuntil = 2026-03-01\n'
                'per_hour = 1\n[[gpu]]\nmodel = "L4"\nfrom = 2026-02-01\nper_hour = 2'
            ),
            "two lines hold on 2026-02-01",
        ),
        (
            (
                'currency = "EUR"\n[[gpu]]\nmodel = "L4"\nfrom = 2026-01-02\nuntil = 2026-01-02\n'
                "per_hour = 1"
            ),
            "until 2026-01-02 is not after",
        ),
        ("currency = [", "prices.toml"),
        ("a" + ".a" * 5000 + " = 1", "prices.toml"),
    ],
)
def test_a_wrong_list_is_refused_with_the_place(text: str, place: str) -> None:
    with pytest.raises(PriceListError) as raised:
        parse_prices(text, path="prices.toml")

    assert place in raised.value.message
    assert "prices.toml" in raised.value.message


def test_a_list_that_is_not_there_or_no_text_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PriceListError, match="missing.toml cannot be read"):
        read_prices(tmp_path / "missing.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(PriceListError, match="UTF-8"):
        read_prices(tmp_path / "binary.toml")
