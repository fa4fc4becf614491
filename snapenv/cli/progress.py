"""What is under way, on stderr: a bar on a terminal, else a line when a task has ended.

What only a terminal needs is imported only there: it takes as long as a small capture does.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from snapenv.cli.streams import warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.ports import Progress, Task


def stderr_progress() -> Progress:
    """Return what fits stderr: bars on a terminal, else lines."""
    if not sys.stderr.isatty():
        return LineProgress()
    from rich.console import Console

    from snapenv.cli.bar import BarProgress

    return BarProgress(Console(stderr=True, highlight=False))


class LineProgress:
    """Leaves a line with its seconds behind each task."""

    @contextmanager
    def task(self, title: str) -> Iterator[Task]:
        """Wait until the block ends; a task that fails leaves no line."""
        began = time.monotonic()
        yield _QuietTask()
        warn(f"{title} {time.monotonic() - began:.1f} s")


class _QuietTask:
    def note(self, text: str) -> None:
        pass

    def count(self, done: int, total: int | None) -> None:
        pass
