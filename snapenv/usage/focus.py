"""A month's charges as a dataset of FOCUS 1.2, with the columns that 1.3 has added. Pure.

A row is what a run used of one GPU at one price, or its power, or what nobody used of a model.
Corrections are rows of their own, of the class ``Correction``, so that a month that was handed in
stays as it was. Amounts are decimals of the currency; those of ``BilledCost`` sum up to the bill.
Source: https://focus.finops.org/focus-specification/v1-2/, v1-3
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from snapenv.csv_text import Cell, Number, csv_text
from snapenv.model.usage import HOUR_MS, KWH_MJ, UsageRun, UsageSum
from snapenv.money import decimal_text, spread
from snapenv.sizes import utc_text
from snapenv.usage.charges import OTHERS
from snapenv.usage.months import month_span
from snapenv.usage.pieces import Line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from snapenv.usage.charges import Charge
    from snapenv.usage.costs import MonthCosts
    from snapenv.usage.prices import PriceList

COLUMNS = (
    "AllocatedMethodDetails",
    "AllocatedMethodId",
    "AllocatedResourceId",
    "AllocatedResourceName",
    "AllocatedTags",
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "HostProviderName",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "RegionId",
    "RegionName",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "ServiceProviderName",
    "ServiceSubcategory",
    "SkuId",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "Tags",
    "x_EffectiveDensity",
    "x_RunId",
    "x_UtilizationSource",
)
SHARED = "equal-share-of-time"
"""How a GPU that several runs had at once is divided: docs/usage.md."""

_UNITS = {"gpu": ("GPU-Hours", HOUR_MS), "power": ("Kilowatt-Hours", KWH_MJ)}
_ALMOST_A_SECOND_MS = 999
_SERVICES = {"gpu": "GPU time", "power": "Power of GPUs"}


class _Row(Struct, frozen=True, kw_only=True):
    """A row before it is written: amounts are whole, so that one can be taken from another."""

    cells: Mapping[str, Cell]  # what does not depend on the amounts
    line: Line | None  # None of a bill that nothing is known of
    quantity: int
    list_cost: int
    billed: int
    is_correction: bool = False


def focus_csv(month: str, costs: MonthCosts, uncorrected: MonthCosts, prices: PriceList) -> str:
    """Return the dataset of a month; ``uncorrected`` is the month without its corrections."""
    same = _same(month, prices)
    rows = (same | _written(row) for row in _rows(costs, uncorrected))
    return csv_text(COLUMNS, ([row.get(column) for column in COLUMNS] for row in rows))


def _rows(costs: MonthCosts, uncorrected: MonthCosts) -> Iterator[_Row]:
    """Yield what was charged, and then what corrections have changed of it."""
    before, after = dict(_charged(uncorrected)), dict(_charged(costs))
    yield from before.values()
    for key in {**before, **after}:
        row = _difference(after.get(key), before.get(key))
        if row.quantity or row.list_cost or row.billed:
            yield row


def _difference(after: _Row | None, before: _Row | None) -> _Row:
    """Return what is to be added to a row for it to be another."""
    row = after or before
    assert row  # noqa: S101 - one of them is there
    return replace(
        row,
        quantity=(after.quantity if after else 0) - (before.quantity if before else 0),
        list_cost=(after.list_cost if after else 0) - (before.list_cost if before else 0),
        billed=(after.billed if after else 0) - (before.billed if before else 0),
        is_correction=True,
    )


def _charged(costs: MonthCosts) -> Iterator[tuple[tuple[object, ...], _Row]]:
    """Yield each row with what it is known by in a corrected month."""
    for at, cost in enumerate(costs.costs):
        charge = cost.charge
        own = charge.of.key if isinstance(charge.of, UsageRun) else at
        correction = isinstance(charge.of, UsageSum) and charge.of.is_correction
        cells = _of_charge(charge)
        for line, billed in _shares(cost.lines, cost.cost or 0):
            yield (
                (own, charge.gpu, *_place(line)),
                _row(cells | _of_line(line), line, billed, is_correction=correction),
            )
    for model in costs.models or ():
        cells = {"ChargeDescription": f"Unallocated {model.model}", "ResourceType": model.model}
        for line, billed in _shares(model.lines, model.unallocated_cost or 0):
            yield (None, model.model, *_place(line)), _row(cells | _of_line(line), line, billed)


def _place(line: Line | None) -> tuple[object, ...]:
    return (line.kind, line.since_ms) if line else ()


def _shares(lines: Sequence[Line], cost: int) -> Iterator[tuple[Line | None, int]]:
    """Divide a cost over its lines, by the prices of the list."""
    weights = [line.list_cost for line in lines]
    if any(weights):
        yield from zip(lines, spread(cost, weights), strict=True)
        return
    yield from ((line, 0) for line in lines)
    if cost:
        yield None, cost


def _row(
    cells: Mapping[str, Cell], line: Line | None, billed: int, *, is_correction: bool = False
) -> _Row:
    return _Row(
        cells=cells,
        line=line,
        quantity=line.quantity if line else 0,
        list_cost=line.list_cost if line else 0,
        billed=billed,
        is_correction=is_correction,
    )


def _same(month: str, prices: PriceList) -> dict[str, Cell]:
    """Return what all rows have in common."""
    begin, end = month_span(month)
    names = ("HostProviderName", "InvoiceIssuerName", "ProviderName", "PublisherName")
    return {
        **dict.fromkeys((*names, "ServiceProviderName", "RegionId", "RegionName"), prices.site),
        "BillingAccountId": prices.site,
        "BillingAccountName": prices.site,
        "BillingCurrency": prices.currency,
        "BillingPeriodStart": utc_text(begin // 1000),
        "BillingPeriodEnd": utc_text(end // 1000),
        "ChargePeriodStart": utc_text(begin // 1000),
        "ChargePeriodEnd": utc_text(end // 1000),
        "ChargeCategory": "Usage",
        "ChargeFrequency": "Usage-Based",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceSubcategory": "Machine Learning",
        "ServiceName": _SERVICES["gpu"],
    }


def _of_charge(charge: Charge) -> dict[str, Cell]:
    of = charge.of
    tags = _tags(of)
    run = of.run if isinstance(of, UsageRun) else None
    shared = charge.charged_ms != charge.allocated_ms
    seen_ms = charge.effective_ms + charge.idle_ms
    density = Number(f"{charge.effective_ms / seen_ms:.6f}") if seen_ms > 0 else None
    project = OTHERS if isinstance(of, UsageSum) and of.is_rest else of.project
    return {
        "AllocatedMethodId": SHARED if shared else None,
        "AllocatedResourceId": run if shared else None,
        "AllocatedResourceName": run if shared else None,
        "AllocatedTags": tags if shared else None,
        "ChargeDescription": f"{charge.gpu_model}, run {run}" if run else charge.gpu_model,
        "ResourceId": charge.gpu,
        "ResourceName": of.host if isinstance(of, UsageRun) else None,
        "ResourceType": charge.gpu_model,
        "SubAccountId": project,
        "SubAccountName": project,
        "Tags": tags,
        "x_EffectiveDensity": density,
        "x_RunId": run,
        "x_UtilizationSource": " ".join(charge.util_sources) or None,
    }


def _tags(of: UsageRun | UsageSum) -> str | None:
    """Return what a run declared and ran in, as a JSON object of strings; no user is in it."""
    tags = {
        "project": of.project,
        "purpose": of.purpose,
        "model": of.model,
        "tag": of.tag,
        "snapshot_digest": of.snapshot,
        "image_digest": of.image if isinstance(of, UsageRun) else None,
    }
    known = {name: value for name, value in tags.items() if value}
    return json.dumps(known, ensure_ascii=False) if known else None


def _of_line(line: Line | None) -> dict[str, Cell]:
    if line is None:
        return {}
    unit, _ = _UNITS[line.kind]
    price = Number(decimal_text(line.unit_price))
    sku = line.model if line.kind == "gpu" else "power"
    return {
        "ChargePeriodStart": utc_text(line.since_ms // 1000),
        "ChargePeriodEnd": utc_text(
            max(line.until_ms + _ALMOST_A_SECOND_MS, line.since_ms + 1000) // 1000
        ),
        "ConsumedUnit": unit,
        "ContractedUnitPrice": price,
        "ListUnitPrice": price,
        "PricingCategory": "Standard",
        "PricingUnit": unit,
        "ServiceName": _SERVICES[line.kind],
        "SkuId": sku,
        "SkuPriceId": f"{sku} {decimal_text(line.unit_price)}",
    }


def _written(row: _Row) -> dict[str, Cell]:
    list_cost, billed = Number(decimal_text(row.list_cost)), Number(decimal_text(row.billed))
    quantity = None
    if row.line:
        quantity = Number(f"{row.quantity / _UNITS[row.line.kind][1]:.9f}")
    return {
        **row.cells,
        "BilledCost": billed,
        "ChargeClass": "Correction" if row.is_correction else None,
        "ConsumedQuantity": quantity,
        "ContractedCost": list_cost,
        "EffectiveCost": billed,
        "ListCost": list_cost,
        "PricingQuantity": quantity,
    }
