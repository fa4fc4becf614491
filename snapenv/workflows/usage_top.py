"""Show what runs on this machine now, and how well it uses its GPUs."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from snapenv.model.outcome import Outcome
from snapenv.model.usage_top import TopResult
from snapenv.report.usage_top import top_lines
from snapenv.steps.price_list import find_prices
from snapenv.usage.ledger import reading_ledger
from snapenv.usage.top import top_run

if TYPE_CHECKING:
    from snapenv.model.usage_top import TopRun
    from snapenv.ports import Services
    from snapenv.usage.ledger import Ledger
    from snapenv.usage.prices import PriceList

_LAST_MS = 600_000  # older samples tell nothing of now


def show_top(
    services: Services, *, prices: Path | None = None, width: int | None = None
) -> Outcome[TopResult]:
    """Return the runs of this machine that go on, as the ledger knows them.

    Raises:
        LedgerError: The ledger cannot be read.
        LedgerVersionError: A newer snapenv made it.
        PriceListError: The price list is wrong.
        UsageError: The project's pyproject.toml is damaged.
    """
    priced = find_prices(prices, Path.cwd())
    now_ms = time.time_ns() // 1_000_000
    with reading_ledger(services.state, os.environ) as ledger:
        runs = _open_runs(ledger, priced, now_ms) if ledger else ()
    currency = priced.currency if priced else None
    result = TopResult(at_ms=now_ms, currency=currency, runs=runs)
    return Outcome(command="usage top", result=result, lines=top_lines(result, width=width))


def _open_runs(ledger: Ledger, prices: PriceList | None, now_ms: int) -> tuple[TopRun, ...]:
    host = os.uname().nodename
    return tuple(
        top_run(
            run,
            samples=ledger.samples(run.key, since_ms=now_ms - _LAST_MS),
            rows=ledger.run_gpus_of(run.key),
            epochs=ledger.epochs(run.key),
            prices=prices,
            now_ms=now_ms,
        )
        for run in ledger.open_runs()
        if run.source == "snapenv" and run.host == host
    )
