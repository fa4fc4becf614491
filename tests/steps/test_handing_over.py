from __future__ import annotations

import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from msgspec.structs import replace

from snapenv.errors import TeamLedgerError
from snapenv.model.usage import MachineGpu, UsageRun
from snapenv.steps.handing_over import HandedOver, hand_over
from snapenv.usage import postgres as postgres_module
from snapenv.usage.ledger import Ledger, open_ledger
from snapenv.usage.postgres import team_url
from tests.engines.postgres import GUARDED, SUPERUSER, run_postgres
from tests.engines.provide import provide_running
from tests.usage.strategies import any_of
from tests.usage.team import PASSWORD, Team, hour_of, new_run, new_team
from tests.usage.values import HOUR_MS, sample_event

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.engines.postgres import Postgres

EVER = 1 << 62
HOSTILE = "'\";drop table snapenv.run;-- \\ %s $1 {} \x1b[2J \u202e \0 \n"


@pytest.fixture(scope="module")
def team(postgres: Postgres) -> Team:
    return new_team(postgres)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(tmp_path / "usage.sqlite3") as opened:
        yield opened


def test_all_of_a_ledger_is_in_the_teams_afterwards(ledger: Ledger, team: Team) -> None:
    run = new_run(user="ada")
    event = sample_event(id=run.key, key=run.key)
    ledger.put_run(run)
    ledger.put_run_gpu(hour_of(run))
    ledger.add_event(event)

    handed = hand_over(ledger, team.url("ada"))

    assert handed == HandedOver(taken=3)
    assert ledger.outbox(9) == ()
    with team.open("ada") as of_team:
        assert of_team.run(run.key) == run
        assert of_team.run_gpus_of(run.key) == (hour_of(run),)
        assert of_team.events_of(run.key) == (event,)


def test_only_what_has_changed_goes_a_second_time_and_takes_the_place_of_the_first(
    ledger: Ledger, team: Team
) -> None:
    run = new_run(user="ada", ended_ms=None)
    ledger.put_run(run)
    ledger.put_run_gpu(hour_of(run))
    hand_over(ledger, team.url("ada"))

    ended = ledger.change_run(run.key, ended_ms=run.started_ms + HOUR_MS, exit_code=1)
    handed = hand_over(ledger, team.url("ada"))

    assert handed == HandedOver(taken=1)
    with team.open("ada") as of_team:
        assert of_team.run(run.key) == ended


def test_an_older_state_that_is_played_again_changes_nothing(ledger: Ledger, team: Team) -> None:
    run = new_run(user="ada")
    ledger.put_run(run)
    older = ledger.outbox(9)
    newer = ledger.change_run(run.key, exit_code=9)

    hand_over(ledger, team.url("ada"))
    with team.open("ada") as of_team:
        of_team.hand_over(older)

        assert of_team.run(run.key) == newer


def test_more_than_one_transaction_holds_goes_over_too(ledger: Ledger, team: Team) -> None:
    runs = [new_run(user="cho", project="fish") for _ in range(250)]
    for run in runs:
        ledger.put_run(run)
        ledger.put_run_gpu(hour_of(run))

    handed = hand_over(ledger, team.url("cho"))

    assert handed == HandedOver(taken=500)
    with team.open("cho") as of_team:
        assert {run.key for run in runs} <= {run.key for run in of_team.runs(0, EVER)}


def test_sql_in_every_field_is_text(ledger: Ledger, team: Team) -> None:
    texts: dict[str, Any] = {
        field.name: HOSTILE
        for field in msgspec.structs.fields(UsageRun)
        if field.type in (str, str | None) and field.name != "key"
    }
    run = new_run(**texts | {"command": (HOSTILE, HOSTILE)})
    ledger.put_run(run)
    stored = ledger.run(run.key)

    handed = hand_over(ledger, team.url("ada"))

    assert stored
    assert (handed.taken, handed.trouble) == (1, None)
    with team.open("ada") as of_team:
        assert of_team.run(run.key) == replace(stored, user="ada")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(run=any_of(UsageRun))
def test_any_run_comes_back_as_it_was(run: UsageRun, ledger: Ledger, team: Team) -> None:
    finite = {"cpus": 1.5} if run.cpus in (float("inf"), float("-inf")) else {}
    run = replace(run, key=new_run().key, training=None, **finite)
    ledger.put_run(run)
    stored = ledger.run(run.key)

    handed = hand_over(ledger, team.url("ada"))

    assert stored
    assert (handed.taken, handed.trouble) == (1, None)
    with team.open("ada") as of_team:
        assert of_team.run(run.key) == replace(stored, user="ada")


def test_a_row_that_the_server_cannot_hold_keeps_no_other_back(ledger: Ledger, team: Team) -> None:
    runs = [new_run(user="ada") for _ in range(3)]
    for run in runs:
        ledger.put_run(run)
    bad, key = ledger.outbox(9)[1], runs[1].key
    ledger._connection.execute("update run set started_ms = ? where key = ?", (1.5, key))
    ledger._connection.commit()

    handed = hand_over(ledger, team.url("ada"))

    assert (handed.taken, handed.refused, handed.trouble) == (2, 1, None)
    assert [line.id for line in ledger.outbox(9)] == [bad.id]
    with team.open("ada") as of_team:
        assert [of_team.run(run.key) is not None for run in runs] == [True, False, True]


def test_what_another_login_handed_over_stays_here_and_there(ledger: Ledger, team: Team) -> None:
    run = new_run(user="ada")
    ledger.put_run(run)
    hand_over(ledger, team.url("ada"))
    ledger.change_run(run.key, exit_code=3)
    ledger.put_run_gpu(hour_of(run))

    as_ben = hand_over(ledger, team.url("ben"))
    as_ada = hand_over(ledger, team.url("ada"))

    assert (as_ben.taken, as_ben.refused) == (0, 2)
    assert (as_ada.taken, as_ada.refused) == (2, 0)


@pytest.mark.parametrize(
    ("login", "words"),
    [
        ("mona", "permission denied for function hand_over"),
        ("guest", "permission denied for database"),
        ("nobody", 'role "nobody" does not exist'),
    ],
)
def test_a_server_that_refuses_loses_nothing(
    login: str, words: str, ledger: Ledger, team: Team
) -> None:
    ledger.put_run(new_run())

    handed = hand_over(ledger, team.url(login))

    assert handed.taken == 0
    assert handed.trouble
    assert words in handed.trouble
    assert len(ledger.outbox(9)) == 1


def test_without_psycopg_it_is_said_how_to_install_it(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(TeamLedgerError) as raised:
        team.open("ada")

    assert "snapenv[team]" in raised.value.hint


def test_a_database_without_a_ledger_is_named_as_such(ledger: Ledger, postgres: Postgres) -> None:
    ledger.put_run(new_run())
    team = new_team(postgres, None)

    handed = hand_over(ledger, team.url(SUPERUSER))

    assert handed.trouble
    assert "ledger_version" in handed.trouble


def test_where_nothing_answers_it_is_soon_known(ledger: Ledger) -> None:
    ledger.put_run(new_run())
    began = time.monotonic()

    handed = hand_over(ledger, "postgresql://ada@127.0.0.1:9/usage")

    assert handed.trouble
    assert time.monotonic() - began < 60
    assert len(ledger.outbox(9)) == 1


def test_a_server_that_is_silent_is_given_up(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_module, "_CONNECT_TIMEOUT_S", 2)
    ledger.put_run(new_run())

    with socket.create_server(("127.0.0.1", 0)) as silent:
        handed = hand_over(ledger, f"postgresql://ada@127.0.0.1:{silent.getsockname()[1]}/usage")

    assert handed.trouble
    assert "timeout expired" in handed.trouble


def test_several_users_of_a_machine_hand_over_at_once(team: Team, tmp_path: Path) -> None:
    gpus = [
        MachineGpu(host="gpu-7", gpu=str(number), model="H200", first_ms=1, last_ms=9)
        for number in range(16)
    ]

    def hand_over_as(place: int) -> list[str | None]:
        with open_ledger(tmp_path / f"{place}.sqlite3") as own:
            troubles = []
            for _ in range(12):
                own.see_gpus(gpus if place % 2 else gpus[::-1])
                own.put_run(new_run())
                troubles.append(hand_over(own, team.url(("ada", "ben")[place % 2])).trouble)
            return troubles

    with ThreadPoolExecutor(4) as pool:
        troubles = list(pool.map(hand_over_as, range(4)))

    assert troubles == [[None] * 12] * 4


def test_a_service_of_libpq_names_the_server(
    ledger: Ledger, team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pg_service.conf"
    file.write_text(
        f"[team]\nhost={team.postgres.folder}\nport=5432\nuser=ada\ndbname={team.database}\n"
    )
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    ledger.put_run(new_run())

    assert hand_over(ledger, "postgresql:///?service=team").taken == 1


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///usage",
        "postgres://ada@db.example.com",
        "postgresql://ada:p%40ss@[::1]:5432/usage?sslmode=require",
        "postgresql://ada@a.example.com:5432,b.example.com:5433/usage",
        "postgresql://%2Fvar%2Frun%2Fpostgresql/usage",
    ],
)
def test_every_form_of_an_address_is_taken(url: str) -> None:
    postgres_module.check_url(url)


def test_a_password_is_taken_from_the_address_or_the_file_of_libpq(
    ledger: Ledger, team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pgpass"
    file.write_text(f"*:*:*:{GUARDED}:{PASSWORD}\n")
    file.chmod(0o600)
    url = team.postgres.url(GUARDED, team.database, password=PASSWORD)
    ledger.put_run(new_run())
    refused = hand_over(ledger, team.url(GUARDED))

    by_url = hand_over(ledger, url)
    ledger.put_run(new_run())
    monkeypatch.setenv("PGPASSFILE", str(file))
    by_file = hand_over(ledger, team.url(GUARDED))

    assert refused.trouble
    assert "no password supplied" in refused.trouble
    assert by_url == by_file == HandedOver(taken=1)


def test_a_server_that_stops_and_starts_in_the_middle_loses_and_doubles_nothing(
    tmp_path: Path,
) -> None:
    runs: list[UsageRun] = []
    troubles: list[str] = []
    with (
        provide_running(run_postgres()) as postgres,
        open_ledger(tmp_path / "usage.sqlite3") as own,
    ):
        team = new_team(postgres)
        stopper = threading.Thread(target=_stop_and_start, args=(postgres, troubles))
        writer = threading.Thread(target=_write, args=(own.path, runs, stopper))
        stopper.start()
        writer.start()
        while writer.is_alive() or own.outbox(1):
            handed = hand_over(own, team.url("ada"))
            troubles += [handed.trouble] if handed.trouble else []
        writer.join()

        with team.open("ada") as of_team:
            found = of_team.runs(0, EVER)
            gpus = of_team.run_gpus("2026-11", "2026-11")
        assert len(troubles) >= 2
        assert {run.key: run for run in found} == {run.key: run for run in runs}
        assert len(found) == len(gpus) == len(runs) >= 20
        assert {gpu.key for gpu in gpus} == {run.key for run in runs}


def _stop_and_start(postgres: Postgres, troubles: Sequence[str]) -> None:
    """Stop the server in both ways, each time until somebody has missed it."""
    for mode in ("fast", "immediate"):
        time.sleep(0.1)
        seen = len(troubles)
        postgres.stop(mode)
        while len(troubles) == seen:
            time.sleep(0.01)
        postgres.start()


def _write(path: Path, runs: list[UsageRun], meanwhile: threading.Thread) -> None:
    """Write runs that begin and end, as long as something goes on and at least 20."""
    with open_ledger(path) as ledger:
        while meanwhile.is_alive() or len(runs) < 20:
            run = new_run(user="ada", ended_ms=None)
            ledger.put_run(run)
            ledger.put_run_gpu(hour_of(run))
            runs.append(ledger.change_run(run.key, exit_code=0))
            time.sleep(0.005)


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("postgresql://ada@db.example.com/usage", "postgresql://ada@db.example.com/usage"),
        ("postgres://db.example.com/usage", "postgres://db.example.com/usage"),
        ("mysql://db.example.com/usage", "mysql://db.example.com/usage"),
        ("/data/usage.sqlite3", None),
        ("", None),
    ],
)
def test_the_teams_ledger_is_named_by_a_variable(named: str, expected: str | None) -> None:
    assert team_url({"SNAPENV_LEDGER": named}) == expected


def test_without_rows_the_server_is_not_asked(ledger: Ledger) -> None:
    assert hand_over(ledger, "postgresql://ada@127.0.0.1:9/usage") == HandedOver()


def test_the_server_is_real(team: Team) -> None:
    with psycopg.connect(team.url("ada")) as connection:
        assert connection.info.server_version >= 150_000
