"""Show TensorBoard what an environment did not log: each results.csv becomes events beside it.

Ultralytics writes one row an epoch. After a kill and a resume, an epoch may stand there twice: the
last row counts. The Python that runs this has TensorBoard, and needs neither TensorFlow nor torch.
"""

from __future__ import annotations

import csv
import math
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Dict, Iterator

if TYPE_CHECKING:
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

_RESULTS = "results.csv"
_EPOCH = "epoch"
_EVENTS = "*tfevents*"
_EVERY_S = 5.0

Table = Dict[int, Dict[str, float]]
"""The scalars of each epoch, by their names, in the order of the epochs."""


def follow(runs: str, into: str) -> int:
    """Write events of the runs below one folder into another, until it is ended."""
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    shutil.rmtree(into, ignore_errors=True)
    tables: dict[Path, Table] = {}
    writers: dict[Path, EventFileWriter] = {}
    while True:
        for file in find_results(Path(runs)):
            before, table = tables.get(file, {}), _read(file)
            epochs = changed_epochs(before, table)
            if epochs and file not in writers:
                writers[file] = EventFileWriter(str(Path(into, file.parent.relative_to(runs))))
            if epochs:
                _write(writers[file], before, table, epochs)
                tables[file] = table
        time.sleep(_EVERY_S)


def _write(writer: EventFileWriter, before: Table, table: Table, epochs: list[int]) -> None:
    """Write the scalars of epochs; of those that were shown, TensorBoard is told to forget them."""
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog
    from tensorboard.compat.proto.summary_pb2 import Summary

    now = time.time()
    if any(epoch >= epochs[0] for epoch in before):
        start = SessionLog(status=SessionLog.START)
        writer.add_event(Event(wall_time=now, step=epochs[0], session_log=start))
    for epoch in epochs:
        values = [Summary.Value(tag=name, simple_value=x) for name, x in table[epoch].items()]
        writer.add_event(Event(wall_time=now, step=epoch, summary=Summary(value=values)))
    writer.flush()


def find_results(runs: Path) -> Iterator[Path]:
    """Yield each results.csv below a folder that has no events of its own beside it."""
    for folder, _, names in sorted(os.walk(str(runs))):
        if _RESULTS in names and not any(Path(folder).glob(_EVENTS)):
            yield Path(folder, _RESULTS)


def parse_results(text: str) -> Table:
    """Return what a results.csv holds; a row that is not written to its end is left out.

    Names have spaces around them in some versions. What is no number is left out.
    """
    lines = text[: text.rfind("\n") + 1].splitlines()
    rows = csv.reader(lines)
    names = [name.strip() for name in next(rows, [])]
    table: Table = {}
    for row in rows:
        scalars = {name: _number(value) for name, value in zip(names, row)}
        epoch = scalars.pop(_EPOCH, None)
        if epoch is not None and math.isfinite(epoch) and len(row) == len(names):
            table[int(epoch)] = {name: x for name, x in scalars.items() if x is not None}
    return dict(sorted(table.items()))


def changed_epochs(before: Table, table: Table) -> list[int]:
    """Return the first epoch that is not as it was, and all that follow it."""
    changed = [epoch for epoch in table if table[epoch] != before.get(epoch)]
    return [epoch for epoch in table if epoch >= changed[0]] if changed else []


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _read(file: Path) -> Table:
    try:
        return parse_results(file.read_text(errors="replace"))
    except OSError as error:
        sys.stderr.write(f"events: {file}: {error.strerror}\n")
        return {}
