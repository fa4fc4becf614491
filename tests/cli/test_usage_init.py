from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from snapenv.errors import LedgerVersionError
from snapenv.model.usage import ProjectMember, TeamGrants
from snapenv.usage import postgres_schema
from tests.command import Command
from tests.engines.postgres import GUARDED, SUPERUSER
from tests.usage.team import GRANTS, KEEPER, Team, new_run, new_team

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engines.postgres import Postgres

SNAPENV = Command()
SECRET = "hunter2-of-the-tests"


@pytest.fixture
def empty(postgres: Postgres) -> Team:
    return new_team(postgres, None)


@pytest.fixture(scope="module")
def unmade(postgres: Postgres) -> Team:
    """Return an empty database that no test makes a ledger in."""
    return new_team(postgres, None)


def test_a_second_time_changes_nothing(empty: Team) -> None:
    url = empty.url(KEEPER)
    words = ("--member", "ada=birds", "--manager", "mona", "--finance", "finn", "--service", "otto")

    first = SNAPENV.result("usage", "init", url, *words)
    second = SNAPENV.result("usage", "init", url)

    assert first["tables_made"] == list(postgres_schema.table_names())
    assert second["tables_made"] == second["roles_made"] == []
    assert first["grants"] == second["grants"]
    assert first["grants"] == {
        "members": [{"login": "ada", "project": "birds"}],
        "services": ["otto"],
        "managers": ["mona"],
        "finance": ["finn"],
    }


def test_people_are_told_what_was_made_and_who_sees_what(empty: Team) -> None:
    done = SNAPENV.run("usage", "init", empty.url(KEEPER), "--member", "ada=birds")

    assert done.returncode == 0
    assert (
        f"the ledger in database {empty.database} at {empty.postgres.folder} is made" in done.stdout
    )
    assert "project birds: ada" in done.stdout


def test_what_was_in_the_ledger_stays_when_it_is_made_again(
    postgres: Postgres, tmp_path: Path
) -> None:
    team, run = new_team(postgres), new_run()
    team.put("ada", tmp_path, run)

    SNAPENV.result("usage", "init", team.url(KEEPER))

    with team.open("ada") as ledger:
        assert ledger.run(run.key)
    with team.open("finn") as ledger:
        assert ledger.machine_gpus() == ()


def test_a_run_that_waits_is_confirmed_when_its_login_is_added(
    postgres: Postgres, tmp_path: Path
) -> None:
    team, run = new_team(postgres), new_run("fish")
    team.put("ada", tmp_path, run)
    with team.open("cho") as ledger:
        before = ledger.run(run.key)

    SNAPENV.result("usage", "init", team.url(KEEPER), "--member", "ada=fish")

    with team.open("cho") as ledger:
        assert (before, ledger.run(run.key) is not None) == (None, True)


def test_who_leaves_a_project_sees_no_more_of_it_and_its_runs_stay(
    postgres: Postgres, tmp_path: Path
) -> None:
    team, of_ada, of_ben = new_team(postgres), new_run(), new_run()
    team.put("ada", tmp_path, of_ada)
    team.put("ben", tmp_path, of_ben)

    SNAPENV.result("usage", "init", team.url(KEEPER), "--remove", "ben=birds")

    with team.open("ben") as ben, team.open("ada") as ada:
        assert [run.key for run in ben.runs(0, 1 << 62)] == [of_ben.key]
        assert {run.key for run in ada.runs(0, 1 << 62)} == {of_ada.key, of_ben.key}


def test_a_run_that_goes_on_while_its_user_leaves_stays_the_projects(
    postgres: Postgres, tmp_path: Path
) -> None:
    team, run = new_team(postgres), new_run(ended_ms=None)
    team.put("ben", tmp_path, run)
    ended = replace(run, rev=2, ended_ms=run.started_ms + 1)

    SNAPENV.result("usage", "init", team.url(KEEPER), "--remove", "ben=birds")
    handed = team.put("ben", tmp_path, ended, moved := replace(run, key="2"))

    assert handed.waiting == 1  # the one that began afterwards
    with team.open("ada") as ledger:
        found = ledger.run(run.key)
        assert ledger.run(moved.key) is None
    assert found
    assert found.rev == 2


def test_a_login_that_is_removed_is_nothing_any_more(empty: Team) -> None:
    empty.grant(GRANTS)

    after = empty.grant(TeamGrants(), "ben", "mona", "otto", "nobody")

    assert {member.login for member in after.members} == {"ada", "cho", "dan", GUARDED}
    assert (after.managers, after.finance, after.services) == ((), ("finn",), ())
    empty.grant(GRANTS)  # roles are of all databases of the server


@pytest.mark.parametrize(
    ("words", "code", "slug"),
    [
        (("--member", "erwin=birds"), 3, "not-found"),
        (("--manager", "erwin; drop role ada"), 3, "not-found"),
        (("--member", "birds"), 2, "usage"),
        (("--member", "=birds"), 2, "usage"),
        (("--member", "ada="), 2, "usage"),
    ],
)
def test_who_is_not_there_is_refused_and_nothing_is_made(
    words: tuple[str, ...], code: int, slug: str, unmade: Team
) -> None:
    document = SNAPENV.document("usage", "init", unmade.url(KEEPER), *words)

    assert (document["exit_code"], document["error"]["kind"]) == (code, slug)
    assert unmade.sql(KEEPER, "select 1 from pg_namespace where nspname = 'snapenv'") == []


def test_who_does_not_own_the_database_is_refused(unmade: Team) -> None:
    document = SNAPENV.document("usage", "init", unmade.url("ada"))

    assert (document["exit_code"], document["error"]["kind"]) == (4, "team-ledger")


def test_a_schema_of_somebody_else_stays_as_it_is(empty: Team) -> None:
    empty.sql(KEEPER, "create schema snapenv", "create table snapenv.run (mine int)")

    document = SNAPENV.document("usage", "init", empty.url(KEEPER))

    assert (document["exit_code"], document["error"]["kind"]) == (6, "ledger")
    assert empty.sql(KEEPER, "select mine from snapenv.run") == []


def test_a_ledger_of_a_newer_snapenv_is_refused_and_stays_as_it_is(postgres: Postgres) -> None:
    team = new_team(postgres)
    team.sql(SUPERUSER, "update snapenv.about set version = 99", "drop view snapenv.fleet")

    document = SNAPENV.document("usage", "init", team.url(KEEPER))

    assert (document["exit_code"], document["error"]["kind"]) == (6, "ledger-version")
    with pytest.raises(LedgerVersionError):
        team.open("ada")
    assert team.sql(SUPERUSER, "select 1 from pg_views where viewname = 'fleet'") == []


def test_a_name_in_quotes_is_a_name(empty: Team) -> None:
    login = 'a "b"; drop role ada; -- ü'
    quoted = login.replace('"', '""')
    known = empty.sql(SUPERUSER, "select rolname from pg_roles")
    if (login,) not in known:
        empty.sql(SUPERUSER, f'create role "{quoted}" login')

    grants = empty.grant(TeamGrants(members=(ProjectMember(login, "x';--"),), managers=(login,)))

    assert grants.members == (ProjectMember(login, "x';--"),)
    assert login in grants.managers
    assert ("ada",) in empty.sql(SUPERUSER, "select rolname from pg_roles")
    empty.grant(TeamGrants(), login)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://keeper:{SECRET}@127.0.0.1:9/usage",
        f"postgresql://keeper:{SECRET}/x@db.example.com/usage",
        f"postgresql://keeper:1/{SECRET}@db.example.com/usage",
        f"postgresql://127.0.0.1:{SECRET}/usage",
        f"postgresql://keeper:{SECRET}@x@db.example.com/usage",
        f"postgresql://keeper:x@{SECRET}@db.example.com/usage",
        f"postgresql://keeper:{SECRET}%zz@db.example.com/usage",
        f"postgresql://keeper:x?{SECRET}@db.example.com/usage",
        f"postgresql://keeper:x#{SECRET}@db.example.com/usage",
        f"postgresql://keeper:x[{SECRET}@db.example.com/usage",
        f"postgresql://keeper@127.0.0.1:9/usage?password={SECRET}",
        f"postgresql://keeper@127.0.0.1:9/usage?passwort={SECRET}",
        f"postgresql://keeper:{SECRET}:9@127.0.0.1:9/usage",
        f"mysql://keeper:{SECRET}@db.example.com/usage",
        f"host=127.0.0.1 port=9 password={SECRET}",
        f"postgresql://{GUARDED}:{SECRET}@/DATABASE?host=FOLDER&port=5432",
    ],
)
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_password_is_in_no_answer(url: str, form: tuple[str, ...], unmade: Team) -> None:
    url = url.replace("DATABASE", unmade.database).replace("FOLDER", str(unmade.postgres.folder))

    done = SNAPENV.run(*form, "usage", "init", url)

    assert done.returncode in (2, 4)
    assert SECRET not in done.stdout + done.stderr
    assert "hint" in done.stdout + done.stderr
