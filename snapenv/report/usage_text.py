"""A report of usage as lines for people: a table, the bill, and what it is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.money import to_cents
from snapenv.report import amounts
from snapenv.report.printable import printable
from snapenv.report.usage_notes import usage_notes
from snapenv.sizes import size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from snapenv.model.usage_report import UsageReportResult, UsageRow

NO_NAME = "(none)"
"""What stands in the place of a name that was not declared."""

_BEST = 10
_DIGEST = 12  # digits of it, as docker shows
_UNKNOWN = "unknown"


def usage_lines(result: UsageReportResult) -> tuple[str, ...]:
    """Return the lines of a report; amounts of a column sum up to the cent."""
    return tuple(printable(line) for line in _lines(result))


def _lines(result: UsageReportResult) -> Iterator[str]:
    whose = "this machine" if result.source == "machine" else f"the team, as {result.role}"
    going = f", until {result.until}" if result.running else ""
    yield f"usage in {result.month} by {result.by}, of {whose}{going}"
    if not result.rows and not result.capacity_ms:
        yield "no run was recorded"
        return
    yield from _rows(result.by, result.rows, result)
    yield ""
    yield from _bill(result)
    yield from usage_notes(result)
    yield from _failed(result)
    if result.by != "environment" and result.environments:
        yield ""
        yield from _rows("environment", result.environments, result, total=False)
    yield from _best_value(result)
    yield from _trend(result)


def _rows(
    title: str, rows: Sequence[UsageRow], result: UsageReportResult, *, total: bool = True
) -> Iterator[str]:
    whole = [*(row.totals for row in rows), *([result.total] if total else [])]
    names = [*(row_name(row) for row in rows), *(["total"] if total else [])]
    own = to_cents([row.totals.cost or 0 for row in rows])
    costs = [*own, sum(own)] if total else own
    table = [
        (
            name,
            str(totals.runs),
            amounts.time(totals.charged_ms),
            amounts.percent(totals.density),
            *((amounts.cents(cost),) if result.prices else ()),
        )
        for name, totals, cost in zip(names, whole, costs, strict=True)
    ]
    money = (result.prices.currency,) if result.prices else ()
    yield from aligned(((title, "runs", "GPU time", "effective", *money), *table))


def row_name(row: UsageRow) -> str:
    """Return the name of a row; a digest is shortened, and followed by its tags."""
    if row.name is None:
        return NO_NAME
    name = row.name.removeprefix("sha256:")[:_DIGEST] if "sha256:" in row.name else row.name
    return f"{name} {row.detail}" if row.detail else name


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield rows as lines, the first column to the left and the others to the right."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *values in rows:
        cells = (f"{value:>{width}}" for value, width in zip(values, widths[1:], strict=True))
        yield "  ".join((f"{name:<{widths[0]}}", *cells))


def _bill(result: UsageReportResult) -> Iterator[str]:
    """Yield the parts of all GPU time, and of the bill."""
    total = result.total
    parts = [
        ("effective", total.effective_ms, total.effective_cost),
        ("idle", total.idle_ms, total.idle_cost),
        ("unseen", total.unseen_ms, total.unseen_cost),
    ]
    whole = ("used", total.charged_ms)
    if result.unallocated_ms is not None and result.capacity_ms is not None:
        parts.append(("unallocated", result.unallocated_ms, result.unallocated_cost))
        whole = ("all GPUs" if result.bill is None else "bill", result.capacity_ms)
    cents = to_cents([cost or 0 for _, _, cost in parts])
    priced = result.prices is not None
    table = [
        (name, amounts.time(time_ms), *((amounts.cents(cost),) if priced else ()))
        for (name, time_ms, _), cost in zip(parts, cents, strict=True)
    ]
    money = (amounts.cents(sum(cents)),) if priced else ()
    yield from aligned((*table, (whole[0], amounts.time(whole[1]), *money)))


def _failed(result: UsageReportResult) -> Iterator[str]:
    if not result.failures:
        return
    cents = to_cents([row.cost or 0 for row in result.failures])
    table = [
        (
            row.failure or _UNKNOWN,
            str(row.runs),
            amounts.time(row.charged_ms),
            *((amounts.cents(cost),) if result.prices else ()),
        )
        for row, cost in zip(result.failures, cents, strict=True)
    ]
    money = (result.prices.currency,) if result.prices else ()
    yield ""
    yield from aligned((("failed", "runs", "GPU time", *money), *table))
    for row in result.failures:
        if row.example:
            yield f"{row.failure or _UNKNOWN}: {row.example}"


def _best_value(result: UsageReportResult) -> Iterator[str]:
    if not result.board:
        return
    table = [
        (
            f"{row.rank}  {row.run}",
            row.model or NO_NAME,
            f"{row.metric} {row.best:.3f}",
            amounts.time(row.charged_ms or row.duration_ms),
            _UNKNOWN if row.memory_peak_bytes is None else size(row.memory_peak_bytes),
            *(
                (amounts.money(row.cost), amounts.money(row.cost_per_point))
                if result.prices
                else ()
            ),
        )
        for row in result.board[:_BEST]
    ]
    money = (result.prices.currency, "a point") if result.prices else ()
    yield ""
    yield from aligned((("best value", "model", "best", "time", "memory", *money), *table))


def _trend(result: UsageReportResult) -> Iterator[str]:
    if len(result.months) < 2:  # noqa: PLR2004 - one month is no trend
        return
    table = [
        (
            month.month,
            str(month.totals.runs),
            amounts.time(month.totals.charged_ms),
            amounts.percent(month.totals.density),
            amounts.time(month.unallocated_ms),
            *((amounts.money(month.totals.cost),) if result.prices else ()),
        )
        for month in result.months
    ]
    money = (result.prices.currency,) if result.prices else ()
    yield ""
    head = ("month", "runs", "GPU time", "effective", "unallocated", *money)
    yield from aligned((head, *table))
