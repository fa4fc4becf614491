"""Read what a report of usage is made of, from this machine's ledger."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from snapenv.errors import NotFoundError
from snapenv.usage.charges import UsageRecords
from snapenv.usage.ledger import ledger_path, open_ledger
from snapenv.usage.months import month_span

if TYPE_CHECKING:
    from snapenv.ports import Services
    from snapenv.usage.reading import SharedReading


def read_records(services: Services, first: str, last: str) -> UsageRecords:
    """Return what the ledger holds of months, the last one included; nothing where there is none.

    Raises:
        LedgerError: The ledger is damaged, or is not one.
        LedgerVersionError: A newer snapenv made it.
        PlaceBusyError: Another process has been writing for long.
    """
    if services.state is None:
        return UsageRecords()
    try:
        ledger = open_ledger(ledger_path(services.state, os.environ), read_only=True)
    except NotFoundError:
        return UsageRecords()
    with ledger:
        return records_of(ledger, first, last)


def records_of(ledger: SharedReading, first: str, last: str) -> UsageRecords:
    """Return what any ledger holds of months, the last one included."""
    since_ms, until_ms = month_span(first)[0], month_span(last)[1]
    return UsageRecords(
        runs=ledger.runs(since_ms, until_ms),
        run_gpus=ledger.run_gpus(first, last),
        corrections=ledger.corrections(first, last),
        events=ledger.events(since_ms, until_ms),
        machine_gpus=ledger.machine_gpus(),
    )
