"""Correct the GPU time of a run: by rows that are added, and none that is changed."""

from __future__ import annotations

import os
import time
import uuid
from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.errors import NotFoundError, UsageError
from snapenv.model.outcome import Outcome
from snapenv.model.results import UsageCorrectResult
from snapenv.model.usage import HOUR_MS, Correction
from snapenv.places import exists
from snapenv.report import amounts
from snapenv.sizes import counted
from snapenv.usage.charges import corrected
from snapenv.usage.correcting import differences
from snapenv.usage.ledger import ledger_path, open_ledger
from snapenv.usage.months import is_month, month_span

if TYPE_CHECKING:
    from snapenv.model.usage import RunGpu, UsageRun
    from snapenv.ports import Services
    from snapenv.usage.ledger import Ledger

_COMMAND = "usage correct"
_REASON_SIGNS = 200


class UsageCorrect(Struct, frozen=True, kw_only=True):
    """What a user says is right."""

    run: str  # its id
    hours: float  # of all its GPUs together, in the month
    reason: str
    month: str | None = None  # None: the only one in which the run had GPUs


def correct_usage(request: UsageCorrect, services: Services) -> Outcome[UsageCorrectResult]:
    """Add what takes the hours of a run to those that are right; nothing where they are.

    Raises:
        LedgerError, LedgerVersionError: The ledger cannot be read.
        NotFoundError: This machine's ledger has no such run.
        PlaceBusyError: Another process has been writing it for long.
        UsageError: The run goes on or had no GPU then; or there are no such hours or reason.
        WriteError: The correction cannot be written.
    """
    reason = _reason(request.reason)
    path = ledger_path(services.state, os.environ) if services.state else None
    if path is None or not exists(path):
        raise _no_run(request)
    with open_ledger(path) as ledger:
        run = ledger.find_run(request.run)
        if run is None:
            raise _no_run(request)
        return _correct(run, reason, request, ledger)


def _correct(
    run: UsageRun, reason: str, request: UsageCorrect, ledger: Ledger
) -> Outcome[UsageCorrectResult]:
    now_ms = time.time_ns() // 1_000_000
    with ledger.correcting() as add:
        rows = _rows(run, request.month, ledger)
        allocated_ms = _allocated_ms(request.hours, rows)
        added = tuple(differences(rows, allocated_ms))
        for each in added:
            add(
                Correction(
                    id=str(uuid.uuid4()),
                    key=run.key,
                    gpu=each.gpu,
                    month=rows[0].month,
                    at_ms=now_ms,
                    allocated_ms=each.allocated_ms,
                    buckets=each.buckets,
                    reason=reason,
                )
            )
    result = UsageCorrectResult(
        run=run.run,
        month=rows[0].month,
        before_ms=sum(row.allocated_ms for row in rows),
        allocated_ms=allocated_ms,
        added=len(added),
        reason=reason,
    )
    return Outcome(command=_COMMAND, result=result, lines=(_line(result),))


def _no_run(request: UsageCorrect) -> NotFoundError:
    return NotFoundError(
        f"this machine's ledger has no run {request.run}",
        hint="See snapenv ps --all, on the machine on which it ran.",
    )


def _reason(given: str) -> str:
    reason = given.strip()
    if not reason or len(reason) > _REASON_SIGNS or not reason.isprintable():
        raise UsageError(
            f"a reason is one line of at most {_REASON_SIGNS} letters",
            hint="Say why the hours were wrong: --reason 'the container hung'",
        )
    return reason


def _rows(run: UsageRun, month: str | None, ledger: Ledger) -> tuple[RunGpu, ...]:
    """Return what the GPUs of a run did in a month, with what has been corrected of it."""
    if run.ended_ms is None:
        raise UsageError(f"run {run.run} goes on", hint="Correct it when it has ended.")
    if month is not None and not is_month(month):
        raise UsageError(f"{month!r} is not a month", hint="Write it as 2026-11.")
    every = ledger.run_gpus_of(run.key)
    months = sorted({row.month for row in every})
    if not every:
        raise UsageError(
            f"run {run.run} had no GPU", hint="Only the time of GPUs is corrected, and charged."
        )
    if month is None and len(months) > 1:
        raise UsageError(
            f"run {run.run} had GPUs in {' and '.join(months)}", hint="Name one: --month"
        )
    month = month or months[0]
    if month not in months:
        raise UsageError(
            f"run {run.run} had no GPU in {month}", hint=f"It had some in {' and '.join(months)}."
        )
    corrections = (each for each in ledger.corrections(month, month) if each.key == run.key)
    return corrected((row for row in every if row.month == month), corrections, {run.key: run})


def _allocated_ms(hours: float, rows: tuple[RunGpu, ...]) -> int:
    begin, end = month_span(rows[0].month)
    most = (end - begin) * len(rows) / HOUR_MS
    if not 0 <= hours <= most:
        gpus = counted(len(rows), "GPU has", "GPUs have")
        raise UsageError(
            f"{hours:g} hours cannot be: {gpus} at most {most:,.0f} in {rows[0].month}",
            hint="Give the hours of all GPUs of the run together.",
        )
    return round(hours * HOUR_MS)


def _line(result: UsageCorrectResult) -> str:
    now = amounts.time(result.allocated_ms)
    if not result.added:
        return f"{result.run}: {now} of GPUs in {result.month} already: nothing was added"
    before = amounts.time(result.before_ms)
    rows = counted(result.added, "correction")
    return f"{result.run}: {now} of GPUs in {result.month} instead of {before}: {rows} added"
