"""A team's ledger for tests, in a database of its own, and who may do what in it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from snapenv.model.usage import ProjectMember, TeamGrants
from snapenv.steps.handing_over import hand_over
from snapenv.usage.ledger import open_ledger
from snapenv.usage.postgres import TeamLedger, open_team_ledger
from snapenv.usage.postgres_setup import set_up
from tests.engines.postgres import GUARDED, SUPERUSER, Postgres
from tests.usage.values import GPU_UUID, HOUR_MS, sample_event, sample_run_gpu, sample_usage_run

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from snapenv.model.usage import RunGpu, UsageRun
    from snapenv.steps.handing_over import HandedOver

KEEPER = "keeper"  # owns the databases, may make roles, and is no superuser
LOGINS = ("ada", "ben", "cho", "dan", "mona", "finn", "otto", "guest", GUARDED)
PASSWORD = "a long password of the tests"
GRANTS = TeamGrants(
    members=(
        ProjectMember("ada", "birds"),
        ProjectMember("ben", "birds"),
        ProjectMember("ben", "fish"),
        ProjectMember("cho", "fish"),
        ProjectMember("dan", "solo"),
        ProjectMember(GUARDED, "birds"),
    ),
    managers=("mona",),
    finance=("finn",),
    services=("otto",),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Team:
    """A database of a server."""

    postgres: Postgres
    database: str

    def url(self, login: str) -> str:
        """Return the address for a login."""
        return self.postgres.url(login, self.database)

    def open(self, login: str) -> TeamLedger:
        """Open the ledger as a login."""
        return open_team_ledger(self.url(login))

    def grant(self, add: TeamGrants = TeamGrants(), *remove: ProjectMember | str) -> TeamGrants:  # noqa: B008 - frozen
        """Make the ledger, and grant or take away; return all that is granted then."""
        return set_up(self.url(KEEPER), add=add, remove=remove).grants

    def sql(self, login: str, *statements: str) -> list[Any]:
        """Run statements as a login; return the rows of the last one."""
        with psycopg.connect(self.url(login), autocommit=True) as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def put(self, login: str, folder: Path, *runs: UsageRun) -> HandedOver:
        """Hand over runs as a login, each with a GPU that it had for an hour, and an event."""
        with open_ledger(folder / f"{uuid.uuid4()}.sqlite3") as ledger:
            for run in runs:
                ledger.put_run(run)
                ledger.put_run_gpu(hour_of(run))
                ledger.add_event(sample_event(id=str(uuid.uuid4()), key=run.key))
            return hand_over(ledger, self.url(login))


def new_team(postgres: Postgres, grants: TeamGrants | None = GRANTS) -> Team:
    """Make a database with a ledger; with None it is empty."""
    team = Team(postgres=postgres, database=postgres.new_database())
    with psycopg.connect(team.url(SUPERUSER), autocommit=True) as connection:
        known = {name for (name,) in connection.execute("select rolname from pg_roles")}
        for login in (KEEPER, *LOGINS):
            if login not in known:
                connection.execute(f"create role {login} login".encode())
        connection.execute(f"alter role {KEEPER} createrole".encode())
        connection.execute(f"alter role {GUARDED} password '{PASSWORD}'".encode())
        connection.execute(f"alter database {team.database} owner to {KEEPER}".encode())
    if grants is not None:
        team.grant(grants)
    return team


def new_run(project: str | None = "birds", **fields: Any) -> UsageRun:  # noqa: ANN401
    """Return a run with a key of its own."""
    return sample_usage_run(**{"key": str(uuid.uuid4()), "project": project} | fields)


def hour_of(run: UsageRun, **fields: Any) -> RunGpu:  # noqa: ANN401
    """Return that a GPU was a run's for an hour, half of which it was seen to be busy."""
    given: dict[str, Any] = {
        "key": run.key,
        "gpu": GPU_UUID,
        "allocated_ms": HOUR_MS,
        "covered_ms": HOUR_MS // 2,
        "buckets": (0,) * 9 + (HOUR_MS // 2,),
        "energy_mj": 1000,
    }
    return sample_run_gpu(**given | fields)


def seed(team: Team, folder: Path) -> None:
    """Hand over 13 runs of four people: five of birds, five of fish, two of solo, one of none."""
    runs: dict[str, Iterable[str | None]] = {
        "ada": ("birds", "birds", "birds", None),
        "ben": ("birds", "birds", "fish"),
        "cho": ("fish", "fish", "fish", "fish"),
        "dan": ("solo", "solo"),
    }
    for login, projects in runs.items():
        team.put(login, folder, *(new_run(project) for project in projects))
