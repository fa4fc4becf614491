"""A table of figures as cells of text: medians, their spread, and multiples of one row."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.benchmarks.results import Row, Table


def cells_of(table: Table) -> list[list[str]]:
    """Return a table as rows of cells, the first of them the names of its columns.

    A column that no row has is left out.
    """
    base = next((row for row in table.rows if row.name == table.against), None)
    rows = [[cell for _, cell in _cells(row, base, table)] for row in table.rows]
    names = [name for name, _ in _cells(table.rows[0], base, table)]
    kept = [at for at in range(len(names)) if any(row[at] for row in rows)]
    return [[row[at] for at in kept] for row in (names, *rows)]


def _cells(row: Row, base: Row | None, table: Table) -> Iterator[tuple[str, str]]:
    yield "", row.name
    yield table.unit or "size", f"{row.size:,g}" if row.size is not None else ""
    yield "seconds", f"{median(row.seconds):.3g}" if row.seconds else ""
    yield "lowest to highest", _spread(row.seconds, 3) if len(row.seconds) > 1 else ""
    yield f"x {table.against}", _multiple(row, base) if base and row.seconds else ""
    yield "CPU s", f"{median(row.cpu_s):.3g}" if any(row.cpu_s) else ""
    yield "most MiB", f"{row.memory_mib:.0f}" if row.memory_mib else ""
    yield "MB", f"{row.size_bytes / 1e6:,.1f}" if row.size_bytes is not None else ""
    yield f"size x {table.against}", _bytes_multiple(row, base)


def _multiple(row: Row, base: Row) -> str:
    """Return the median of the multiples in each round, and their spread."""
    ratios = multiples(row, base)
    spread = f" ({_spread(ratios, 2)})" if len(ratios) > 1 and row is not base else ""
    return f"{median(ratios):.2f}{spread}"


def multiples(row: Row, base: Row) -> list[float]:
    """Return what a row took as a multiple of another in the same round."""
    if len(row.seconds) != len(base.seconds):
        return [median(row.seconds) / median(base.seconds)]
    return [ours / others for ours, others in zip(row.seconds, base.seconds, strict=True)]


def _bytes_multiple(row: Row, base: Row | None) -> str:
    if base is None or not base.size_bytes or row.size_bytes is None:
        return ""
    return f"{row.size_bytes / base.size_bytes:.3f}"


def _spread(values: Sequence[float], digits: int) -> str:
    return f"{min(values):.{digits}g} to {max(values):.{digits}g}"


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def growth_of(table: Table) -> Iterator[str]:
    """Yield, for each series of a table, how time and memory grew with its size."""
    for name in dict.fromkeys(row.name for row in table.rows if row.size):
        rows = [row for row in table.rows if row.name == name and row.size and row.seconds]
        if len(rows) > 1:
            first, last = rows[0], rows[-1]
            size = (last.size or 0) / (first.size or 1)
            time = median(last.seconds) / median(first.seconds)
            memory = (last.memory_mib or 0) / (first.memory_mib or 1)
            yield f"{name}: {size:,.0f} times as much takes {time:,.1f} times the time, {memory:.1f} times the memory"


def lines_of(table: Table) -> Iterator[str]:
    """Yield a table as aligned text."""
    yield f"\n{table.title}"
    rows = cells_of(table)
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        first, *others = zip(row, widths, strict=True)
        yield "  ".join((first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)))
    yield from (note for note in (table.note, *growth_of(table)) if note)
