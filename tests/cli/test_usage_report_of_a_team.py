from __future__ import annotations

import csv
import io
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from inline_snapshot import snapshot as wording

from snapenv.model.usage import MachineGpu
from snapenv.steps.handing_over import hand_over
from snapenv.usage.ledger import open_ledger
from snapenv.usage.months import month_span
from tests.command import Command
from tests.usage.focus_check import faults
from tests.usage.team import Team, hour_of, new_run, new_team, seed
from tests.usage.values import GPU_MODEL, GPU_UUID, HOUR_MS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engines.postgres import Postgres

MONTH = "2026-11"


@pytest.fixture(scope="module")
def team(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Team:
    """Return a team whose 13 runs had a GPU for an hour each, and another that nobody had."""
    team = new_team(postgres)
    folder = tmp_path_factory.mktemp("ledgers")
    seed(team, folder)
    begin_ms, _ = month_span(MONTH)
    gpus = [
        MachineGpu(
            host="node1", gpu=gpu, model=GPU_MODEL, first_ms=begin_ms, last_ms=begin_ms + HOUR_MS
        )
        for gpu in (GPU_UUID, str(uuid.uuid4()))
    ]
    with open_ledger(folder / "gpus.sqlite3") as ledger:
        ledger.see_gpus(gpus)
        hand_over(ledger, team.url("ada"))
    return team


def command(team: Team, login: str, tmp_path: Path) -> Command:
    (tmp_path / "prices.toml").write_text(
        f'currency = "EUR"\n[[gpu]]\nmodel = "{GPU_MODEL}"\nfrom = 2026-01-01\nper_hour = 2\n'
    )
    return Command(
        {
            "XDG_STATE_HOME": str(tmp_path),
            "SNAPENV_LEDGER": team.url(login),
            "SNAPENV_PRICES": str(tmp_path / "prices.toml"),
        }
    )


def report(team: Team, login: str, tmp_path: Path, *words: str) -> dict[str, Any]:
    return command(team, login, tmp_path).result("usage", "report", "--month", MONTH, *words)


def rows(result: dict[str, Any]) -> list[tuple[str | None, int, int]]:
    return [
        (row["name"], row["totals"]["runs"], row["totals"]["allocated_ms"] // HOUR_MS)
        for row in result["rows"]
    ]


def test_a_member_is_shown_own_projects_and_no_bill(team: Team, tmp_path: Path) -> None:
    result = report(team, "cho", tmp_path)

    assert (result["source"], result["role"]) == ("team", "member")
    assert rows(result) == [("fish", 5, 5)]
    assert (result["bill"], result["unallocated_ms"], result["gpus"]) == (None, None, [])


def test_a_manager_is_shown_groups_and_pseudonyms(team: Team, tmp_path: Path) -> None:
    result = report(team, "mona", tmp_path, "--by", "user")

    assert result["role"] == "manager"
    assert sum(runs for _, runs, _ in rows(result)) == 13
    assert not {"ada", "ben", "cho", "dan"} & {name for name, _, _ in rows(result)}
    assert result["board"] == []


def test_finance_is_shown_sums_of_projects_alone(team: Team, tmp_path: Path) -> None:
    result = report(team, "finn", tmp_path)

    assert rows(result) == [("birds", 5, 5), ("fish", 5, 5), ("(others)", 3, 3)]
    assert result["total"]["cost"] == 13 * 2_000_000
    assert result["bill"] == result["total"]["cost"] + result["unallocated_cost"]
    assert (result["environments"], result["failures"], result["board"]) == ([], [], [])


@pytest.mark.parametrize("by", ["user", "model", "tag", "environment"])
def test_finance_is_refused_anything_else(by: str, team: Team, tmp_path: Path) -> None:
    finn = command(team, "finn", tmp_path)

    assert by in finn.error("usage", "usage", "report", "--month", MONTH, "--by", by)


def test_who_sees_sums_alone_is_refused_a_line_for_each_run(team: Team, tmp_path: Path) -> None:
    words = ("usage", "report", "--month", MONTH, "--format", "emissions")

    for login, role in (("mona", "manager"), ("finn", "finance")):
        assert role in command(team, login, tmp_path).error("usage", *words)


def test_finance_gets_focus_without_people(team: Team, tmp_path: Path) -> None:
    done = command(team, "finn", tmp_path).run(
        *("usage", "report", "--month", MONTH, "--format", "focus")
    )

    assert (done.stderr, faults(done.stdout)) == ("", [])
    lines = list(csv.DictReader(io.StringIO(done.stdout)))
    assert {line["SubAccountId"] for line in lines} == {"birds", "fish", "(others)"}
    assert {line["x_RunId"] for line in lines} == {""}


def test_what_this_machine_has_is_handed_over_first(team: Team, tmp_path: Path) -> None:
    runs = [new_run("solo"), new_run("birds")]
    (tmp_path / "snapenv").mkdir()
    with open_ledger(tmp_path / "snapenv" / "usage.sqlite3") as own:
        for run in runs:
            own.put_run(run)
            own.put_run_gpu(hour_of(run, month="2026-10"))

    document = command(team, "dan", tmp_path).document("usage", "report", "--month", MONTH)

    assert len(document["warnings"]) == 1
    assert document["warnings"][0].replace(str(tmp_path), "TMP") == wording(
        "1 run of yours counts for no project, as you are no member of the one that is named: who keeps the ledger can add you by snapenv usage init URL --member"
    )
    with team.open("dan") as dan, team.open("ada") as ada:
        assert [dan.run(run.key) is not None for run in runs] == [True, True]
        assert ada.run(runs[1].key) is None


def test_a_server_that_does_not_answer_is_an_error_without_the_password(tmp_path: Path) -> None:
    away = Command(
        {
            "XDG_STATE_HOME": str(tmp_path),
            "SNAPENV_LEDGER": "postgresql://ada:hunter2hunter2@127.0.0.1:1/usage",
        }
    )

    assert "hunter2" not in away.error("team-ledger", "usage", "report")
