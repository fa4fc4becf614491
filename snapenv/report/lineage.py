"""A line of ancestors as text. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.report.printable import printable
from snapenv.sizes import first_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.results import LogEntry, LogResult

_NAMED = 6  # changes on one line


def log_lines(result: LogResult) -> Iterator[str]:
    """Yield the lines of each snapshot, the newest first; labels may hold anything."""
    return map(printable, _lines(result))


def _lines(result: LogResult) -> Iterator[str]:
    for entry in result.entries:
        if entry.place is None:
            yield f"{entry.digest}  not found"
            yield f"  not in {', '.join(result.searched)}"
            continue
        date = (entry.captured_at or "").replace("T", " ")[:16]
        yield "  ".join(word for word in (entry.tag, date, entry.place) if word)
        yield f"  {entry.digest}"
        yield f"  {_made(entry)}"


def _made(entry: LogEntry) -> str:
    """Say how a snapshot came to be."""
    if entry.parent is None:
        return "captured"
    if entry.changes is None:
        return f"made of {entry.parent}"
    changed = first_of(entry.changes, _NAMED) or "nothing that its labels tell"
    return "; ".join(word for word in (changed, entry.losses) if word)
