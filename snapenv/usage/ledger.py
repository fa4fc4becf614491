"""The ledger of usage on this machine: one SQLite file in the user's state folder.

Any number of processes may have it open. Each write is one transaction, in which the row is also
marked as not yet handed over to the team's ledger. A power cut may lose the last writes, but never
damages the file.

Source: https://sqlite.org/wal.html, https://sqlite.org/rescode.html
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from snapenv.errors import (
    LedgerError,
    LedgerVersionError,
    NotFoundError,
    PlaceBusyError,
    SnapenvError,
    WriteError,
)
from snapenv.model.usage import Sample
from snapenv.places import expanded
from snapenv.usage.reading import SharedReading
from snapenv.usage.tables import (
    BEAT,
    CORRECTION,
    EPOCH,
    EVENT,
    LOCAL,
    MACHINE_GPU,
    RUN,
    RUN_GPU,
    SHARED,
    Table,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from snapenv.model.usage import (
        Beat,
        Correction,
        EpochRow,
        MachineGpu,
        RunGpu,
        UsageEvent,
        UsageRun,
    )

T = TypeVar("T", bound=Struct)

APPLICATION_ID = 0x536E7065  # "Snpe", in the file's header
VERSION = 1
_TIMEOUT_S = 10.0
_MODE = 0o600
# Result codes, and the words that SQLite has for them: see sqlite3_errstr.
_BUSY, _LOCKED, _READONLY, _IOERR, _FULL, _CANTOPEN = 5, 6, 8, 10, 13, 14
_UNWRITABLE = (_READONLY, _IOERR, _FULL, _CANTOPEN)
_CODES_BY_TEXT = {
    "database is locked": _BUSY,
    "database table is locked": _LOCKED,
    "attempt to write a readonly database": _READONLY,
    "disk I/O error": _IOERR,
    "database or disk is full": _FULL,
    "unable to open database file": _CANTOPEN,
}
_HINT_DAMAGED = "Keep a copy of it, and move it away; the next run begins a new one."

# A series is what the samples of one GPU in one run have in common.
_LOCAL_ALONE = """
create table if not exists series (
  id integer primary key, key text not null, gpu text not null, util_source text
);
create index if not exists series_key on series (key);
create table if not exists sample (
  series integer not null, at_ms integer not null, utilization integer, memory_bytes integer,
  power_mw integer, energy_mj integer, clock_mhz integer, throttle integer, temperature_c integer,
  cpu_ms integer, host_memory_bytes integer, primary key (series, at_ms)
) without rowid;
create index if not exists sample_at_ms on sample (at_ms);
create table if not exists writes (count integer not null);
insert into writes select 0 where not exists (select 1 from writes);
"""
_IN_SERIES = ("key", "gpu", "util_source")
_MEASURED = tuple(name for name in Sample.__struct_fields__ if name not in _IN_SERIES)


class OutboxLine(Struct, frozen=True, kw_only=True):
    """A row that the team's ledger has not, or has as it was before."""

    id: int  # grows with each write of this ledger; of the row as it is now
    table: str
    body: str  # a JSON object: the value of each column by its name


def ledger_path(state: Path, environ: Mapping[str, str]) -> Path:
    """Return where this machine's ledger is: in the state folder, or where SNAPENV_LEDGER says.

    A URL there is that of the team's ledger; this machine's is in the state folder then.
    """
    named = environ.get("SNAPENV_LEDGER", "")
    if not named or "://" in named:
        return state / "usage.sqlite3"
    return expanded(named).absolute()


def open_ledger(path: Path, *, read_only: bool = False) -> Ledger:
    """Open a ledger, and make it where there is none.

    Raises:
        NotFoundError: With ``read_only``, there is none.
        LedgerError: It is damaged, or is not a ledger.
        LedgerVersionError: A newer snapenv made it.
        PlaceBusyError: Another process has been writing for ten seconds.
        WriteError: It cannot be made or opened.
    """
    with _translated(path):
        connection = _open_to_read(path) if read_only else _open_to_write(path)
    return Ledger(path, connection)


@contextlib.contextmanager
def reading_ledger(state: Path | None, environ: Mapping[str, str]) -> Iterator[Ledger | None]:
    """Open this machine's ledger to read it for the block; None where nothing was ever written.

    Raises:
        LedgerError, LedgerVersionError, PlaceBusyError: As of ``open_ledger``.
    """
    ledger = None
    if state is not None:
        with contextlib.suppress(NotFoundError):
            ledger = open_ledger(ledger_path(state, environ), read_only=True)
    with ledger or contextlib.nullcontext():
        yield ledger


class Ledger(SharedReading):
    """An open ledger.

    Each method may raise LedgerError, PlaceBusyError and, when it writes, WriteError, with nothing
    written then; the ledger can be used further, and works again when there is room again.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    # Writing

    def put_run(self, run: UsageRun) -> None:
        """Write a run, unless the ledger has the same or a later ``rev`` of it."""
        self._put(RUN, (run,))

    def change_run(self, key: str, **fields: object) -> UsageRun:
        """Replace fields of a run as it is now, and return it with its new ``rev``.

        Raises:
            LedgerError: There is no such run.
        """
        with self._writing():
            return self._changed(self._existing(key), fields)

    def end_run(self, key: str, **fields: object) -> UsageRun:
        """Write down how a run ended, unless somebody has seen that; return it as it is then.

        Raises:
            LedgerError: There is no such run.
        """
        with self._writing():
            run = self._existing(key)
            return run if run.exit_code is not None else self._changed(run, fields)

    def _existing(self, key: str) -> UsageRun:
        run = self.run(key)
        if run is None:
            raise LedgerError(
                f"{self.path} has no run {key}", hint="Was the ledger replaced meanwhile?"
            )
        return run

    def _changed(self, run: UsageRun, fields: Mapping[str, object]) -> UsageRun:
        changed = replace(run, **fields, rev=run.rev + 1)
        self._put_one(RUN, changed)
        return changed

    def put_run_gpu(self, run_gpu: RunGpu) -> None:
        """Write what a GPU did in a run in a month, in the place of what was known of it."""
        self._put(RUN_GPU, (run_gpu,))

    def put_counted(self, run: UsageRun, run_gpus: Iterable[RunGpu]) -> None:
        """Write a run with what its GPUs did: both, or neither."""
        with self._writing():
            self._put_one(RUN, run)
            for run_gpu in run_gpus:
                self._put_one(RUN_GPU, run_gpu)

    def put_epochs(self, epochs: Iterable[EpochRow]) -> None:
        """Write epochs; a later row of the same epoch takes its place."""
        self._put(EPOCH, epochs)

    def add_event(self, event: UsageEvent) -> None:
        """Add an event."""
        self._put(EVENT, (event,))

    @contextlib.contextmanager
    def correcting(self) -> Iterator[Callable[[Correction], None]]:
        """Give what adds a correction, to be called in the block; what it corrects stays.

        Nobody else writes until the block ends, so that two who correct the same do not do it
        twice. An error in the block adds nothing.
        """
        with self._writing():
            yield partial(self._put_one, CORRECTION)

    def see_gpus(self, gpus: Iterable[MachineGpu]) -> None:
        """Note that machines have GPUs, from the first moment that is known of to the last."""
        where = "where host = ? and gpu = ?"
        with self._writing():
            for gpu in gpus:
                known = self._read_one(MACHINE_GPU, where, (gpu.host, gpu.gpu))
                first_ms = min(gpu.first_ms, known.first_ms) if known else gpu.first_ms
                last_ms = max(gpu.last_ms, known.last_ms) if known else gpu.last_ms
                self._put_one(MACHINE_GPU, replace(gpu, first_ms=first_ms, last_ms=last_ms))

    def put_copies(self, rows: Mapping[Table[Any], Iterable[Struct]]) -> None:
        """Write rows of another ledger, which has handed them over or will."""
        with self._writing():
            for table, values in rows.items():
                for value in values:
                    self._connection.execute(table.upsert(), table.to_row(value))

    def beat(self, beat: Beat) -> None:
        """Note that a run is being watched."""
        self._put(BEAT, (beat,))

    def add_samples(self, samples: Iterable[Sample]) -> None:
        """Add samples; one that is there already stays as it is."""
        marks = ", ".join("?" * (1 + len(_MEASURED)))
        insert = f"insert or ignore into sample (series, {', '.join(_MEASURED)}) values ({marks})"  # noqa: S608 - own names
        with self._writing():
            for sample in samples:
                measured = (getattr(sample, name) for name in _MEASURED)
                self._connection.execute(insert, (self._series(sample), *measured))

    def forget_samples(self, before_ms: int) -> None:
        """Remove samples and epochs that are older, and give their room back."""
        with self._writing():
            self._connection.execute("delete from sample where at_ms < ?", (before_ms,))
            self._connection.execute("delete from epoch where at_ms < ?", (before_ms,))
            self._connection.execute(
                "delete from series where not exists"
                " (select 1 from sample where sample.series = series.id)"
            )
        with _translated(self.path):
            self._connection.execute("pragma incremental_vacuum").fetchall()

    # Reading

    def epochs(self, key: str) -> tuple[EpochRow, ...]:
        """Return the finished epochs of a run, by attempt and number."""
        return self._read(EPOCH, "where key = ? order by attempt, epoch", (key,))

    def beats(self) -> dict[str, Beat]:
        """Return the last beat of each run, by the run's key."""
        return {beat.key: beat for beat in self._read(BEAT, "order by key")}

    def samples(self, key: str, *, since_ms: int = 0) -> tuple[Sample, ...]:
        """Return the samples of a run from a moment on, in order, those of one moment by GPU."""
        names = (*_IN_SERIES, *_MEASURED)
        rows = self._execute(
            f"select {', '.join(names)} from sample join series on series.id = series"  # noqa: S608 - own names
            " where key = ? and at_ms >= ? order by at_ms, gpu",
            (key, since_ms),
        )
        with self._decoding("sample"):
            return tuple(
                msgspec.convert(dict(zip(names, row, strict=True)), Sample) for row in rows
            )

    # Handing over

    def outbox(self, limit: int) -> tuple[OutboxLine, ...]:
        """Return at most so many rows that the team's ledger has not: runs first, oldest first."""
        lines: list[OutboxLine] = []
        for table in SHARED:
            where = "where unsent is not null order by unsent limit ?"
            names = [column.name for column in table.columns]
            select = f"select unsent, {table.names} from {table.name} {where}"  # noqa: S608 - own names
            lines += (
                OutboxLine(id=unsent, table=table.name, body=_to_json(names, row))
                for unsent, *row in self._execute(select, (limit - len(lines),))
            )
        return tuple(lines)

    def handed_over(self, ids: Iterable[int]) -> None:
        """Mark rows of the outbox as handed over; one that was written since stays in it."""
        rows = [(line,) for line in ids]
        with self._writing():
            for table in SHARED:
                update = f"update {table.name} set unsent = null where unsent = ?"  # noqa: S608 - own name
                self._connection.executemany(update, rows)

    # Rows

    def _put(self, table: Table[T], values: Iterable[T]) -> None:
        with self._writing():
            for value in values:
                self._put_one(table, value)

    def _put_one(self, table: Table[T], value: T) -> None:
        row = table.to_row(value)
        written = self._connection.execute(table.upsert(), row).rowcount
        if not written or table in LOCAL:
            return
        self._connection.execute("update writes set count = count + 1")
        where = " and ".join(f"{name} = ?" for name in table.key)
        by_name = dict(zip((column.name for column in table.columns), row, strict=True))
        self._connection.execute(
            f"update {table.name} set unsent = (select count from writes) where {where}",  # noqa: S608 - own names
            [by_name[name] for name in table.key],
        )

    def _series(self, sample: Sample) -> int:
        series = (sample.key, sample.gpu, sample.util_source)
        # IS, as two unknown sources are the same
        select = "select id from series where key = ? and gpu = ? and util_source is ?"
        row = self._connection.execute(select, series).fetchone()
        if row is None:
            insert = "insert into series (key, gpu, util_source) values (?, ?, ?)"
            return self._connection.execute(insert, series).lastrowid or 0
        return int(row[0])

    def _read(self, table: Table[T], where: str, values: Sequence[object] = ()) -> tuple[T, ...]:
        rows = self._execute(f"select {table.names} from {table.name} {where}", values)  # noqa: S608 - own names
        with self._decoding(table.name):
            return tuple(table.from_row(row) for row in rows)

    def _execute(self, statement: str, values: Sequence[object]) -> list[Any]:
        with _translated(self.path):
            return self._connection.execute(statement, values).fetchall()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Write in one transaction, all of it or nothing."""
        with _translated(self.path), _transaction(self._connection):
            yield

    @contextlib.contextmanager
    def _decoding(self, table: str) -> Iterator[None]:
        try:
            yield
        except (msgspec.MsgspecError, ValueError) as error:
            raise LedgerError(
                f"{self.path} has a row in {table} that no snapenv writes: {error}",
                hint=_HINT_DAMAGED,
            ) from error


def _open_to_write(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    # One that is there is not opened: closing it would let go of every lock of this process on it,
    # of which SQLite knows nothing. See "How To Corrupt", https://sqlite.org/howtocorrupt.html
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE))
    connection = _connect(path, "rw")
    try:
        _check(connection, path)
        # Kept in the file, so that only its first user must be alone for it.
        if connection.execute("pragma journal_mode").fetchone() != ("wal",):
            connection.execute("pragma auto_vacuum = incremental")
            connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")
        if _number(connection, "pragma user_version") < VERSION:
            with _transaction(connection):
                _create(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _create(connection: sqlite3.Connection) -> None:
    """Make all tables; another process may have been quicker."""
    for table in (*SHARED, *LOCAL):
        for statement in table.create(*(("unsent integer",) if table in SHARED else ())):
            connection.execute(statement)
    for table in SHARED:
        connection.execute(
            f"create index if not exists {table.name}_unsent on {table.name} (unsent)"
            " where unsent is not null"
        )
    for statement in _LOCAL_ALONE.split(";"):
        connection.execute(statement)
    connection.execute(f"pragma application_id = {APPLICATION_ID}")
    connection.execute(f"pragma user_version = {VERSION}")


def _open_to_read(path: Path) -> sqlite3.Connection:
    """Open a ledger that may be on a file system or in a folder where nothing can be written.

    SQLite needs to write beside a file with a log. Where it cannot, the file alone is read, which
    is right only while there is nothing in the log.
    """
    if not path.exists() or path.stat().st_size == 0:
        raise NotFoundError(
            f"there is no ledger of usage at {path}",
            hint="It is made by the first run: snapenv run.",
        )
    try:
        return _checked(_connect(path, "ro"), path)
    except sqlite3.OperationalError as error:
        if _code(error) not in (_CANTOPEN, _READONLY):
            raise
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size > 0:
        raise LedgerError(
            f"{path} is in use, or was not closed, and you may not write beside it",
            hint="Read it as its owner, who can also make an export: snapenv usage export.",
        )
    return _checked(_connect(path, "ro&immutable=1"), path)


def _checked(connection: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    try:
        _check(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=_TIMEOUT_S,
        isolation_level=None,
    )


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse what is not a ledger, or is one of a newer snapenv; a new file is neither."""
    with _transaction(connection, "deferred"):  # another process may be making it
        application = _number(connection, "pragma application_id")
        tables = _number(connection, "select count(*) from sqlite_master")
        version = _number(connection, "pragma user_version")
    if application != APPLICATION_ID and (application or tables):
        raise LedgerError(
            f"{path} is a database, but not a ledger of usage",
            hint="Name another file in SNAPENV_LEDGER.",
        )
    if version > VERSION:
        raise LedgerVersionError(
            f"{path} has version {version}; this snapenv knows {VERSION}", hint="Update snapenv."
        )


def _number(connection: sqlite3.Connection, statement: str) -> int:
    (number,) = connection.execute(statement).fetchone()
    return int(number)


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection, how: str = "immediate") -> Iterator[None]:
    connection.execute(f"begin {how}")
    try:
        yield
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError, OverflowError, UnicodeError) as error:
        raise _as_ours(error, path) from error


def _as_ours(error: Exception, path: Path) -> SnapenvError:
    code = _code(error)
    if code in (_BUSY, _LOCKED):
        return PlaceBusyError(
            f"another process has been writing to {path} for {_TIMEOUT_S:.0f} s",
            hint="Try again; if it lasts, see who has it open: fuser -v.",
        )
    if isinstance(error, OSError) or code in _UNWRITABLE:
        return WriteError(
            f"the ledger of usage cannot be written: {path}: {_reason(error)}",
            hint="Make room or give the rights, or name another file in SNAPENV_LEDGER.",
        )
    return LedgerError(f"the ledger of usage cannot be read: {path}: {error}", hint=_HINT_DAMAGED)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _code(error: Exception) -> int | None:
    """Return SQLite's primary code of a failure; Python has it since 3.11."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None and isinstance(error, sqlite3.Error):
        return _CODES_BY_TEXT.get(str(error))
    return None if code is None else code & 0xFF


def _to_json(names: Sequence[str], row: Sequence[object]) -> str:
    return msgspec.json.encode(dict(zip(names, row, strict=True))).decode()
