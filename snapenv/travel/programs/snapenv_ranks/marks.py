"""How far each rank is, told through files, since a rank that hangs tells nothing itself.

All ranks pass the same marks in the same order, so that whoever has passed the fewest is behind.
A collective operation alone names nobody: it says that somebody did not come.
"""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any, Mapping, NamedTuple, Sequence

if TYPE_CHECKING:
    from pathlib import Path


class Mark(NamedTuple):
    """The last mark of a rank; 0 and "start" for one that has passed none."""

    passed: int
    doing: str  # "step 5: backward"


class Missing(NamedTuple):
    """The ranks that did not come along, where they were, and why that is known."""

    ranks: tuple[int, ...]  # empty where all wait at the same place
    doing: str
    why: str


class Marks:
    """What one rank writes."""

    def __init__(self, folder: Path, rank: int) -> None:
        self._path = mark_path(folder, rank)
        self._failure = failure_path(folder, rank)
        self._count = 0

    def pass_(self, doing: str) -> None:
        """Note that everything before is done, and what comes now."""
        self._count += 1
        _replace(self._path, [self._count, doing])

    def fail(self, reason: str) -> None:
        """Note why this rank ends."""
        _replace(self._failure, [time.time(), reason])


def mark_path(folder: Path, rank: int) -> Path:
    """Return the file with a rank's last mark."""
    return folder / f"mark-{rank}.json"


def failure_path(folder: Path, rank: int) -> Path:
    """Return the file in which a rank says why it ended."""
    return folder / f"failure-{rank}.json"


def read_marks(folder: Path, world: int) -> list[Mark]:
    """Return each rank's last mark, by rank."""
    contents = (_read(mark_path(folder, rank)) for rank in range(world))
    return [Mark(*content) if content else Mark(0, "start") for content in contents]


def read_failures(folder: Path, world: int) -> dict[int, tuple[float, str]]:
    """Return when and why ranks ended, of those that could say so."""
    contents = {rank: _read(failure_path(folder, rank)) for rank in range(world)}
    return {rank: (content[0], content[1]) for rank, content in contents.items() if content}


def find_behind(marks: Sequence[Mark], waited_s: float) -> Missing:
    """Name those that have passed the fewest marks; nobody where all have passed the same."""
    counts = [mark.passed for mark in marks]
    least = min(counts)
    behind = tuple(rank for rank, count in enumerate(counts) if count == least)
    why = f"nothing happened for {waited_s:g} s"
    named = () if len(behind) == len(marks) else behind
    return Missing(named, marks[behind[0]].doing, why)


def find_ended(
    marks: Sequence[Mark],
    codes: Mapping[int, int],
    failures: Mapping[int, tuple[float, str]],
) -> Missing:
    """Name the rank that ended first of itself; the others only lost their connection to it.

    ``codes`` are the exit codes other than 0. Who was killed, or left, says no reason; among
    those that do, the first one's is the cause.
    """
    silent = tuple(rank for rank in sorted(codes) if rank not in failures)
    if silent:
        return Missing(silent, marks[silent[0]].doing, _describe(codes[silent[0]]))
    first = min(codes, key=lambda rank: failures[rank])
    return Missing((first,), marks[first].doing, failures[first][1])


def _describe(code: int) -> str:
    if code >= 0:
        return f"it ended with exit code {code}"
    try:
        return f"it was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"it was killed by signal {-code}"


def _replace(path: Path, content: Sequence[Any]) -> None:
    """Write whole or not at all: the parent reads at any time."""
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(content), encoding="utf-8")
    os.replace(beside, path)  # noqa: PTH105 - as quick, and nothing is returned


def _read(path: Path) -> Any:  # noqa: ANN401
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
