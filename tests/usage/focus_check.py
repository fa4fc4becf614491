"""What FOCUS 1.2 asks of a dataset of cost and usage, checked on the text of a CSV file.

Source: FOCUS_Spec 1.2, specification/columns; the columns of 1.3 in its dataset of cost and usage.
"""

from __future__ import annotations

import csv
import io
import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MANDATORY = {
    *("BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency"),
    *("BillingPeriodStart", "BillingPeriodEnd", "ChargeCategory", "ChargeClass"),
    *("ChargeDescription", "ChargePeriodStart", "ChargePeriodEnd", "ContractedCost"),
    *("EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingQuantity", "PricingUnit"),
    *("ProviderName", "PublisherName", "ServiceCategory", "ServiceName"),
    *("HostProviderName", "ServiceProviderName"),  # since 1.3
}
ADDED_BY_1_3 = {
    *("AllocatedMethodDetails", "AllocatedMethodId", "AllocatedResourceId"),
    *("AllocatedResourceName", "AllocatedTags", "HostProviderName", "ServiceProviderName"),
}
NULLABLE = {"BillingAccountName", "ChargeClass", "ChargeDescription", "PricingQuantity"} | {
    "PricingUnit"
}
COSTS = ("BilledCost", "ContractedCost", "EffectiveCost", "ListCost")
NUMBERS = (*COSTS, "ConsumedQuantity", "ContractedUnitPrice", "ListUnitPrice", "PricingQuantity")
TIMES = ("BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd")
CATEGORIES = {"Usage", "Purchase", "Tax", "Credit", "Adjustment"}
NUMBER = re.compile(r"-?\d+(\.\d+)?([Ee]-?\d+)?")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def faults(text: str) -> list[str]:
    """Return what is wrong with a dataset, a line each; empty where nothing is."""
    rows = csv.DictReader(io.StringIO(text, newline=""))
    header = list(rows.fieldnames or ())
    found = [f"{name} is missing" for name in sorted(MANDATORY - set(header))]
    own = [name.startswith("x_") for name in header]
    if own != sorted(own) or any(len(name) > 50 for name in header):
        found.append("own columns come last, and are short")
    for number, row in enumerate(rows, start=1):
        found += (f"row {number}: {fault}" for fault in _faults(row))
    return found


def _faults(row: dict[str, str]) -> Iterator[str]:
    yield from (f"{name} is null" for name in sorted(MANDATORY - NULLABLE) if not row.get(name))
    yield from (
        f"{name}: {row[name]}" for name in NUMBERS if row[name] and not NUMBER.fullmatch(row[name])
    )
    yield from (f"{name}: {row[name]}" for name in TIMES if not TIME.fullmatch(row.get(name, "")))
    if row["ChargeCategory"] not in CATEGORIES:
        yield f"ChargeCategory: {row['ChargeCategory']}"
    if row["ChargeClass"] not in {"", "Correction"}:
        yield f"ChargeClass: {row['ChargeClass']}"
    if not re.fullmatch("[A-Z]{3}", row["BillingCurrency"]):
        yield f"BillingCurrency: {row['BillingCurrency']}"
    if bool(row["PricingQuantity"]) != bool(row["PricingUnit"]):
        yield "PricingUnit goes with PricingQuantity"
    if row["ConsumedQuantity"] and not row["SkuPriceId"]:
        yield "ConsumedQuantity goes with SkuPriceId"
    if row["ChargePeriodStart"] >= row["ChargePeriodEnd"]:
        yield "the charge has no time"
    if bool(row["AllocatedMethodId"]) < bool(row["AllocatedResourceId"]):
        yield "AllocatedResourceId goes with AllocatedMethodId"
    yield from _amounts(row)
    for name in ("Tags", "AllocatedTags"):
        tags = json.loads(row[name] or "{}")
        if not isinstance(tags, dict) or any(isinstance(tag, dict | list) for tag in tags.values()):
            yield f"{name}: {tags}"


def _amounts(row: dict[str, str]) -> Iterator[str]:
    names = ("ListUnitPrice", "PricingQuantity", "ListCost")
    if all(row[name] and NUMBER.fullmatch(row[name]) for name in names):
        price, quantity, cost = (Decimal(row[name]) for name in names)
        if abs(price * quantity - cost) > Decimal("0.000002"):
            yield f"{price} x {quantity} is not {cost}"
