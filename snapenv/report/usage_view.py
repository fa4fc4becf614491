"""A report of usage as one page that needs nothing else, for a phone, a desk and A4.

Figures, tables with bars and graphs reach the template as text, and every value is escaped. Costs
of one table are rounded together, so that its lines sum up to its last one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from snapenv.model.usage import BUCKETS, HOUR_MS
from snapenv.money import to_cents
from snapenv.report.amounts import cents, energy, mass, money, percent, time
from snapenv.report.printable import render_page
from snapenv.report.usage_charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Block,
    Graph,
    Kind,
    Month,
    bars,
    histogram,
    month_columns,
    month_line,
)
from snapenv.report.usage_notes import usage_notes
from snapenv.report.usage_text import NO_NAME
from snapenv.sizes import counted, size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from snapenv.model.usage_report import (
        BoardRow,
        UsageMonth,
        UsageReportResult,
        UsageRow,
        UsageTotals,
    )

_USED: tuple[Kind, ...] = ("effective", "idle", "unseen")
_TITLES = {
    "user": "Users",
    "project": "Projects",
    "model": "Models",
    "tag": "Tags",
    "gpu": "GPU models",
    "environment": "Environments",
}
_SCOPES = {"machine": "This machine", "team": "The team"}
_ROLES = {
    "all": "all runs",
    "member": "the runs of your projects",
    "manager": "sums of each group",
    "finance": "sums of each month",
}


_FRAME = {
    "width": WIDTH,
    "height": HEIGHT,
    "left": LEFT,
    "right": RIGHT,
    "top": TOP,
    "bottom": BOTTOM,
}


class Figure(Struct, frozen=True, kw_only=True):
    """One of the numbers at the top."""

    label: str
    value: str
    note: str = ""


class Line(Struct, frozen=True, kw_only=True):
    """A line of a table; ``cells`` are those behind the name."""

    name: str
    detail: str = ""
    bar: tuple[Block, ...] | None = None  # below the name
    cells: tuple[str, ...]


class Table(Struct, frozen=True, kw_only=True):
    """A table whose first column is a name, with a bar below it."""

    id: str
    title: str
    note: str = ""
    heads: tuple[str, ...]  # of the cells
    lines: tuple[Line, ...]
    total: Line | None = None
    kinds: tuple[Kind, ...] = ()  # of the parts of its bars, for the legend


class Chart(Struct, frozen=True, kw_only=True):
    """A graph with what stands around it."""

    id: str
    title: str
    below: str  # the x axis
    graph: Graph
    kinds: tuple[Kind, ...] = ()


class UsagePage(Struct, frozen=True, kw_only=True):
    """All that the page shows, in its order."""

    month: str
    until: str  # "2026-12-01 00:00"
    scope: str
    figures: tuple[Figure, ...]
    charts: tuple[Chart, ...]
    tables: tuple[Table, ...]
    notes: tuple[str, ...]


def usage_html(result: UsageReportResult) -> bytes:
    """Return the page in UTF-8; the same report gives the same bytes."""
    return render_page("usage.html.j2", v=make_usage_page(result), frame=_FRAME)


def make_usage_page(result: UsageReportResult) -> UsagePage:
    """Decide all that the page of a report shows; one month is no trend."""
    if len(result.months) == 1:
        result = replace(result, months=())
    tables = (
        _bill(result),
        _rows(result),
        _gpus(result),
        _board(result),
        _failures(result),
        _environments(result),
        _months(result),
    )
    return UsagePage(
        month=result.month,
        until=f"{result.until[:10]} {result.until[11:16]}",
        scope=f"{_SCOPES[result.source]}: {_ROLES[result.role]}",
        figures=tuple(_figures(result)),
        charts=tuple(_charts(result)),
        tables=tuple(table for table in tables if table.lines),
        notes=usage_notes(result),
    )


def _figures(result: UsageReportResult) -> Iterator[Figure]:
    total, currency = result.total, _currency(result)
    if result.bill is not None:
        yield Figure(label="bill", value=money(result.bill, currency))
    if total.cost is not None:
        yield Figure(label="cost of the runs", value=money(total.cost, currency))
    yield Figure(label="GPU time", value=time(total.charged_ms), note=counted(total.runs, "run"))
    yield Figure(
        label="effective compute density",
        value=percent(total.density),
        note=f"of it at {result.threshold_percent} % utilisation or more",
    )
    if total.energy_mj is not None:
        yield Figure(label="energy of the GPUs", value=energy(total.energy_mj))
    if total.co2_mg is not None:
        yield Figure(label="CO2", value=mass(total.co2_mg))


def _bill(result: UsageReportResult) -> Table:
    """Return where the GPU time went, and the money with it."""
    total = result.total
    parts: list[tuple[Kind, str, int, int | None]] = [
        ("effective", "a run used it well", total.effective_ms, total.effective_cost),
        ("idle", "a run had it, and used it little", total.idle_ms, total.idle_cost),
        ("unseen", "a run had it, without a sample", total.unseen_ms, total.unseen_cost),
    ]
    if result.unallocated_ms is not None:
        nobodys = (result.unallocated_ms, result.unallocated_cost)
        parts.append(("unallocated", "nobody had it", *nobodys))
    shown = bars([{kind: duration_ms} for kind, _, duration_ms, _ in parts])
    costs, sum_of_costs = _cost_cells([cost for *_, cost in parts])
    return Table(
        id="bill",
        title="Where the GPU time went",
        heads=("GPU time", *_cost_head(result, sum_of_costs)),
        lines=tuple(
            Line(name=kind, detail=detail, bar=bar, cells=(time(duration_ms), *cost))
            for (kind, detail, duration_ms, _), bar, cost in zip(parts, shown, costs, strict=True)
        ),
        total=Line(
            name="in all",
            cells=(time(sum(duration_ms for _, _, duration_ms, _ in parts)), *sum_of_costs),
        ),
    )


def _rows(result: UsageReportResult) -> Table:
    table = _usage_table(result, result.rows, id_="rows", title=_TITLES[result.by])
    _, cost = _cost_cells([row.totals.cost for row in result.rows])
    return replace(table, total=Line(name="in all", cells=_used_cells(result.total, cost)))


def _environments(result: UsageReportResult) -> Table:
    rows = () if result.by == "environment" else result.environments
    return _usage_table(result, rows, id_="environments", title="Environments")


def _usage_table(
    result: UsageReportResult, rows: Sequence[UsageRow], *, id_: str, title: str
) -> Table:
    shown = bars([_parts(row.totals) for row in rows])
    costs, sum_of_costs = _cost_cells([row.totals.cost for row in rows])
    return Table(
        id=id_,
        title=title,
        heads=("runs", "GPU time", "density", "energy", *_cost_head(result, sum_of_costs)),
        lines=tuple(
            Line(
                name=row.name or NO_NAME,
                detail=row.detail or "",
                bar=bar,
                cells=_used_cells(row.totals, cost),
            )
            for row, bar, cost in zip(rows, shown, costs, strict=True)
        ),
        kinds=_USED,
    )


def _used_cells(totals: UsageTotals, cost: tuple[str, ...]) -> tuple[str, ...]:
    return (
        f"{totals.runs}",
        time(totals.charged_ms),
        percent(totals.density),
        energy(totals.energy_mj),
        *cost,
    )


def _gpus(result: UsageReportResult) -> Table:
    shown = bars(
        [{"allocated": gpu.charged_ms, "unallocated": gpu.unallocated_ms} for gpu in result.gpus]
    )
    costs, sum_of_costs = _cost_cells([gpu.cost for gpu in result.gpus])
    nobodys, sum_of_nobodys = _cost_cells([gpu.unallocated_cost for gpu in result.gpus])
    return Table(
        id="gpus",
        title="GPUs",
        heads=(
            "allocated",
            "unallocated",
            *_cost_head(result, sum_of_costs, "allocated"),
            *_cost_head(result, sum_of_nobodys, "unallocated"),
        ),
        lines=tuple(
            Line(
                name=f"{gpu.gpus} × {gpu.model}",  # noqa: RUF001 - the sign of multiplication
                bar=bar,
                cells=(time(gpu.charged_ms), time(gpu.unallocated_ms), *cost, *nobody),
            )
            for gpu, bar, cost, nobody in zip(result.gpus, shown, costs, nobodys, strict=True)
        ),
        kinds=("allocated", "unallocated"),
    )


def _board(result: UsageReportResult) -> Table:
    priced = all(row.cost is not None for row in result.board)
    unit = f" in {_currency(result)}" if priced else ""
    return Table(
        id="board",
        title="Best value",
        note="Trainings that ended in the month; compare those of one data set. A point is"
        " a hundredth of the metric.",
        heads=(
            *("points", "epochs", "GPU time", "peak memory"),
            *((f"cost{unit}", f"cost of a point{unit}") if priced else ()),
        ),
        lines=tuple(
            Line(
                name=f"{row.rank}. {row.model or 'unknown model'}",
                detail=", ".join(_board_detail(row)),
                cells=(
                    f"{100 * row.best:.1f}",
                    f"{row.epochs}",
                    time(row.charged_ms),
                    "unknown" if row.memory_peak_bytes is None else size(row.memory_peak_bytes),
                    *((money(row.cost), money(row.cost_per_point)) if priced else ()),
                ),
            )
            for row in result.board
        ),
    )


def _board_detail(row: BoardRow) -> Iterator[str]:
    yield row.metric
    yield f"run {row.run}"
    yield from filter(None, (row.user, row.project, row.tag))
    if row.images is not None:
        yield counted(row.images, "image")
    if row.batch is not None:
        yield f"batch {row.batch}"
    if row.imgsz is not None:
        yield f"imgsz {row.imgsz}"
    if row.amp is not None:
        yield "amp" if row.amp else "no amp"


def _failures(result: UsageReportResult) -> Table:
    shown = bars([{"failed": row.charged_ms} for row in result.failures])
    costs, sum_of_costs = _cost_cells([row.cost for row in result.failures])
    return Table(
        id="failures",
        title="Failures",
        heads=("runs", "GPU time", *_cost_head(result, sum_of_costs)),
        lines=tuple(
            Line(
                name=row.failure or "unknown",
                detail=row.example or "",
                bar=bar,
                cells=(f"{row.runs}", time(row.charged_ms), *cost),
            )
            for row, bar, cost in zip(result.failures, shown, costs, strict=True)
        ),
    )


def _months(result: UsageReportResult) -> Table:
    bills = [month.bill for month in result.months]
    priced = None not in bills
    return Table(
        id="months",
        title="Months",
        heads=(
            *("runs", "GPU time", "density", "unallocated"),
            *((f"bill in {_currency(result)}",) if priced else ()),
        ),
        lines=tuple(
            Line(
                name=month.month,
                cells=(
                    f"{month.totals.runs}",
                    time(month.totals.charged_ms),
                    percent(month.totals.density),
                    time(month.unallocated_ms),
                    *((money(month.bill),) if priced else ()),
                ),
            )
            for month in result.months
        ),
    )


def _charts(result: UsageReportResult) -> Iterator[Chart]:
    threshold = result.threshold_percent * BUCKETS // 100
    spread = histogram(result.total.buckets, threshold=threshold)
    if spread is not None:
        yield Chart(
            id="histogram",
            title="Share of the GPU time by utilisation, in %",
            below="utilisation in %",
            graph=spread,
            kinds=("effective", "idle"),
        )
    columns = month_columns([_month(month) for month in result.months])
    if columns is not None:
        yield Chart(
            id="hours",
            title="GPU hours of each month",
            below="month",
            graph=columns,
            kinds=(*_USED, "unallocated"),
        )
    density = month_line(
        [month.month for month in result.months], [month.totals.density for month in result.months]
    )
    if density is not None:
        yield Chart(
            id="density",
            title="Effective compute density of each month, in %",
            below="month",
            graph=density,
        )


def _month(month: UsageMonth) -> Month:
    parts = _parts(month.totals) | {"unallocated": month.unallocated_ms or 0}
    return Month(
        name=month.month,
        parts={kind: part_ms / HOUR_MS for kind, part_ms in parts.items()},
        labels={kind: time(part_ms) for kind, part_ms in parts.items()},
    )


def _parts(totals: UsageTotals) -> dict[Kind, int]:
    return {"effective": totals.effective_ms, "idle": totals.idle_ms, "unseen": totals.unseen_ms}


def _cost_cells(costs: Sequence[int | None]) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    """Return the cells of a column of costs, and that of its sum; none where one is unknown."""
    known = [cost for cost in costs if cost is not None]
    if len(known) < len(costs):
        return [()] * len(costs), ()
    whole = to_cents(known)
    return [(cents(cost),) for cost in whole], (cents(sum(whole)),)


def _cost_head(
    result: UsageReportResult, sum_of_costs: tuple[str, ...], of: str = "cost"
) -> tuple[str, ...]:
    return (f"{of} in {_currency(result)}",) if sum_of_costs else ()


def _currency(result: UsageReportResult) -> str:
    return result.prices.currency if result.prices else ""
