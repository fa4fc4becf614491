from __future__ import annotations

import csv
import io
import json
from decimal import Decimal

import pytest
from msgspec.structs import replace

from snapenv.model.usage import Correction, UsageSum
from snapenv.usage.charges import UsageRecords
from snapenv.usage.focus import COLUMNS, focus_csv
from snapenv.usage.prices import Bill, FleetSize, GpuPrice, PriceList, day_of
from snapenv.usage.sums import ReportOptions, all_costs
from tests.usage.focus_check import ADDED_BY_1_3, MANDATORY, faults
from tests.usage.usage_samples import (
    H200,
    HOUR_MS,
    KWH_MJ,
    NOW_MS,
    PRICES,
    at,
    machine_gpu,
    run,
    run_gpu,
)

MONTH = "2026-11"


def focus(records: UsageRecords, prices: PriceList = PRICES, role: str = "all") -> str:
    asked = ReportOptions(
        month=MONTH, by="project", now_ms=NOW_MS, role="finance" if role == "finance" else "all"
    )
    costs = all_costs(records, prices, asked)[MONTH]
    before = all_costs(replace(records, corrections=()), prices, asked)[MONTH]
    text = focus_csv(MONTH, costs, before, prices)
    assert faults(text) == []
    assert sum(billed(text)) * 10**6 == costs.bill
    return text


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def billed(text: str) -> list[Decimal]:
    return [Decimal(row["BilledCost"]) for row in rows(text)]


def records(**fields: object) -> UsageRecords:
    one = run("a", at(1), 10, purpose="baseline", image="sha256:" + "1" * 64)
    other = run("b", at(3), 4.321, project="signs")
    found = UsageRecords(
        runs=(one, other),
        run_gpus=(*run_gpu(one, energy_mj=KWH_MJ), *run_gpu(other, busy=1 / 3)),
        machine_gpus=(machine_gpu(),),
    )
    return replace(found, **fields)


def test_every_mandatory_column_and_those_of_the_next_version_are_there() -> None:
    assert set(COLUMNS) >= MANDATORY | ADDED_BY_1_3
    assert len(set(COLUMNS)) == len(COLUMNS)


def test_a_row_is_a_run_on_a_gpu_at_a_price_or_its_power() -> None:
    hours, power, other, nobody = rows(focus(records()))

    assert (hours["PricingQuantity"], hours["PricingUnit"]) == ("10.000000000", "GPU-Hours")
    assert (hours["ListUnitPrice"], hours["ListCost"], hours["BilledCost"]) == (
        "3.00",
        "30.00",
        "30.00",
    )
    assert (hours["ResourceId"], hours["ResourceType"], hours["ResourceName"]) == (
        "GPU-1",
        H200,
        "node1",
    )
    assert (hours["ChargePeriodStart"], hours["ChargePeriodEnd"]) == (
        "2026-11-02T00:00:00Z",
        "2026-11-02T10:00:00Z",
    )
    assert (hours["BillingPeriodStart"], hours["BillingPeriodEnd"]) == (
        "2026-11-01T00:00:00Z",
        "2026-12-01T00:00:00Z",
    )
    assert json.loads(hours["Tags"]) == {
        "project": "lanes",
        "purpose": "baseline",
        "tag": "train-yolov8.4.190-base-cu130",
        "snapshot_digest": "sha256:" + "5" * 64,
        "image_digest": "sha256:" + "1" * 64,
    }
    assert (power["PricingUnit"], power["PricingQuantity"], power["BilledCost"]) == (
        "Kilowatt-Hours",
        "1.200000000",
        "0.30",
    )
    assert (other["SubAccountId"], other["x_RunId"]) == ("signs", "run-b")
    assert (nobody["ChargeDescription"], nobody["SubAccountId"]) == (f"Unallocated {H200}", "")
    assert "ann" not in focus(records())


def test_a_price_that_changes_divides_a_run_into_rows() -> None:
    cheaper = GpuPrice(model=H200, since=day_of(at(3.0)), per_hour=1.2345)
    one = run("a", at(2.9), 10)

    text = focus(
        records(runs=(one,), run_gpus=tuple(run_gpu(one))),
        replace(PRICES, gpu=(*PRICES.gpu, cheaper)),
    )

    assert [(row["ListUnitPrice"], row["x_RunId"]) for row in rows(text)] == [
        ("3.00", "run-a"),
        ("1.2345", "run-a"),
        ("3.00", ""),
        ("1.2345", ""),
    ]


def test_a_correction_is_a_row_of_its_own_and_the_first_ones_stay() -> None:
    less = Correction(
        id="1",
        key="a",
        gpu="GPU-1",
        month=MONTH,
        at_ms=at(40),
        reason="",
        allocated_ms=-HOUR_MS,
        buckets=(-HOUR_MS, *(0,) * 9),
    )

    before, after = rows(focus(records())), rows(focus(records(corrections=(less,))))

    assert after[: len(before)] == before
    assert [
        (row["ChargeClass"], row["PricingQuantity"], row["BilledCost"]) for row in after[4:]
    ] == [
        ("Correction", "-1.000000000", "-3.00"),
        ("Correction", "1.000000000", "3.00"),  # nobody had it then
    ]


def test_a_bill_that_is_stated_is_what_is_billed_and_the_list_stays_beside() -> None:
    text = focus(records(), replace(PRICES, bill=(Bill(month=MONTH, amount=1234.567),)))

    assert sum(billed(text)) == Decimal("1234.567")
    assert rows(text)[0]["ListCost"] == "30.00"
    assert Decimal(rows(text)[0]["BilledCost"]) < 30


def test_a_gpu_that_is_shared_says_how_it_is_divided() -> None:
    one, other = run("a", at(1), 10), run("b", at(1), 10)

    first, _, nobody = rows(
        focus(records(runs=(one, other), run_gpus=(*run_gpu(one), *run_gpu(other))))
    )

    assert (first["AllocatedMethodId"], first["AllocatedResourceId"], first["BilledCost"]) == (
        "equal-share-of-time",
        "run-a",
        "15.00",
    )
    assert nobody["AllocatedMethodId"] == ""


def test_sums_of_finance_are_rows_too() -> None:
    one = UsageSum(month=MONTH, gpu_model=H200, project="lanes", runs=3, allocated_ms=10 * HOUR_MS)
    less = replace(one, is_correction=True, runs=0, allocated_ms=-HOUR_MS)
    fleet = replace(PRICES, fleet=(FleetSize(model=H200, since=day_of(at(0)), gpus=1),))

    text = focus(UsageRecords(sums=(one, less)), fleet, "finance")

    assert [(row["SubAccountId"], row["ChargeClass"], row["BilledCost"]) for row in rows(text)] == [
        ("lanes", "", "30.00"),
        ("lanes", "Correction", "-3.00"),
        ("", "", "2133.00"),
    ]


@pytest.mark.parametrize(
    ("column", "before", "after"),
    [
        ("BilledCost", "30.00", "+30.00"),
        ("ListCost", "30.00", "1,230.00"),
        ("ListCost", "30.00", "31.00"),
        ("BillingCurrency", "EUR", "\u20ac"),
        ("ChargePeriodStart", "2026-11-02T00:00:00Z", "2026-11-02"),
        ("ChargeClass", "", "Corrected"),
        ("ServiceName", "GPU time", ""),
        ("Tags", "", '{"a": {"b": 1}}'),
    ],
)
def test_the_check_finds_what_is_planted(column: str, before: str, after: str) -> None:
    table = rows(focus(records()))
    assert before in ("", table[0][column])
    table[0][column] = after
    written = io.StringIO(newline="")
    writer = csv.DictWriter(written, COLUMNS)
    writer.writeheader()
    writer.writerows(table)

    found = faults(written.getvalue())

    assert found
    assert all(fault.startswith("row 1: ") for fault in found)
