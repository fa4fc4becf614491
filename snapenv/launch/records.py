"""Records of runs, in the user's state folder: ``runs/ID/run.json`` and ``runs/ID/end.json``.

Only the user may read them: variables that were given to a run may hold a secret.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from snapenv.errors import NotFoundError, WriteError
from snapenv.json_text import read_json
from snapenv.model.launch import RUN_ID, RunEnd, RunRecord, StoppedBy
from snapenv.ownership.leftovers import remove
from snapenv.ownership.staging import replace_file
from snapenv.places import open_plain
from snapenv.sizes import utc_text

RESUMED = Path("snapenv", "resumed.json")  # of a training's folder
_RECORD, _END, _STOPPED = "run.json", "end.json", "stopped"
_PRIVATE = 0o700
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(?:Z|\+00:00)", re.ASCII)

T = TypeVar("T", bound=Struct)


def now() -> str:
    """Return the time as records have it: RFC 3339, UTC, to the second."""
    return utc_text(time.time())


def milliseconds(text: str) -> int | None:
    """Return a time of an engine or of a record, RFC 3339 in UTC, as milliseconds since 1970."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    try:
        moment = datetime.fromisoformat(f"{match[1]}+00:00")
    except ValueError:
        return None
    return int(moment.timestamp()) * 1000 + int((match[2] or "0")[:3].ljust(3, "0"))


def new_run_id() -> str:
    """Return the id of a run that begins now; ids sort as the runs began."""
    moment = datetime.now(timezone.utc).strftime("%y%m%d-%H%M%S")
    return f"{moment}-{os.urandom(2).hex()}"


def run_folder(state: Path, run: str) -> Path:
    """Return the folder of a run, which may not be there.

    Raises:
        NotFoundError: This is no id of a run.
    """
    if not RUN_ID.fullmatch(run):
        raise NotFoundError(f"{run!r} is no run", hint="See snapenv ps --all.")
    return state / "runs" / run


def write_record(state: Path, record: RunRecord) -> None:
    """Write down a run before it starts.

    Raises:
        WriteError: The state folder cannot be written.
    """
    folder = run_folder(state, record.run)
    try:
        folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    _write(folder / _RECORD, record)


def write_end(state: Path, run: str, end: RunEnd) -> None:
    """Write down how a run ended.

    Raises:
        WriteError: The state folder cannot be written.
    """
    _write(run_folder(state, run) / _END, end)


def read_record(state: Path, run: str) -> RunRecord:
    """Read what was written down of a run.

    Raises:
        NotFoundError: There is no such run, or its record cannot be read.
    """
    record = _read(run_folder(state, run) / _RECORD, RunRecord)
    if record is None:
        raise NotFoundError(f"there is no run {run}", hint="See snapenv ps --all.")
    return record


def read_end(state: Path, run: str) -> RunEnd | None:
    """Read how a run ended; None while nobody has seen it end."""
    return _read(run_folder(state, run) / _END, RunEnd)


class Stop(Struct, frozen=True, kw_only=True):
    """Why snapenv itself stops a run."""

    by: StoppedBy
    reason: str  # one line, which follows the exit code
    checkpoint: str | None = None  # the copy that was kept


def mark_stopped(state: Path, run: str, stop: Stop | None = None) -> None:
    """Write down that somebody stops a run, or why snapenv does, before its end is seen."""
    path = run_folder(state, run) / _STOPPED
    with contextlib.suppress(OSError):
        if stop is None:
            path.touch(mode=0o600)
        else:
            replace_file(path, msgspec.json.encode(stop))


def read_stop(state: Path, run: str) -> Stop | None:
    """Read why snapenv itself has stopped a run; None where it has not."""
    return _read(run_folder(state, run) / _STOPPED, Stop)


def was_stopped(state: Path, run: str) -> bool:
    """Return whether somebody has stopped a run."""
    return (run_folder(state, run) / _STOPPED).exists()


class Resumed(Struct, frozen=True):
    """What the program that continues trainings has written in the training's folder."""

    checkpoint: str | None = None
    epoch: int | None = None  # how many are done
    epochs: int | None = None  # of so many
    problem: str | None = None  # why nothing is continued
    hint: str | None = None


def read_resumed(training: str) -> Resumed | None:
    """Read what a run has said of the training that it continued."""
    return _read(Path(training, RESUMED), Resumed)


def list_records(state: Path) -> tuple[RunRecord, ...]:
    """Return the records of all runs, the newest first; what cannot be read is left out."""
    folder = state / "runs"
    entries = folder.iterdir() if folder.is_dir() else ()
    names = sorted((entry.name for entry in entries), reverse=True)
    read = (_read(folder / name / _RECORD, RunRecord) for name in names)
    return tuple(sorted(filter(None, read), key=lambda record: record.created, reverse=True))


def forget(state: Path, run: str) -> None:
    """Remove the record of a run, and what is kept beside it."""
    folder = run_folder(state, run)
    if folder.is_dir():
        remove(folder)


def _write(path: Path, document: Struct) -> None:
    try:
        replace_file(path, msgspec.json.format(msgspec.json.encode(document)))
    except OSError as error:
        raise _cannot_write(path, error) from error


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        with open_plain(path) as file:
            return read_json(file.read(), kind)
    except (OSError, ValueError):
        return None


def _cannot_write(path: Path, error: OSError) -> WriteError:
    return WriteError(
        f"cannot write {path}: {error.strerror}",
        hint="Free some space, or name another state folder: XDG_STATE_HOME.",
    )
