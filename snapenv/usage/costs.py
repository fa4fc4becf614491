"""What the charges of a month cost, and what the GPUs cost that nobody had. Pure.

The bill is either what the price list makes of all GPU time that there was and of the energy that
runs used, or what the list states; then the costs are shares of it, by those prices. In both cases
the costs of all charges and the unallocated ones sum up to the bill, to the millionth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from snapenv.model.usage import HOUR_MS, KWH_MJ
from snapenv.money import spread
from snapenv.usage.charges import Charge
from snapenv.usage.months import month_span
from snapenv.usage.pieces import Line, Piece, in_pieces, pieces_of
from snapenv.usage.prices import (
    Rates,
    day_of,
    to_micros,
)
from snapenv.usage.unallocated import Machines, ModelTime, model_times, sizes_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snapenv.usage.prices import PriceList


class Cost(Struct, frozen=True):
    """A charge with what it costs; None where no price is known. The parts sum up to it."""

    charge: Charge
    lines: tuple[Line, ...] = ()  # by the prices of the list
    cost: int | None = None  # the sum of them, or the share of the bill that is stated
    effective_cost: int | None = None
    idle_cost: int | None = None
    unseen_cost: int | None = None
    co2_mg: int | None = None

    @property
    def list_cost(self) -> int:
        """Return what it costs by the price list."""
        return sum(line.list_cost for line in self.lines)


class MonthCosts(Struct, frozen=True, kw_only=True):
    """A month with all costs; ``models`` is None where it is not known which GPUs there are."""

    costs: tuple[Cost, ...]
    models: tuple[ModelTime, ...] | None
    priced: bool = False
    bill: int | None = None  # None without prices, or without ``models``


_UNKNOWN = ModelTime(model="unknown", gpus=0, capacity_ms=0, charged_ms=0)


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
    pieces = pieces_of(prices, begin, max(begin + 1, min(end, now_ms)))
    parts = [in_pieces(each, pieces) for each in charges]
    rates = Rates(prices) if prices else None
    costs = [
        _priced(charge, part, pieces, rates) if rates else Cost(charge)
        for charge, part in zip(charges, parts, strict=True)
    ]
    models = None
    if machines.whole:
        sizes = sizes_of(prices, machines, pieces)
        models = model_times(charges, parts, pieces, sizes, rates)
    if prices is None:
        return MonthCosts(costs=tuple(costs), models=models)
    return _billed(costs, models, prices.stated_bill(month))


def _priced(charge: Charge, times: Sequence[int], pieces: Sequence[Piece], rates: Rates) -> Cost:
    lines = [
        Line(
            kind="gpu",
            model=charge.gpu_model,
            since_ms=max(charge.since_ms, piece.begin_ms),
            until_ms=min(charge.until_ms, piece.end_ms),
            quantity=time_ms,
            unit_price=(per_hour := rates.gpu(charge.gpu_model, piece.day)),
            list_cost=round(per_hour * time_ms / HOUR_MS),
        )
        for piece, time_ms in zip(pieces, times, strict=True)
        if time_ms
    ]
    if charge.energy_mj is None:
        return Cost(charge, tuple(lines))
    day = day_of(charge.since_ms)
    power, factor = rates.power(day), rates.co2(day)
    site_mj = charge.energy_mj * (power.pue if power else 1.0)
    if power:  # at the price of the run's first day
        lines.append(_power(charge, site_mj, to_micros(power.per_kwh)))
    emitted = round(site_mj * factor.grams_per_kwh * 1000 / KWH_MJ) if factor else None
    return Cost(charge, tuple(lines), co2_mg=emitted)


def _power(charge: Charge, site_mj: float, per_kwh: int) -> Line:
    return Line(
        kind="power",
        model=charge.gpu_model,
        since_ms=charge.since_ms,
        until_ms=charge.until_ms,
        quantity=round(site_mj),
        unit_price=per_kwh,
        list_cost=round(per_kwh * site_mj / KWH_MJ),
    )


def _billed(
    costs: Sequence[Cost], models: tuple[ModelTime, ...] | None, stated: int | None
) -> MonthCosts:
    """Give each its share of the bill, and divide it by how the time was used."""
    own: Sequence[int] = [cost.list_cost for cost in costs]
    if models is None:
        return MonthCosts(costs=tuple(map(_in_parts, costs, own)), models=None, priced=True)
    rest: Sequence[int] = [model.list_cost for model in models]
    if stated is not None:
        if not any((*own, *rest)):  # nothing was used, nor is it known what there was
            models, rest = (*models, _UNKNOWN), (*rest, 1)
        shares = spread(stated, (*own, *rest))
        own, rest = shares[: len(own)], shares[len(own) :]
    priced = tuple(
        replace(each, unallocated_cost=share) for each, share in zip(models, rest, strict=True)
    )
    bill = sum((*own, *rest))
    whole = tuple(map(_in_parts, costs, own))
    return MonthCosts(costs=whole, models=priced, priced=True, bill=bill)


def _in_parts(charged: Cost, cost: int) -> Cost:
    charge = charged.charge
    times = (charge.effective_ms, charge.idle_ms, charge.unseen_ms)
    effective, idle, unseen = spread(cost, times) if any(times) else (0, 0, cost)
    return replace(charged, cost=cost, effective_cost=effective, idle_cost=idle, unseen_cost=unseen)
