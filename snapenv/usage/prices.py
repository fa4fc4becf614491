"""The price list: what a GPU costs an hour, what power costs, and what it emits, by date.

::

    currency = "EUR"
    site = "Berlin"                # as FOCUS names the provider, the account and the region

    [[gpu]]
    model = "NVIDIA H200"
    from = 2026-01-01
    per_hour = 3.10

    [[power]]                      # where it is paid beside the hours
    from = 2026-01-01
    per_kwh = 0.24
    pue = 1.3

    [[co2]]
    from = 2026-01-01
    grams_per_kwh = 363
    place = "Germany"
    year = 2024
    source = "Umweltbundesamt"

    [[fleet]]                      # what is paid, used or not
    model = "NVIDIA H200"
    from = 2026-01-01
    gpus = 8

    [[bill]]                       # what a month came to, to be divided by those prices
    month = "2026-11"
    amount = 18200.00

A line holds from the first moment of its day in UTC to its ``until``, or to the next line of the
same kind and model. A GPU whose hours have no price is an error, and never free.
"""

from __future__ import annotations

import datetime as dt
import functools
import math
import re
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec import Struct, field

from snapenv.errors import PriceListError
from snapenv.model.usage import HOUR_MS
from snapenv.money import MICROS
from snapenv.toml import one_line, parse_any_toml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

_LARGEST = 1e12
_MONTH = r"^\d{4}-(0[1-9]|1[0-2])$"


class _Dated(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    since: dt.date = field(name="from")
    until: dt.date | None = None  # exclusive


class GpuPrice(_Dated, frozen=True, kw_only=True):
    """What an hour of one GPU costs."""

    model: str  # as the driver names it; "NVIDIA " may be left out
    per_hour: float


class PowerPrice(_Dated, frozen=True, kw_only=True):
    """What power costs, where it is paid beside the hours."""

    per_kwh: float
    pue: float = 1.0  # what the site draws for each watt of a computer


class Co2Price(_Dated, frozen=True, kw_only=True):
    """What a kilowatt-hour emits."""

    grams_per_kwh: float
    place: str
    year: int
    source: str
    country: str | None = None  # ISO 3166 with three letters: "DEU"


class FleetSize(_Dated, frozen=True, kw_only=True):
    """How many GPUs of a model are paid, used or not."""

    model: str
    gpus: int


class Bill(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a month came to."""

    month: str
    amount: float


class PriceList(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A price list as it is written; amounts are in units of the currency."""

    currency: str  # ISO 4217
    site: str = "on-premises"  # where the GPUs are, as bills name it
    gpu: tuple[GpuPrice, ...] = ()
    power: tuple[PowerPrice, ...] = ()
    co2: tuple[Co2Price, ...] = ()
    fleet: tuple[FleetSize, ...] = ()
    bill: tuple[Bill, ...] = ()
    path: str = "the price list"

    def stated_bill(self, month: str) -> int | None:
        """Return what a month came to, in millionths; None where the list does not state it."""
        return next((to_micros(line.amount) for line in self.bill if line.month == month), None)


def read_prices(path: Path) -> PriceList:
    """Read a price list.

    Raises:
        PriceListError: There is none, or it is wrong; the place in it is named.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise PriceListError(
            f"the price list {path} cannot be read: {reason}",
            hint="Name another: --prices FILE.toml.",
        ) from error
    return parse_prices(text, path=str(path))


def parse_prices(text: str, *, path: str) -> PriceList:
    """Read the text of a price list; ``path`` is named in errors.

    Raises:
        PriceListError: It is wrong; the place in it is named.
    """
    try:
        prices = msgspec.convert({**parse_any_toml(text), "path": path}, PriceList)
        _check(prices)
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        raise PriceListError(
            f"the price list {path} is wrong: {one_line(str(error))}",
            hint="See docs/usage.md for what a price list looks like.",
        ) from error
    return prices


def _check(prices: PriceList) -> None:
    """Refuse what TOML allows and a price list does not.

    Raises:
        ValueError: The place, and what is wrong with it.
    """
    if not re.fullmatch("[A-Z]{3}", prices.currency):
        raise ValueError(f"currency: {prices.currency!r} is no code such as EUR")
    amounts: dict[str, Iterable[float]] = {
        "gpu.per_hour": (line.per_hour for line in prices.gpu),
        "power.per_kwh": (line.per_kwh for line in prices.power),
        "co2.grams_per_kwh": (factor.grams_per_kwh for factor in prices.co2),
        "fleet.gpus": (line.gpus for line in prices.fleet),
        "bill.amount": (line.amount for line in prices.bill),
    }
    for name, values in amounts.items():
        for value in values:
            if not 0 <= value < _LARGEST:  # nan is not either
                raise ValueError(f"{name}: {value} is not from 0 to a million million")
    for power in prices.power:
        if not 1 <= power.pue < math.inf:
            raise ValueError(f"power.pue: {power.pue} is not 1 or more")
    for bill in prices.bill:
        if not re.fullmatch(_MONTH, bill.month):
            raise ValueError(f"bill.month: {bill.month!r} is not a month such as 2026-11")
    _check_bills(prices.bill)
    _check_dates("power", {"": prices.power})
    _check_dates("co2", {"": prices.co2})
    _check_dates("gpu", _by_model(prices.gpu))
    _check_dates("fleet", _by_model(prices.fleet))


def _check_bills(bills: Sequence[Bill]) -> None:
    months = [bill.month for bill in bills]
    twice = next((month for month in months if months.count(month) > 1), None)
    if twice:
        raise ValueError(f"bill.month: {twice} is there twice")


def _check_dates(kind: str, lines: Mapping[str, Sequence[_Dated]]) -> None:
    for model, of_model in lines.items():
        name = f"{kind} {model}".strip()
        for each in of_model:
            if each.until and each.until <= each.since:
                raise ValueError(f"{name}: until {each.until} is not after from {each.since}")
        for earlier, later in pairwise(sorted(of_model, key=lambda line: line.since)):
            if earlier.since == later.since or (earlier.until and earlier.until > later.since):
                raise ValueError(f"{name}: two lines hold on {later.since}")


_Line = TypeVar("_Line", bound=_Dated)
_Model = TypeVar("_Model", GpuPrice, FleetSize)


def _by_model(lines: Iterable[_Model]) -> dict[str, list[_Model]]:
    by_model: dict[str, list[_Model]] = {}
    for line in lines:
        by_model.setdefault(model_key(line.model), []).append(line)
    return by_model


def model_key(name: str) -> str:
    """Write the name of a GPU's model as all lists and drivers may write it alike."""
    return " ".join(name.casefold().split()).removeprefix("nvidia ")


def _line_on(lines: Iterable[_Line], day: dt.date) -> _Line | None:
    """Return the line that holds on a day."""
    begun = [line for line in lines if line.since <= day]
    last = max(begun, key=lambda each: each.since, default=None)
    return None if last is None or (last.until and last.until <= day) else last


def gpu_line(prices: PriceList, model: str, day: dt.date) -> GpuPrice | None:
    """Return the line of a GPU that holds on a day; None where the list has none."""
    key = model_key(model)
    return _line_on((line for line in prices.gpu if model_key(line.model) == key), day)


def gpu_price(prices: PriceList, model: str, day: dt.date) -> int:
    """Return what an hour of a GPU costs on a day, in millionths.

    Raises:
        PriceListError: The list has no price for it.
    """
    line = gpu_line(prices, model, day)
    if line is None:
        raise PriceListError(
            f"{prices.path} has no price for {one_line(model)} on {day}",
            hint=f'Add a [[gpu]] with model = "{one_line(model)}" and from = {day} or earlier.',
        )
    return to_micros(line.per_hour)


def fleet_on(prices: PriceList, day: dt.date) -> dict[str, int]:
    """Return how many GPUs of each model are paid on a day, by the name that the list has."""
    lines = (_line_on(of_model, day) for of_model in _by_model(prices.fleet).values())
    return {line.model: line.gpus for line in lines if line}


def power_on(prices: PriceList, day: dt.date) -> PowerPrice | None:
    """Return what power costs on a day; None where it is not paid beside the hours."""
    return _line_on(prices.power, day)


def co2_on(prices: PriceList, day: dt.date) -> Co2Price | None:
    """Return what a kilowatt-hour emits on a day; None where the list does not say."""
    return _line_on(prices.co2, day)


def day_pieces(prices: PriceList, since_ms: int, until_ms: int) -> tuple[tuple[dt.date, int], ...]:
    """Cut a span of time where any line of the list begins or ends.

    Returns the first day of each piece, and its milliseconds; one price holds in all of it.
    """
    lines: Iterable[_Dated] = (*prices.gpu, *prices.power, *prices.co2, *prices.fleet)
    days = {day for line in lines for day in (line.since, line.until) if day}
    inside = sorted(ms for ms in map(start_ms, days) if since_ms < ms < until_ms)
    return tuple((day_of(a), b - a) for a, b in pairwise((since_ms, *inside, until_ms)))


def gpu_cost(prices: PriceList, model: str, since_ms: int, until_ms: int) -> int:
    """Return what one GPU costs from a moment to another, without its power, in millionths.

    Raises:
        PriceListError: The list has no price for a part of it.
    """
    return sum(
        gpu_price(prices, model, day) * span_ms // HOUR_MS
        for day, span_ms in day_pieces(prices, since_ms, until_ms)
    )


class Rates:
    """What holds on a day, looked up once for each day."""

    def __init__(self, prices: PriceList) -> None:
        self.gpu = functools.cache(functools.partial(gpu_price, prices))
        self.power = functools.cache(functools.partial(power_on, prices))
        self.co2 = functools.cache(functools.partial(co2_on, prices))


def start_ms(day: dt.date) -> int:
    """Return the first moment of a day of UTC."""
    return int(dt.datetime(day.year, day.month, day.day, tzinfo=dt.timezone.utc).timestamp()) * 1000


def day_of(at_ms: int) -> dt.date:
    """Return the day of UTC of a moment."""
    return dt.datetime.fromtimestamp(at_ms / 1000, dt.timezone.utc).date()


def to_micros(amount: float) -> int:
    """Return an amount of the list in millionths."""
    return round(amount * MICROS)
