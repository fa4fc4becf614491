"""What the charges of a month cost, and what the GPUs cost that nobody had. Pure.

The bill is either what the price list makes of all GPU time that there was and of the energy that
runs used, or what the list states; then the costs are shares of it, by those prices. In both cases
the costs of all charges and the unallocated ones sum up to the bill, to the millionth.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections import defaultdict
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from snapenv.model.usage import MachineGpu
from snapenv.money import spread
from snapenv.usage.charges import Charge
from snapenv.usage.months import month_span
from snapenv.usage.prices import (
    MJ_OF_A_KWH,
    MS_OF_AN_HOUR,
    co2_on,
    day_of,
    day_pieces,
    fleet_on,
    gpu_price,
    model_key,
    power_cost,
    power_on,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from snapenv.usage.prices import PriceList


class Cost(Struct, frozen=True):
    """A charge with what it costs; None where no price is known. The parts sum up to it."""

    charge: Charge
    list_cost: int | None = None  # by the prices of the list
    cost: int | None = None  # the same, or the share of the bill that is stated
    effective_cost: int | None = None
    idle_cost: int | None = None
    unseen_cost: int | None = None
    co2_mg: int | None = None


class ModelTime(Struct, frozen=True, kw_only=True):
    """The GPUs of one model in a month."""

    model: str
    gpus: int
    capacity_ms: int
    charged_ms: int
    list_cost: int = 0  # of what nobody had
    unallocated_cost: int | None = None  # the same, or the share of the bill that is stated

    @property
    def unallocated_ms(self) -> int:
        """Return the time that nobody had."""
        return self.capacity_ms - self.charged_ms


_UNKNOWN = ModelTime(model="unknown", gpus=0, capacity_ms=0, charged_ms=0)


class Machines(Struct, frozen=True):
    """What is known of the GPUs that there are."""

    gpus: tuple[MachineGpu, ...] | None  # None where only a price list may tell
    whole: bool = True  # the charges are of everybody


class MonthCosts(Struct, frozen=True, kw_only=True):
    """A month with all costs; ``models`` is None where it is not known which GPUs there are."""

    costs: tuple[Cost, ...]
    models: tuple[ModelTime, ...] | None
    priced: bool = False
    bill: int | None = None  # None without prices, or without ``models``


class _Piece(Struct, frozen=True):
    """A part of a month in which no price changes."""

    day: dt.date
    begin_ms: int
    end_ms: int


def month_costs(
    month: str,
    charges: Sequence[Charge],
    machines: Machines,
    prices: PriceList | None,
    now_ms: int,
) -> MonthCosts:
    """Return what a month's charges cost, and the GPUs that nobody had.

    Where the price list says how many GPUs are paid, those are the GPUs that there are. Where the
    charges are not of everybody, nothing is unallocated, and no bill is divided.

    Raises:
        PriceListError: The list has no price for a GPU on a day.
    """
    begin, end = month_span(month)
    until = max(begin, min(end, now_ms))
    pieces = _pieces(prices, begin, end)
    parts = [_in_pieces(one, pieces) for one in charges]
    price = functools.cache(lambda model, day: gpu_price(prices, model, day) if prices else 0)
    costs = [
        _list_cost(charge, part, pieces, prices, price)
        for charge, part in zip(charges, parts, strict=True)
    ]
    models = None
    if machines.whole:
        sizes = _sizes(prices, machines, pieces, until)
        models = _models(charges, parts, pieces, sizes, price) if sizes else None
    if prices is None:
        return MonthCosts(costs=tuple(costs), models=models)
    return _billed(costs, models, prices.stated_bill(month))


def _pieces(prices: PriceList | None, begin: int, end: int) -> tuple[_Piece, ...]:
    if prices is None:
        return (_Piece(day_of(begin), begin, end),)
    found = []
    for day, span_ms in day_pieces(prices, begin, end):
        found.append(_Piece(day, begin, begin + span_ms))
        begin += span_ms
    return tuple(found)


def _in_pieces(charge: Charge, pieces: Sequence[_Piece]) -> tuple[int, ...]:
    """Divide the charged time over the pieces, by how long the run went on in each."""
    if len(pieces) == 1:
        return (charge.charged_ms,)
    times = [
        max(0, min(charge.until_ms, piece.end_ms) - max(charge.since_ms, piece.begin_ms))
        for piece in pieces
    ]
    if not any(times):  # it had no time of the clock: all of it is where it began
        times = [int(piece.begin_ms <= charge.since_ms < piece.end_ms) for piece in pieces]
    return spread(charge.charged_ms, times if any(times) else [*times[:-1], 1])


def _list_cost(
    charge: Charge,
    times: Sequence[int],
    pieces: Sequence[_Piece],
    prices: PriceList | None,
    price: Callable[[str, dt.date], int],
) -> Cost:
    if prices is None:
        return Cost(charge)
    cost = 0
    for piece, time_ms in zip(pieces, times, strict=True):
        if time_ms:
            cost += round(price(charge.gpu_model, piece.day) * time_ms / MS_OF_AN_HOUR)
    day = day_of(charge.since_ms)
    co2_mg = None
    if charge.energy_mj is not None:
        cost += power_cost(prices, charge.energy_mj, day)
        co2_mg = emitted_mg(prices, charge.energy_mj, day)
    return Cost(charge, list_cost=cost, co2_mg=co2_mg)


def emitted_mg(prices: PriceList, energy_mj: int, day: dt.date) -> int | None:
    """Return what energy emitted, with the PUE; None where the list has no factor."""
    factor, power = co2_on(prices, day), power_on(prices, day)
    if factor is None:
        return None
    pue = power.pue if power else 1.0
    return round(energy_mj * pue * factor.grams_per_kwh * 1000 / MJ_OF_A_KWH)


def _sizes(
    prices: PriceList | None, machines: Machines, pieces: Sequence[_Piece], until_ms: int
) -> Sequence[Mapping[str, tuple[int, int]]]:
    """Return for each piece the GPUs of each model and their time; empty where nothing tells."""
    if prices and any(fleet_on(prices, piece.day) for piece in pieces):
        return [_fleet(prices, piece, until_ms) for piece in pieces]
    if machines.gpus is not None:
        return [_present(machines.gpus, piece, until_ms) for piece in pieces]
    return ()


def _fleet(prices: PriceList, piece: _Piece, until_ms: int) -> dict[str, tuple[int, int]]:
    """Return how many GPUs of each model are paid in a piece, and their time."""
    span_ms = max(0, min(piece.end_ms, until_ms) - piece.begin_ms)
    return {model: (n, n * span_ms) for model, n in fleet_on(prices, piece.day).items()}


def _present(
    machine_gpus: Iterable[MachineGpu], piece: _Piece, until_ms: int
) -> dict[str, tuple[int, int]]:
    """Return how many GPUs of each model machines had in a piece, and their time."""
    found: dict[str, tuple[int, int]] = {}
    for gpu in machine_gpus:
        begin, end = max(gpu.first_ms, piece.begin_ms), min(gpu.last_ms, piece.end_ms, until_ms)
        if end > begin or piece.begin_ms <= gpu.first_ms < piece.end_ms:
            number, span_ms = found.get(gpu.model, (0, 0))
            found[gpu.model] = number + 1, span_ms + max(0, end - begin)
    return found


def _models(
    charges: Sequence[Charge],
    parts: Sequence[Sequence[int]],
    pieces: Sequence[_Piece],
    sizes: Sequence[Mapping[str, tuple[int, int]]],
    price: Callable[[str, dt.date], int],
) -> tuple[ModelTime, ...]:
    """Return each model's time; runs had at least what they are charged for."""
    charged = [defaultdict[str, int](int) for _ in pieces]
    uuids = defaultdict[str, set[str | None]](set)
    for charge, part in zip(charges, parts, strict=True):
        uuids[charge.gpu_model].add(charge.gpu)
        for of_piece, time_ms in zip(charged, part, strict=True):
            of_piece[charge.gpu_model] += time_ms
    names = _same_names(uuids, sizes)
    found = []
    for model in sorted({*uuids, *names.values()}):
        gpus, capacity_ms, list_cost = len(uuids.get(model, ())), 0, 0
        for piece, had, size in zip(pieces, charged, sizes, strict=True):
            of_model = [amount for name, amount in size.items() if names[name] == model]
            gpus = max(gpus, sum(number for number, _ in of_model))
            whole_ms = max(had[model], sum(span_ms for _, span_ms in of_model))
            capacity_ms += whole_ms
            if whole_ms > had[model]:
                nobodys_ms = whole_ms - had[model]
                list_cost += round(price(model, piece.day) * nobodys_ms / MS_OF_AN_HOUR)
        found.append(
            ModelTime(
                model=model,
                gpus=gpus,
                capacity_ms=capacity_ms,
                charged_ms=sum(of_piece[model] for of_piece in charged),
                list_cost=list_cost,
            )
        )
    return tuple(found)


def _same_names(
    charged: Iterable[str], sizes: Iterable[Mapping[str, tuple[int, int]]]
) -> dict[str, str]:
    """Return for each name of a model that of the driver, which a list may have shortened."""
    of_drivers = {model_key(name): name for name in charged}
    written = (name for size in sizes for name in size)
    return {name: of_drivers.setdefault(model_key(name), name) for name in written}


def _billed(
    costs: Sequence[Cost], models: tuple[ModelTime, ...] | None, stated: int | None
) -> MonthCosts:
    """Give each its share of the bill, and divide it by how the time was used."""
    own: Sequence[int] = [one.list_cost or 0 for one in costs]
    if models is None:
        return MonthCosts(costs=tuple(map(_in_parts, costs, own)), models=None, priced=True)
    rest: Sequence[int] = [one.list_cost for one in models]
    if stated is not None:
        if not any((*own, *rest)):  # nothing was used, nor is it known what there was
            models, rest = (*models, _UNKNOWN), (*rest, 1)
        shares = spread(stated, (*own, *rest))
        own, rest = shares[: len(own)], shares[len(own) :]
    priced = tuple(
        replace(one, unallocated_cost=share) for one, share in zip(models, rest, strict=True)
    )
    bill = sum((*own, *rest))
    whole = tuple(map(_in_parts, costs, own))
    return MonthCosts(costs=whole, models=priced, priced=True, bill=bill)


def _in_parts(one: Cost, cost: int) -> Cost:
    charge = one.charge
    times = (charge.effective_ms, charge.idle_ms, charge.unseen_ms)
    effective, idle, unseen = spread(cost, times) if any(times) else (0, 0, cost)
    return replace(one, cost=cost, effective_cost=effective, idle_cost=idle, unseen_cost=unseen)
