"""What managers and finance are told of a team's ledger, and that it tells of no single person."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from snapenv.model.usage import Correction, MachineGpu, UsageSum
from snapenv.steps.handing_over import hand_over
from snapenv.usage.ledger import open_ledger
from tests.engines.postgres import SUPERUSER
from tests.usage.team import Team, hour_of, new_run, new_team, seed
from tests.usage.values import GPU_MODEL, GPU_UUID, HOUR_MS

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.usage.postgres import TeamLedger
    from tests.engines.postgres import Postgres

EVER = ("0000-00", "9999-12")


@pytest.fixture
def team(postgres: Postgres) -> Team:
    return new_team(postgres)


def hours(number: int, project: str | None, **fields: Any) -> UsageSum:  # noqa: ANN401
    """Return the sum of so many runs of the seed."""
    given: dict[str, Any] = {
        "month": "2026-11",
        "gpu_model": GPU_MODEL,
        "project": project,
        "runs": number,
        "allocated_ms": number * HOUR_MS,
        "energy_mj": number * 1000,
        "buckets": (0,) * 9 + (number * HOUR_MS // 2,),
        "util_sources": ("gpm_sm",),
    }
    return UsageSum(**given | fields)


def test_finance_is_told_sums_by_project_and_what_small_ones_are_together(
    team: Team, tmp_path: Path
) -> None:
    seed(team, tmp_path)

    with team.open("finn") as ledger:
        sums = ledger.sums("finance", "2026-11", "2026-11")

    assert sums == (hours(5, "birds"), hours(5, "fish"), hours(3, None, is_rest=True))


def test_a_manager_is_told_sums_by_pseudonym_and_no_details_of_small_projects(
    team: Team, tmp_path: Path
) -> None:
    seed(team, tmp_path)

    with team.open("mona") as ledger:
        sums = ledger.sums("manager", "2026-11", "2026-11")

    alias = dict(team.sql(SUPERUSER, "select person, alias from snapenv.alias"))
    assert all(len(name) == 12 for name in alias.values())
    details = {
        "purpose": "baseline",
        "model": "yolov8n",
        "snapshot": None,
        "tag": "train-yolov8.4.190-base-cu130",
    }
    assert sorted(sums, key=lambda one: (one.is_rest, one.project or "", -one.runs)) == [
        hours(3, "birds", user=alias["ada"], **details),
        hours(2, "birds", user=alias["ben"], **details),
        hours(4, "fish", user=alias["cho"], **details),
        hours(1, "fish", user=alias["ben"], **details),
        hours(2, None, is_rest=True, user=alias["dan"]),
        hours(1, None, is_rest=True, user=alias["ada"]),
    ]


def test_a_correction_is_a_line_of_its_own(team: Team, tmp_path: Path) -> None:
    run, other = new_run(), new_run()
    team.put("ben", tmp_path, other)
    correction = Correction(
        id="c1",
        key=run.key,
        gpu=GPU_UUID,
        month="2026-11",
        at_ms=1,
        allocated_ms=-HOUR_MS // 2,
        energy_mj=-10,
        reason="counted twice",
    )

    with open_ledger(tmp_path / "ada.sqlite3") as own:
        own.put_run(run)
        own.put_run_gpu(hour_of(run))
        with own.correcting() as add:
            add(correction)
        hand_over(own, team.url("ada"))

    with team.open("finn") as ledger:
        sums = ledger.sums("finance", *EVER)
    corrected = UsageSum(
        month="2026-11",
        gpu_model=GPU_MODEL,
        project="birds",
        is_correction=True,
        runs=0,
        allocated_ms=-HOUR_MS // 2,
        energy_mj=-10,
    )
    assert sums == (hours(2, "birds"), corrected)
    with team.open("ada") as ledger:
        assert ledger.corrections(*EVER) == (correction,)


def test_a_run_that_is_not_confirmed_counts_for_no_project(team: Team, tmp_path: Path) -> None:
    team.put("ada", tmp_path, new_run("fish"))
    team.put("cho", tmp_path, new_run("fish"))
    team.put("ben", tmp_path, new_run("fish"))

    with team.open("finn") as ledger:
        sums = ledger.sums("finance", *EVER)

    assert sums == (hours(3, None, is_rest=True),)


def test_gpus_of_all_machines_are_for_managers_and_finance(team: Team, tmp_path: Path) -> None:
    gpu = MachineGpu(host="gpu-1", gpu=GPU_UUID, model=GPU_MODEL, first_ms=5, last_ms=9)
    earlier = replace(gpu, first_ms=2, last_ms=3)

    for login, seen in (("ada", gpu), ("ben", earlier), ("cho", gpu)):
        with open_ledger(tmp_path / f"{login}.sqlite3") as own:
            own.see_gpus([seen])
            hand_over(own, team.url(login))

    def seen_by(ledger: TeamLedger) -> tuple[MachineGpu, ...]:
        with ledger:
            return ledger.machine_gpus()

    both = replace(gpu, first_ms=2)
    assert [seen_by(team.open(login)) for login in ("mona", "finn", "ada")] == [
        *((both,), (both,)),
        (),
    ]


# A person, a project and how many hours: what each had of one GPU model in one month.
USES = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(("p", "q", "r", None)), st.integers(1, 3)),
    min_size=1,
    max_size=7,
)


@pytest.fixture(scope="module")
def empty(postgres: Postgres) -> Team:
    return new_team(postgres)


@example(uses=[("a", "p", 1), ("a", "q", 2)])  # one person, two small projects
@example(uses=[("a", "p", 1), ("b", "q", 1), ("c", "q", 1)])  # the total without q would tell of p
@example(uses=[("a", "p", 1), ("b", "q", 1), ("c", "q", 1), ("b", "r", 1), ("c", "r", 2)])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(uses=USES)
def test_no_line_and_no_difference_tells_of_one_person_alone(
    uses: list[tuple[str, str | None, int]], empty: Team
) -> None:
    shown = _shown(empty, uses)

    people = {project: {who for who, of, _ in uses if of == project} for _, project, _ in uses}
    named = {project for project, is_rest in shown if not is_rest}
    rest = {who for project, whose in people.items() if project not in named for who in whose}
    assert all(len(people[project]) > 1 for project in named)
    if (None, True) in shown:
        assert len(rest) > 1
    else:
        # Nothing is left that the sum of all, as a bill has it, would tell; or nothing is shown.
        assert not rest or (not named and len({who for who, _, _ in uses}) == 1)
    if shown:
        assert sum(shown.values()) == sum(number for _, _, number in uses)


def _shown(team: Team, uses: list[tuple[str, str | None, int]]) -> Counter[tuple[str | None, bool]]:
    """Return the hours by project, and whether that is the rest."""
    keys = itertools.count()
    with psycopg.connect(team.url(SUPERUSER)) as connection:
        connection.execute("truncate snapenv.run, snapenv.run_gpu")
        for person, project, number in uses:
            key = str(next(keys))
            connection.execute(
                "insert into snapenv.run (key, rev, run, source, kind, usr, project, command, host,"
                " gpus, started_ms, login, person, confirmed)"
                " values (%s, 1, 'r', 'snapenv', 'run', 'u', %s, '[]', 'h', '[]', 1, %s, %s, true)",
                (key, project, person, person),
            )
            connection.execute(
                "insert into snapenv.run_gpu values (%s, 'g', '2026-11', 'H200', %s, 0,"
                " 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, null, null, null, null, 0, 0)",
                (key, number),
            )
    with team.open("finn") as ledger:
        sums = ledger.sums("finance", *EVER)
    counted = Counter[tuple[str | None, bool]]()
    for line in sums:
        counted[line.project, line.is_rest] += line.allocated_ms
    assert len(counted) == len(sums)
    return counted
