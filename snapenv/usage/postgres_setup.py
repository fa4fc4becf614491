"""Making a team's ledger, and who may see what of it.

Whoever does it owns the database and may make roles, and needs to be no superuser. It is made in
one transaction, at whose end its maker has no role in it that it has given itself.

Source: https://www.postgresql.org/docs/15/sql-grant.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snapenv.errors import LedgerError, NotFoundError
from snapenv.model.results import UsageInitResult
from snapenv.model.usage import ProjectMember, TeamGrants
from snapenv.usage import postgres_schema as schema
from snapenv.usage.postgres import check_version, connect, place_of, run_own, translated

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg

    Connection = psycopg.Connection[Any]


def set_up(url: str, *, add: TeamGrants, remove: Sequence[ProjectMember | str]) -> UsageInitResult:
    """Make a ledger in a database, or bring it up to date; what is in it stays.

    ``add`` is granted. A login in ``remove`` loses all of its roles and projects, a ProjectMember
    one project; runs stay as they are.

    Raises:
        UsageError: The address is none.
        NotFoundError: A login to be granted something does not exist.
        TeamLedgerError: The server does not answer, or the login may not do this.
        LedgerError: The database has something else in a schema of that name.
        LedgerVersionError: A newer snapenv made it.
    """
    connection = connect(url)
    place = place_of(connection)
    with connection, translated(place), connection.transaction():
        # One at a time; the number is any that nobody else uses.
        run_own(connection, "select pg_advisory_xact_lock(7307497687)")
        _check(connection, place)
        _check_logins(connection, add, place)
        before = _tables(connection)
        roles_made = _make_roles(connection)
        for role in schema.INNER_ROLES:
            run_own(connection, f"grant {role} to current_user")
        _make(connection)
        _grant(connection, add)
        _remove(connection, remove)
        grants = _read_grants(connection)
        for role in schema.INNER_ROLES:
            run_own(connection, f"revoke {role} from current_user")
    made = tuple(name for name in schema.table_names() if name not in before)
    return UsageInitResult(place=place, roles_made=roles_made, tables_made=made, grants=grants)


def _tables(connection: Connection) -> frozenset[str]:
    select = "select tablename from pg_tables where schemaname = %s"
    return frozenset(name for (name,) in run_own(connection, select, (schema.SCHEMA,)))


def _check(connection: Connection, place: str) -> None:
    """Refuse a schema of ours that somebody else made.

    Raises:
        LedgerError: It is not a ledger's.
    """
    select = "select pg_get_userbyid(nspowner) from pg_namespace where nspname = %s"
    row = run_own(connection, select, (schema.SCHEMA,)).fetchone()
    if row and row[0] != schema.OWNER:
        raise LedgerError(
            f"{place} has a schema {schema.SCHEMA} that is not a ledger",
            hint="Give the ledger a database of its own.",
        )


def _check_logins(connection: Connection, add: TeamGrants, place: str) -> None:
    """Check that the logins exist: they have passwords, which are not ours to choose.

    Raises:
        NotFoundError: One does not.
    """
    members = (member.login for member in add.members)
    logins = (*members, *add.managers, *add.finance, *add.services)
    known = {name for (name,) in run_own(connection, "select rolname from pg_roles")}
    missing = [login for login in dict.fromkeys(logins) if login not in known]
    if missing:
        raise NotFoundError(
            f"{place} has no login {missing[0]}",
            hint=f'Make it first, in psql: CREATE ROLE "{missing[0]}" LOGIN; \\password',
        )


def _make_roles(connection: Connection) -> tuple[str, ...]:
    """Make the roles that are not there; they are of all databases of the server."""
    known = {name for (name,) in run_own(connection, "select rolname from pg_roles")}
    missing = tuple(role for role in schema.ROLES if role not in known)
    for role in missing:
        run_own(connection, f"create role {role} nologin")
    return missing


def _make(connection: Connection) -> None:
    """Make the schema and all that is in it, each part as the role that is to own it."""
    name = schema.SCHEMA
    roles = f"{schema.READER}, {schema.WRITER}"
    users = f"{schema.MEMBER}, {schema.MANAGER}, {schema.FINANCE}"
    database = _quoted(connection, connection.info.dbname)
    _run_all(
        connection,
        (
            f"create schema if not exists {name} authorization {schema.OWNER}",
            f"revoke all on database {database} from public",
            f"grant connect on database {database} to {users}",
        ),
    )
    _run_as(connection, schema.OWNER, (f"grant usage, create on schema {name} to {roles}",))
    _run_as(connection, schema.OWNER, (f"grant usage on schema {name} to {users}",))
    _run_as(connection, schema.OWNER, schema.tables())
    _check_or_set_version(connection)
    _run_as(connection, schema.READER, schema.views())
    _run_as(connection, schema.WRITER, schema.function())
    _run_as(connection, schema.OWNER, (f"revoke create on schema {name} from {roles}",))


def _check_or_set_version(connection: Connection) -> None:
    _become(connection, schema.OWNER)
    row = run_own(connection, "select version from about").fetchone()
    if row:
        check_version(row[0], place_of(connection))
    else:
        run_own(connection, "insert into about values (%s)", (schema.VERSION,))
    _become(connection, None)


def _grant(connection: Connection, add: TeamGrants) -> None:
    members = sorted({member.login for member in add.members} | set(add.services))
    for role, logins in (
        (schema.MEMBER, members),
        (schema.MANAGER, add.managers),
        (schema.FINANCE, add.finance),
    ):
        for login in logins:
            run_own(connection, f"grant {role} to {_quoted(connection, login)}")
    _become(connection, schema.OWNER)
    for member in add.members:
        run_own(
            connection,
            "insert into person values (%s, %s) on conflict do nothing",
            (member.login, member.project),
        )
    for login in add.services:
        run_own(connection, "insert into service values (%s) on conflict do nothing", (login,))
    _become(connection, schema.WRITER)
    for member in add.members:  # what was handed over before
        run_own(
            connection,
            "update run set confirmed = true where login = %s and project = %s",
            (member.login, member.project),
        )
    _become(connection, None)


def _remove(connection: Connection, remove: Sequence[ProjectMember | str]) -> None:
    _become(connection, schema.OWNER)
    for each in remove:
        if isinstance(each, ProjectMember):
            run_own(
                connection,
                "delete from person where login = %s and project = %s",
                (each.login, each.project),
            )
        else:
            run_own(connection, "delete from person where login = %s", (each,))
            run_own(connection, "delete from service where login = %s", (each,))
    _become(connection, None)
    known = {name for (name,) in run_own(connection, "select rolname from pg_roles")}
    for each in remove:
        if isinstance(each, str) and each in known:
            roles = f"{schema.MEMBER}, {schema.MANAGER}, {schema.FINANCE}"
            run_own(connection, f"revoke {roles} from {_quoted(connection, each)}")


def _read_grants(connection: Connection) -> TeamGrants:
    _become(connection, schema.OWNER)
    members = run_own(connection, "select login, project from person").fetchall()
    services = run_own(connection, "select login from service order by login").fetchall()
    _become(connection, None)
    return TeamGrants(
        members=tuple(sorted(ProjectMember(*row) for row in members)),
        managers=_granted(connection, schema.MANAGER),
        finance=_granted(connection, schema.FINANCE),
        services=tuple(login for (login,) in services),
    )


def _granted(connection: Connection, role: str) -> tuple[str, ...]:
    select = (
        "select member.rolname from pg_auth_members"
        " join pg_roles member on member.oid = pg_auth_members.member"
        " join pg_roles granted on granted.oid = pg_auth_members.roleid"
        " where granted.rolname = %s and member.rolcanlogin"
        # from version 16 on, who made a role may grant it, and is listed without having it
        " and pg_has_role(member.oid, granted.oid, 'usage') order by 1"
    )
    return tuple(dict.fromkeys(name for (name,) in run_own(connection, select, (role,))))


def _run_as(connection: Connection, role: str, statements: Iterable[str]) -> None:
    _become(connection, role)
    _run_all(connection, statements)
    _become(connection, None)


def _run_all(connection: Connection, statements: Iterable[str]) -> None:
    for statement in statements:
        run_own(connection, statement)


def _become(connection: Connection, role: str | None) -> None:
    """Act as a role, or as who has connected; the search path stays."""
    run_own(connection, f"set local role {role or 'none'}")


def _quoted(connection: Connection, name: str) -> str:
    from psycopg.sql import Identifier

    return Identifier(name).as_string(connection)
