"""A team's ledger: the same tables in PostgreSQL, where each login sees what its role may.

Its address is a URL as libpq takes it; what that leaves out comes from PGPASSFILE, PGSERVICE and
libpq's other variables. psycopg, which comes with the extra ``team``, is imported when it is used.

Source: https://www.postgresql.org/docs/15/libpq-connect.html, …/errcodes-appendix.html
"""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from snapenv.errors import LedgerVersionError, TeamLedgerError, UsageError
from snapenv.model.usage import MachineGpu, UsageSum
from snapenv.usage.postgres_schema import (
    FINANCE,
    FLEET,
    MANAGER,
    MEMBER,
    SCHEMA,
    SUMS_OF_FINANCE,
    SUMS_OF_MANAGERS,
    VERSION,
)
from snapenv.usage.reading import SharedReading
from snapenv.usage.role_sums import DETAILS
from snapenv.usage.tables import BUCKET_COLUMNS, MACHINE_GPU, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import psycopg

    from snapenv.model.usage import EpochRow, Sample
    from snapenv.usage.ledger import OutboxLine

T = TypeVar("T", bound=Struct)

Role = Literal["member", "manager", "finance"]

_SCHEMES = ("postgresql", "postgres")
_ROLES: dict[Role, str] = {"member": MEMBER, "manager": MANAGER, "finance": FINANCE}
_CONNECT_TIMEOUT_S = 5
_TIMEOUT_MS = 30_000  # of a statement, and of what was sent and nobody confirms
_SUMS = ("month", "gpu_model", "project", "is_rest", "is_correction", "runs", "allocated_ms")


class RefusedRowError(Exception):
    """The server takes none of these rows, as one of them is none that its tables can hold."""


class Taken(Struct, frozen=True, kw_only=True):
    """What a team's ledger made of rows that were handed over."""

    refused: frozenset[str]  # keys of runs of which it took nothing: they are another login's
    waiting: int  # runs of this login whose project it may not use, so far


def team_url(environ: Mapping[str, str]) -> str | None:
    """Return the address of the team's ledger, which SNAPENV_LEDGER may hold; None for a file.

    Whether it is of PostgreSQL is checked where it is opened.
    """
    named = environ.get("SNAPENV_LEDGER", "")
    return named if "://" in named else None


def check_url(url: str) -> None:
    """Check the form of an address, before a library puts parts of a password into an error.

    Raises:
        UsageError: It is none, or a password in it has a character that must be escaped.
    """
    try:
        parts = urlsplit(url)
        fits = parts.scheme in _SCHEMES and parts.netloc.count("@") <= 1
        hosts = parts.netloc.rpartition("@")[2].split(",")
        ports = [host.rpartition("]")[2].partition(":")[2] for host in hosts]
        fits = fits and all(port.isdecimal() for port in ports if port)
        fits = fits and "@" not in parts.path + parts.fragment
    except ValueError:
        fits = False
    if not fits:
        raise UsageError(
            "the address of the team's ledger is no URL such as postgresql://LOGIN@HOST/DATABASE",
            hint="Write @ : / ? # and % in a password as %40 %3A %2F %3F %23 and %25.",
        )


def open_team_ledger(url: str) -> TeamLedger:
    """Connect to a team's ledger; where nothing answers that takes five seconds.

    Raises:
        UsageError: The address is none.
        TeamLedgerError: psycopg is not installed, the server does not answer or refuses, or has
            no ledger in that database, or the login has no role in it.
        LedgerVersionError: A newer snapenv made it.
    """
    connection = connect(url)
    try:
        with translated(place_of(connection)):
            _check_version(connection)
            return TeamLedger(connection, _roles_of(connection))
    except BaseException:
        connection.close()
        raise


class TeamLedger(SharedReading):
    """An open ledger of a team, as one login sees it; each method may raise TeamLedgerError.

    Runs and what belongs to them are for members; managers and finance are given sums.
    """

    def __init__(self, connection: psycopg.Connection[Any], roles: tuple[Role, ...]) -> None:
        self.place = place_of(connection)  # for people, without a password
        self.roles = roles
        self._connection = connection

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def sums(self, role: Role, first_month: str, last_month: str) -> tuple[UsageSum, ...]:
        """Return what a manager or finance may see of months, the last included, in order."""
        details = ("usr", *DETAILS) if role == "manager" else ()
        view = SUMS_OF_MANAGERS if role == "manager" else SUMS_OF_FINANCE
        names = (*_SUMS, *details, "energy_mj", "util_sources", *BUCKET_COLUMNS)
        rows = self._execute(
            f"select {', '.join(names)} from {view} where month between %s and %s"  # noqa: S608 - own names
            " order by month, gpu_model, is_rest, project, is_correction, allocated_ms desc",
            (first_month, last_month),
        )
        return tuple(_to_sum(names, row) for row in rows)

    def machine_gpus(self) -> tuple[MachineGpu, ...]:
        """Return the GPUs of all machines, by host and UUID; members alone are given none."""
        if not {"manager", "finance"}.intersection(self.roles):
            return ()
        rows = self._execute(f"select {MACHINE_GPU.names} from {FLEET} order by host, gpu", ())  # noqa: S608 - own names
        return tuple(MACHINE_GPU.from_row(row) for row in rows)

    def epochs(self, key: str) -> tuple[EpochRow, ...]:
        """Return none: epochs stay on the machine of their run."""
        del key
        return ()

    def samples(self, key: str) -> tuple[Sample, ...]:
        """Return none: samples stay on the machine of their run."""
        del key
        return ()

    def hand_over(self, lines: Sequence[OutboxLine]) -> Taken:
        """Write rows, all of them or nothing; what a newer ``rev`` of a run replaces stays so.

        Raises:
            RefusedRowError: One of the rows cannot be held, so none was written.
            TeamLedgerError: The server does not answer, or the login is no member.
        """
        from psycopg import DataError, IntegrityError

        rows: defaultdict[str, list[msgspec.Raw]] = defaultdict(list)
        for line in lines:
            rows[line.table].append(msgspec.Raw(line.body.encode()))
        document = msgspec.json.encode(rows).decode()
        try:
            ((answer,),) = self._execute(f"select {SCHEMA}.hand_over(%s::jsonb)", (document,))
        except TeamLedgerError as error:
            if isinstance(error.__cause__, (DataError, IntegrityError)):
                raise RefusedRowError(error.message) from error
            raise
        return msgspec.convert(answer, Taken)

    def _read(self, table: Table[T], where: str, values: Sequence[object] = ()) -> tuple[T, ...]:
        statement = f"select {table.names} from {table.name} {where.replace('?', '%s')}"  # noqa: S608 - own names
        return tuple(table.from_row(row) for row in self._execute(statement, values))

    def _execute(self, statement: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        with translated(self.place):
            return run_own(self._connection, statement, values).fetchall()


def connect(url: str) -> psycopg.Connection[Any]:
    """Connect to a database, whatever is in it; each statement is a transaction of its own.

    Raises:
        UsageError: The address is none.
        TeamLedgerError: psycopg is not installed, or the server does not answer or refuses.
    """
    check_url(url)
    try:
        import psycopg
    except ImportError as error:
        raise TeamLedgerError(
            "psycopg, which speaks with PostgreSQL, is not installed beside snapenv",
            hint="Install it: pip install 'snapenv[team]'.",
        ) from error
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    try:
        parameters = conninfo_to_dict(url)
    except psycopg.Error:  # its words may have parts of a password
        raise UsageError(
            "the address of the team's ledger has a part that libpq does not know",
            hint="See the connection URIs in PostgreSQL's documentation of libpq.",
        ) from None
    usual: dict[str, Any] = {"application_name": "snapenv", "tcp_user_timeout": _TIMEOUT_MS}
    if "PGCONNECT_TIMEOUT" not in os.environ:
        usual["connect_timeout"] = _CONNECT_TIMEOUT_S
    with translated(_place(parameters)):
        connection = psycopg.connect(
            make_conninfo(url, **{name: usual[name] for name in usual if name not in parameters}),
            autocommit=True,
            prepare_threshold=None,  # a pooler may give each transaction another connection
        )
        run_own(connection, f"set statement_timeout = {_TIMEOUT_MS}")
        run_own(connection, f"set search_path = {SCHEMA}, pg_temp")
    return connection


def run_own(
    connection: psycopg.Connection[Any], statement: str, values: Sequence[object] | None = None
) -> psycopg.Cursor[Any]:
    """Execute a statement whose names are of snapenv's own tables; what else varies is a value."""
    return connection.execute(statement, values)


def place_of(connection: psycopg.Connection[Any]) -> str:
    """Return where a connection leads, for people: no password is in it."""
    info = connection.info
    return _place({"dbname": info.dbname, "host": info.host})


def _place(parts: Mapping[str, Any]) -> str:
    database, host = parts.get("dbname"), parts.get("host")
    named = f"database {database}" if database else "the database named as the login"
    return f"{named} at {host}" if host else named


@contextlib.contextmanager
def translated(place: str) -> Iterator[None]:
    """Turn errors of psycopg into ours; ``place`` is where, in words.

    Raises:
        TeamLedgerError: Always, in the place of one of psycopg's.
    """
    from psycopg import Error

    try:
        yield
    except Error as error:
        words = " ".join((error.diag.message_primary or str(error)).split())
        raise TeamLedgerError(
            f"the team's ledger, {place}: {words}", hint=_hint(error.sqlstate or "")
        ) from error


def _hint(state: str) -> str:
    """Return what to do, by the code of an error; none where the server was not reached."""
    match state:
        case "3F000" | "42P01" | "42883":
            return "Is it the right database? snapenv usage init URL makes a ledger in it."
        case "42501":
            return (
                "Who keeps the ledger gives roles by snapenv usage init; that needs the login that"
                " owns the database and made the roles."
            )
        case "":
            return "Try psql with the same address; a login needs a role in the ledger to connect."
        case _:
            return "Look at the server's log."


def _check_version(connection: psycopg.Connection[Any]) -> None:
    row = run_own(connection, "select version from ledger_version").fetchone()
    check_version(row[0] if row else 0, place_of(connection))


def check_version(version: int, place: str) -> None:
    """Refuse a ledger of a newer snapenv.

    Raises:
        LedgerVersionError: It is newer.
    """
    if version > VERSION:
        raise LedgerVersionError(
            f"the team's ledger, {place}, is of version {version}; this snapenv knows {VERSION}",
            hint="Use a newer snapenv.",
        )


def _roles_of(connection: psycopg.Connection[Any]) -> tuple[Role, ...]:
    """Return the roles that the login has, in the order of ``Role``.

    Raises:
        TeamLedgerError: It has none.
    """
    select = "select " + ", ".join("pg_has_role(session_user, %s, 'usage')" for _ in _ROLES)
    row = run_own(connection, select, tuple(_ROLES.values())).fetchone() or ()
    return tuple(role for role, has in zip(_ROLES, row, strict=True) if has)


def _to_sum(names: Sequence[str], row: Sequence[object]) -> UsageSum:
    fields = dict(zip(names, row, strict=True))
    buckets = tuple(fields.pop(name) for name in BUCKET_COLUMNS)
    if "usr" in fields:
        fields["user"] = fields.pop("usr")
    return msgspec.convert({**fields, "buckets": buckets}, UsageSum)
