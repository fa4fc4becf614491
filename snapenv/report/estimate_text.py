"""An estimate of a run in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.model.estimate import LEAST_MISSES, LEAST_RUNS
from snapenv.report.amounts import money, time
from snapenv.report.printable import printable
from snapenv.sizes import counted

if TYPE_CHECKING:
    from snapenv.model.estimate import Best, Estimate


def estimate_line(estimate: Estimate, cost: int | None, currency: str | None) -> str:
    """Write what a run is expected to take and cost, or what is missing for that."""
    comparable = counted(estimate.comparable, "comparable run")
    if estimate.comparable < LEAST_RUNS:
        return f"unknown: {comparable}, {LEAST_RUNS} needed"
    if estimate.duration_ms is None or estimate.low_ms is None or estimate.high_ms is None:
        return (
            f"unknown: {comparable}, but how far an estimate is off was seen of only"
            f" {estimate.misses}, {LEAST_MISSES} needed"
        )
    priced = "" if cost is None else f" and {money(cost, currency)}"
    spread = f"in four of five cases {time(estimate.low_ms)} to {time(estimate.high_ms)}"
    return f"this will take about {time(estimate.duration_ms)}{priced}, {spread} ({comparable})"


def best_line(best: Best, cost: int | None, currency: str | None) -> str:
    """Write what the best comparable run took, and which of its options are others."""
    priced = "" if cost is None else f" and {money(cost, currency)}"
    options = ", ".join(_option(name, value) for name, value in best.differences)
    took = f"{time(best.run.duration_ms or 0)}{priced}"
    how = f": {printable(options)}" if options else ", with the same options"
    return f"the best comparable run took {took}{how} ({printable(best.run.run)})"


def _option(name: str, value: str | int | bool) -> str:  # noqa: FBT001 - a value of any option
    if isinstance(value, bool):
        return name if value else f"no {name}"
    return str(value) if name == "gpus" else f"{name} {value}"
