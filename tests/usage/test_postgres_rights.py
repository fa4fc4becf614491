"""What each login can and cannot get out of a team's ledger, or put into it, by any SQL."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.engines.postgres import SUPERUSER
from tests.usage.team import KEEPER, Team, new_run, new_team, seed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engines.postgres import Postgres

DENIED = "42501"
TABLES = ("about", "person", "service", "alias", "run", "run_gpu", "event", "correction")
INNER = ("used", "project_group")
SUMS = ("sums_by_user", "sums_by_project")
KEYS = "select key from snapenv.run"


@pytest.fixture(scope="module")
def team(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Team:
    """Return a ledger in which ada may see 6 of 13 runs: her own four, and two of ben's."""
    team = new_team(postgres)
    seed(team, tmp_path_factory.mktemp("ledgers"))
    team.sql(SUPERUSER, "analyze")
    return team


def outcome(team: Team, login: str, *statements: str) -> int | str:
    """Return how many rows a login is given, or the code of the error."""
    try:
        return len(team.sql(login, *statements))
    except psycopg.Error as error:
        return error.sqlstate or str(error)


def test_all_runs_are_there(team: Team) -> None:
    assert outcome(team, SUPERUSER, KEYS) == 13


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([KEYS], 6),
        (["select key from snapenv.run_gpu"], 6),
        (["select key from snapenv.event"], 6),
        (["select login from snapenv.person"], 1),
        (["select * from snapenv.run"], DENIED),
        (["select login from snapenv.run"], DENIED),
        (["select person, confirmed from snapenv.run"], DENIED),
        (["set row_security = off", KEYS], DENIED),
        (["set role snapenv_manager"], DENIED),
        (["set role snapenv_reader"], DENIED),
        (["set role snapenv_writer"], DENIED),
        (["set role snapenv_owner"], DENIED),
        (["set role snapenv_member", KEYS], 0),
        (["set session authorization ben"], DENIED),
        (["grant snapenv_manager to ada"], DENIED),
        (["copy (select key from snapenv.run) to '/tmp/snapenv-runs'"], DENIED),
        (["copy snapenv.run (key) from '/etc/hostname'"], DENIED),
        (["insert into snapenv.run (key) values ('x')"], DENIED),
        (["update snapenv.run set usr = 'ada'"], DENIED),
        (["delete from snapenv.run"], DENIED),
        (["truncate snapenv.run"], DENIED),
        (["insert into snapenv.person values ('ada', 'fish')"], DENIED),
        (["alter table snapenv.run disable row level security"], DENIED),
        (["create policy all_rows on snapenv.run using (true)"], DENIED),
        (["create table snapenv.mine (a int)"], DENIED),
        (["create table public.mine (a int)"], DENIED),
        (["create temp table run (a int)"], DENIED),
        (["create function public.f() returns int language sql as 'select 1'"], DENIED),
        (["create function pg_temp.f() returns int language sql as 'select 1'"], DENIED),
        (["create view public.mine as select 1"], DENIED),
        # an error would tell of a row that is not hers
        ([f"{KEYS} where 1 / (case when project = 'fish' then 0 else 1 end) = 1"], 6),
        (
            [f"{KEYS} where (case when project in ('fish', 'solo') then project::int end) is null"],
            6,
        ),
        (["select most_common_vals from pg_stats where schemaname = 'snapenv'"], 0),
        (["select 1 from pg_statistic"], DENIED),
        (["select rolpassword from pg_authid"], DENIED),
        *((["select * from snapenv." + name], DENIED) for name in (*INNER, *SUMS, "fleet")),
        *((["select * from snapenv." + name], DENIED) for name in ("alias", "service", "about")),
    ],
)
def test_a_member_gets_no_more_than_its_own_runs_and_those_of_its_projects(
    statements: list[str], expected: int | str, team: Team
) -> None:
    assert outcome(team, "ada", *statements) == expected


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("select reltuples from pg_class where relname = 'run'", 13),
        ("select 1 from pg_roles where rolname = 'cho'", 1),
    ],
)
def test_what_postgresql_does_not_hide_is_as_the_page_says(
    statement: str, expected: int, team: Team
) -> None:
    assert team.sql("ada", statement) == [(expected,)]


@pytest.mark.parametrize(("words", "lines"), [("snapenv.run (key)", 6), (f"({KEYS})", 6)])
def test_a_copy_has_no_more_either(words: str, lines: int, team: Team) -> None:
    with (
        psycopg.connect(team.url("ada")) as connection,
        connection.cursor().copy(f"copy {words} to stdout".encode()) as copy,
    ):
        copied = list(copy.rows())

    assert len(copied) == lines


@pytest.mark.parametrize("login", ["mona", "finn"])
@pytest.mark.parametrize("name", [*TABLES, *INNER, "machine_gpu"])
def test_managers_and_finance_have_no_right_on_any_table(name: str, login: str, team: Team) -> None:
    assert outcome(team, login, f"select 1 from snapenv.{name}") == DENIED


@pytest.mark.parametrize(
    ("login", "view", "expected"),
    [
        ("mona", "sums_by_user", 6),
        ("mona", "sums_by_project", DENIED),
        ("mona", "fleet", 0),
        ("finn", "sums_by_user", DENIED),
        ("finn", "sums_by_project", 3),
        ("finn", "fleet", 0),
    ],
)
def test_managers_and_finance_read_their_own_sums(
    login: str, view: str, expected: int | str, team: Team
) -> None:
    assert outcome(team, login, f"select * from snapenv.{view}") == expected


@pytest.mark.parametrize("name", [*TABLES, *INNER, *SUMS])
def test_who_made_the_ledger_reads_nothing_of_it_afterwards(name: str, team: Team) -> None:
    assert outcome(team, KEEPER, f"select 1 from snapenv.{name}") == DENIED


def test_a_login_without_a_role_cannot_even_connect(team: Team) -> None:
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(team.url("guest"))


@pytest.mark.parametrize("login", ["mona", "finn", KEEPER])
def test_none_but_members_hand_over(login: str, team: Team) -> None:
    assert outcome(team, login, "select snapenv.hand_over('{}')") == DENIED


@pytest.mark.parametrize(
    ("login", "where", "seen"),
    [
        ("ada", "snapenv.run where leak(coalesce(project, 'none'))", {"birds", "none"}),
        ("ada", "snapenv.run_gpu g where leak(g.key)", None),
        (
            "mona",
            "snapenv.sums_by_user where leak(coalesce(project, 'none'))",
            {"birds", "fish", "none"},
        ),
        (
            "finn",
            "snapenv.sums_by_project where leak(coalesce(project, 'none'))",
            {"birds", "fish", "none"},
        ),
    ],
)
def test_a_cheap_function_of_somebody_else_sees_no_hidden_row(
    login: str, where: str, seen: set[str] | None, team: Team
) -> None:
    team.sql(
        SUPERUSER,
        "create or replace function public.leak(text) returns boolean language plpgsql"
        " cost 0.0000001 as $$ begin raise notice '%', $1; return true; end $$",
    )
    told: list[str] = []

    with psycopg.connect(team.url(login)) as connection:
        connection.add_notice_handler(lambda notice: told.append(notice.message_primary or ""))
        connection.execute(f"select 1 from {where}".encode())

    expected = seen or {key for (key,) in team.sql(login, KEYS)}
    assert set(told) == expected


def test_no_function_trusts_the_search_path_of_its_caller(team: Team) -> None:
    (row,) = team.sql(
        SUPERUSER,
        "select prosecdef, proconfig, proowner::regrole::text, has_function_privilege('guest', oid,"
        " 'execute') from pg_proc where pronamespace = 'snapenv'::regnamespace",
    )

    assert row == (True, ["search_path=snapenv, pg_temp"], "snapenv_writer", False)


def test_each_table_forces_its_policies_and_each_view_is_a_barrier(team: Team) -> None:
    rows = team.sql(
        SUPERUSER,
        "select relname, relkind::text, relrowsecurity and relforcerowsecurity, reloptions,"
        " relowner::regrole::text from pg_class"
        " where relnamespace = 'snapenv'::regnamespace and relkind in ('r', 'v') order by 1",
    )

    tables = {row[0]: row[2:] for row in rows if row[1] == "r"}
    views = {row[0]: row[3:] for row in rows if row[1] == "v"}
    assert tables == dict.fromkeys(sorted((*TABLES, "machine_gpu")), (True, None, "snapenv_owner"))
    assert views == dict.fromkeys(
        sorted((*INNER, *SUMS, "fleet", "ledger_version")),
        (["security_barrier=true"], "snapenv_reader"),
    )


@pytest.mark.parametrize("role", ["snapenv_owner", "snapenv_reader", "snapenv_writer"])
def test_nobody_has_an_inner_role(role: str, team: Team) -> None:
    having = team.sql(
        SUPERUSER,
        f"select rolname from pg_roles where pg_has_role(oid, '{role}', 'usage')"
        f" and not rolsuper and rolname <> '{role}'",
    )

    assert having == []
    assert outcome(team, KEEPER, f"set role {role}") == DENIED


@pytest.fixture(scope="module")
def writable(postgres: Postgres) -> Team:
    return new_team(postgres)


class TestWriting:
    """What a member can make of rows that it hands over itself, past snapenv."""

    def hand_over(self, team: Team, login: str, **rows: object) -> dict[str, object]:
        with psycopg.connect(team.url(login), autocommit=True) as connection:
            row = connection.execute(
                "select snapenv.hand_over(%s::jsonb)", (json.dumps(rows),)
            ).fetchone()
        assert row
        answer: dict[str, object] = row[0]
        return answer

    def test_another_ones_run_stays_as_it_is(self, writable: Team, tmp_path: Path) -> None:
        run = new_run("birds")
        writable.put("ben", tmp_path, run)
        forged = {
            "key": run.key,
            "rev": 9,
            "run": "x",
            "source": "snapenv",
            "kind": "run",
            "usr": "ada",
            "command": "[]",
            "host": "h",
            "gpus": "[]",
            "started_ms": 1,
        }

        answer = self.hand_over(writable, "ada", run=[forged])

        assert answer == {"refused": [run.key], "waiting": 0}
        with writable.open("ben") as ledger:
            found = ledger.run(run.key)
        assert found
        assert (found.rev, found.user, found.host) == (1, "ben", "gpu-1")

    @pytest.mark.parametrize("table", ["run_gpu", "event", "correction"])
    def test_nothing_is_added_to_another_ones_run(
        self, table: str, writable: Team, tmp_path: Path
    ) -> None:
        run = new_run("birds")
        writable.put("ben", tmp_path, run)
        before = writable.sql(SUPERUSER, f"select count(*) from snapenv.{table}")
        row = {
            "key": run.key,
            "id": "1",
            "gpu": "other",
            "month": "2026-11",
            "model": "H200",
            "at_ms": 1,
            "kind": "gap",
            "allocated_ms": 9,
            "covered_ms": 0,
            "throttled_ms": 0,
            "shared_ms": 0,
            "energy_mj": 0,
            "reason": "x",
            **{f"b{number}": 0 for number in range(10)},
        }

        answer = self.hand_over(writable, "ada", **{table: [row]})

        assert answer == {"refused": [run.key], "waiting": 0}
        assert writable.sql(SUPERUSER, f"select count(*) from snapenv.{table}") == before

    def test_a_run_of_a_project_that_is_not_the_users_waits(
        self, writable: Team, tmp_path: Path
    ) -> None:
        run = new_run("fish")

        handed = writable.put("ada", tmp_path, run)

        assert (handed.taken, handed.refused, handed.waiting) == (3, 0, 1)
        with writable.open("cho") as cho, writable.open("ada") as ada:
            assert cho.run(run.key) is None
            assert ada.run(run.key) is not None

    def test_nobody_writes_under_another_name(self, writable: Team, tmp_path: Path) -> None:
        of_ben = new_run(user="5e2f00c1d3a4")
        as_ben = new_run(user="ben")
        as_pseudonym_of_ben = new_run(user="5e2f00c1d3a4")
        as_pseudonym = new_run(user="77aa00c1d3a4")
        writable.put("ben", tmp_path, of_ben)

        writable.put("ada", tmp_path, as_ben, as_pseudonym_of_ben, as_pseudonym)

        with writable.open("ada") as ledger:
            users = [
                found.user
                for run in (of_ben, as_ben, as_pseudonym_of_ben, as_pseudonym)
                if (found := ledger.run(run.key))
            ]
        assert users == ["5e2f00c1d3a4", "ada", "ada", "77aa00c1d3a4"]

    def test_a_service_names_whom_its_runs_are_of_and_sees_only_what_it_wrote(
        self, writable: Team, tmp_path: Path
    ) -> None:
        run, other = new_run("fish", user="cho"), new_run("fish")
        writable.put("cho", tmp_path, other)

        handed = writable.put("otto", tmp_path, run)

        assert handed.waiting == 0
        with writable.open("cho") as cho, writable.open("otto") as otto:
            assert {found.key: found.user for found in cho.runs(0, 1 << 62)} == {
                run.key: "cho",
                other.key: "cho",
            }
            assert [found.key for found in otto.runs(0, 1 << 62)] == [run.key]
