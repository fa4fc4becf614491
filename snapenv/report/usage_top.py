"""What runs now, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.report.amounts import money, percent, time
from snapenv.report.usage_text import aligned
from snapenv.sizes import size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snapenv.model.usage_top import TopGpu, TopResult, TopRun

_DROPPED = (
    "kind",
    "power",
    "model",
    "memory",
    "cost",
    "effective",
    "project",
    "user",
    "loss",
    "left",
)
"""Columns, in the order in which a narrow terminal has no room for them."""


def top_lines(result: TopResult, *, width: int | None = None) -> tuple[str, ...]:
    """Return a line for each GPU of each run below a line of titles, in at most ``width`` columns.

    A column without any value is left out; None leaves out none for want of room.
    """
    if not result.runs:
        return ("nothing runs on this machine",)
    table = [row for run in result.runs for row in _rows(run, result.currency)]
    names = [name for name in table[0] if any(row[name] for row in table)]
    lines = _aligned(names, table)
    for name in _DROPPED:
        if width is None or max(map(len, lines)) <= width:
            break
        names = [each for each in names if each != name]
        lines = _aligned(names, table)
    return tuple(lines)


def _aligned(names: Sequence[str], table: Sequence[dict[str, str]]) -> list[str]:
    cells = [[*names], *([row[name] for name in names] for row in table)]
    return [line.rstrip() for line in aligned(cells)]


def _rows(run: TopRun, currency: str | None) -> list[dict[str, str]]:
    """Return the cells of a run's lines by their titles; what is the run's stands in the first."""
    own = {
        "run": run.run,
        "kind": run.kind,
        "user": run.user,
        "project": run.project or "",
        "model": run.model or "",
        "time": time(run.elapsed_ms),
    }
    training = {
        "epoch": _epoch(run),
        "left": "" if run.remaining_ms is None else time(run.remaining_ms),
        "loss": "" if run.loss is None else f"{run.loss:.4g}",
        "cost": "" if run.cost is None else money(run.cost, currency),
    }
    gpus = run.gpus or (None,)
    return [
        {
            **(own if number == 0 else dict.fromkeys(own, "")),
            **_gpu(gpu),
            **(training if number == 0 else dict.fromkeys(training, "")),
        }
        for number, gpu in enumerate(gpus)
    ]


def _gpu(gpu: TopGpu | None) -> dict[str, str]:
    if gpu is None:
        return dict.fromkeys(("gpu", "util", "effective", "memory", "power"), "")
    return {
        "gpu": gpu.model.removeprefix("NVIDIA "),
        "util": "" if gpu.utilization is None else f"{gpu.utilization} %",
        "effective": "" if gpu.density is None else percent(gpu.density),
        "memory": "" if gpu.memory_bytes is None else size(gpu.memory_bytes),
        "power": "" if gpu.power_mw is None else f"{gpu.power_mw / 1000:.0f} W",
    }


def _epoch(run: TopRun) -> str:
    if run.epoch is None:
        return ""
    return f"{run.epoch}/{run.epochs}" if run.epochs else str(run.epoch)
