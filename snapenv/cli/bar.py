"""What is under way, as a bar on a terminal."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec import Struct
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import ProgressColumn

    from snapenv.ports import Task


class BarProgress(Struct, frozen=True):
    """Shows one task at a time on ``console``, and leaves a line with its seconds behind."""

    console: Console

    @contextmanager
    def task(self, title: str) -> Iterator[Task]:
        """Show a task until the block ends; one that fails leaves no line."""
        began = time.monotonic()
        with _Bar(self.console) as bar:
            yield _BarTask(bar, bar.add_task(title, total=None, note=""))
        line = Text.assemble(f"{title} ", (f"{time.monotonic() - began:.1f} s", "dim"))
        self.console.print(line, soft_wrap=True)


class _Bar(Progress):
    """Bytes and time left are shown once a task has bytes to count."""

    def __init__(self, console: Console) -> None:
        super().__init__(console=console, transient=True)

    def get_renderables(self) -> Iterator[object]:  # type: ignore[override] # rich's own is wider
        """Return the columns that the tasks can fill."""
        counted = any(task.total for task in self.tasks)
        self.columns = _COUNTED if counted else _UNCOUNTED
        yield self.make_tasks_table(self.tasks)


_TITLE: tuple[ProgressColumn, ...] = (
    SpinnerColumn(),
    TextColumn("{task.description}", table_column=Column(no_wrap=True)),
)
_COUNTED = (*_TITLE, BarColumn(bar_width=20), DownloadColumn(), TimeRemainingColumn())
_UNCOUNTED = (
    *_TITLE,
    TimeElapsedColumn(table_column=Column(no_wrap=True, min_width=7)),
    TextColumn("[dim]{task.fields[note]}", table_column=Column(no_wrap=True, ratio=1)),
)


class _BarTask(Struct, frozen=True):
    bar: Progress
    id: TaskID

    def note(self, text: str) -> None:
        self.bar.update(self.id, note=text)

    def count(self, done: int, total: int | None) -> None:
        self.bar.update(self.id, completed=done, total=total)
