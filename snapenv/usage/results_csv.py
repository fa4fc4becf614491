"""``results.csv``, to which ultralytics appends a row at each epoch's end. Bytes in, rows out.

A row says that an epoch is finished, not that its checkpoint is saved: that follows. Versions up
to 8.3.5 pad names and numbers with blanks and have no column ``time``; 8.0.100 counts epochs from
0; those before 8.4 append to the file of an earlier training in the same folder.
Source: ``save_metrics`` of ``ultralytics/engine/trainer.py``, 8.0.100 to 8.4.190.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_METRICS = (  # what a task is judged by; the first that is there
    "mAP50-95(M)",  # of masks
    "mAP50-95(P)",  # of poses
    "mAP50-95(B)",  # of boxes
    "accuracy_top1",
    "mIoU",
    "delta1",
)
_METRIC = "metrics/"
_MOST_EPOCHS = 1_000_000_000
_OF_VALIDATION = (_METRIC, "val/")


class Row(Struct, frozen=True, kw_only=True):
    """A finished epoch."""

    epoch: int  # from 1
    elapsed_s: float | None  # of its training; None where the version writes none
    loss: float | None  # the sum of all train/*; None where it is no finite number
    metric: float | None  # None where it was not validated


class Results(Struct, frozen=True, kw_only=True):
    """What a file holds: the rows of each attempt, in order, and what they are judged by."""

    attempts: tuple[tuple[Row, ...], ...] = ()
    metric: str | None = None  # such as "mAP50-95(B)"
    skipped: int = 0  # lines that could not be read

    @property
    def latest(self) -> tuple[Row, ...]:
        """The rows of the last attempt."""
        return self.attempts[-1] if self.attempts else ()


def parse_results(content: bytes) -> Results:
    """Read the rows up to the last whole line.

    Where the epoch or the time falls, another attempt begins.
    """
    names: list[str] = []
    metric: str | None = None
    first: int | None = None
    read, skipped = list[Row](), 0
    for line in content[: content.rfind(b"\n") + 1].decode(errors="replace").splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if cells[0] == "epoch":
            names, metric, first = cells, _metric(cells), None
            continue
        values = _numbers(names, cells)
        if values is None:
            skipped += bool(line.strip())
            continue
        number = int(values["epoch"])
        first = number if first is None else first
        read.append(_row(values, metric, epoch=number + (first == 0)))
    return Results(attempts=_attempts(read), metric=metric, skipped=skipped)


def _metric(names: Sequence[str]) -> str | None:
    return next((name for name in _METRICS if f"{_METRIC}{name}" in names), None)


def _numbers(names: Sequence[str], cells: Sequence[str]) -> Mapping[str, float] | None:
    """Return the numbers of a line by their names; None where it is no row."""
    if len(cells) != len(names):
        return None
    try:
        values = dict(zip(names, map(float, cells), strict=True))
    except ValueError:
        return None
    return values if 0 <= values["epoch"] < _MOST_EPOCHS else None  # nan is not either


def _row(values: Mapping[str, float], metric: str | None, *, epoch: int) -> Row:
    loss = sum(value for name, value in values.items() if name.startswith("train/"))
    validated = any(
        value for name, value in values.items() if name.startswith(_OF_VALIDATION)
    )  # without a validation there are zeros
    measured = values[f"{_METRIC}{metric}"] if metric and validated else None
    return Row(
        epoch=epoch,
        elapsed_s=values.get("time"),
        loss=loss if math.isfinite(loss) else None,
        metric=measured if measured is not None and math.isfinite(measured) else None,
    )


def _attempts(rows: Sequence[Row]) -> tuple[tuple[Row, ...], ...]:
    attempts: list[list[Row]] = []
    for row in rows:
        if not attempts or _begins_anew(attempts[-1][-1], row):
            attempts.append([])
        attempts[-1].append(row)
    return tuple(map(tuple, attempts))


def _begins_anew(before: Row, row: Row) -> bool:
    falls = None not in (before.elapsed_s, row.elapsed_s) and (
        (row.elapsed_s or 0) < (before.elapsed_s or 0)
    )
    return falls or row.epoch <= before.epoch
