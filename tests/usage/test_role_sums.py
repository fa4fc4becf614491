"""Sums for managers and finance: the same from SQLite as from a team's ledger in PostgreSQL."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from snapenv.model.usage import Correction, RunGpu, UsageRun, UsageSum
from snapenv.steps.handing_over import hand_over
from snapenv.usage.ledger import open_ledger
from snapenv.usage.months import shift_month
from snapenv.usage.role_sums import Rows, sums_by_project, sums_by_user
from tests.engines.postgres import SUPERUSER
from tests.usage.team import new_team
from tests.usage.values import GPU_MODEL, HOUR_MS, sample_run_gpu, sample_usage_run

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.engines.postgres import Postgres

SCOPES = 80  # each a month with one model of GPU, and a few runs in it


def random_rows() -> Rows:
    chance = random.Random(17)
    runs, run_gpus, corrections = [], [], []
    months = [shift_month("2020-01", number) for number in range(SCOPES)]
    for number, month in enumerate(month for month in months for _ in range(chance.randint(1, 5))):
        key = f"{number:05}"
        run = sample_usage_run(
            key=key,
            user=chance.choice("abc"),
            project=chance.choice(("p", "q", None)),
            purpose=chance.choice((None, "ablation")),
            failure=chance.choice((None, None, "oom")),
        )
        row = sample_run_gpu(
            key=key,
            month=month,
            allocated_ms=chance.randint(1, 3) * HOUR_MS,
            util_source=chance.choice((None, "nvml", "gpm_sm")),
            energy_mj=chance.choice((None, 7)),
        )
        runs.append(run)
        run_gpus.append(row)
        if chance.random() < 0.1:
            corrections.append(
                Correction(
                    id=key,
                    key=key,
                    gpu=row.gpu,
                    month=month,
                    at_ms=1,
                    allocated_ms=-HOUR_MS,
                    energy_mj=-1,
                    reason="twice",
                )
            )
    return Rows(runs=tuple(runs), run_gpus=tuple(run_gpus), corrections=tuple(corrections))


def in_order(sums: Iterable[UsageSum]) -> list[UsageSum]:
    return sorted(sums, key=repr)


def test_they_are_what_a_team_s_ledger_shows(postgres: Postgres, tmp_path: Path) -> None:
    rows, team = random_rows(), new_team(postgres)
    with open_ledger(tmp_path / "usage.sqlite3") as ledger:
        for run in rows.runs:
            ledger.put_run(run)
        for row in rows.run_gpus:
            ledger.put_run_gpu(row)
        with ledger.correcting() as add:
            for correction in rows.corrections:
                add(correction)
        hand_over(ledger, team.url("otto"))
    alias = dict(team.sql(SUPERUSER, "select person, alias from snapenv.alias"))

    by_project, by_user = sums_by_project(rows), sums_by_user(rows, alias.__getitem__)

    with team.open("finn") as own:
        assert in_order(by_project) == in_order(own.sums("finance", "0000-00", "9999-12"))
    with team.open("mona") as own:
        assert in_order(by_user) == in_order(own.sums("manager", "0000-00", "9999-12"))
    assert 0 < len({one.month for one in by_project}) < SCOPES  # some show nothing
    assert {(one.is_rest, one.is_correction) for one in by_user} == {
        (is_rest, is_correction) for is_rest in (True, False) for is_correction in (True, False)
    }


def use(user: str, project: str | None, hours: int) -> tuple[UsageRun, RunGpu]:
    key = f"{user}-{project}"
    return (
        sample_usage_run(key=key, user=user, project=project),
        sample_run_gpu(key=key, allocated_ms=hours * HOUR_MS),
    )


def shown(*uses: tuple[UsageRun, RunGpu]) -> dict[str | None, int]:
    """Return the hours by project; the rest is None."""
    rows = Rows(
        runs=tuple(run for run, _ in uses), run_gpus=tuple(row for _, row in uses), corrections=()
    )
    return {
        None if one.is_rest else one.project or "": one.allocated_ms // HOUR_MS
        for one in sums_by_project(rows)
    }


@pytest.mark.parametrize(
    ("uses", "expected"),
    [
        ([use("a", "p", 1), use("b", "p", 2)], {"p": 3}),
        ([use("a", "p", 1), use("b", "q", 2)], {None: 3}),
        ([use("a", "p", 1), use("a", "q", 2)], {}),  # one person with two projects
        ([use("a", "p", 1), use("b", "q", 1), use("c", "q", 1)], {None: 3}),  # else all but q is p
        (
            [
                *(use("a", "p", 1), use("b", "q", 1), use("c", "q", 1)),
                *(use("b", "r", 1), use("c", "r", 2)),
            ],
            {"r": 3, None: 3},
        ),
        ([use("a", None, 1), use("b", None, 2)], {"": 3}),  # without a project is one, too
        ([], {}),
    ],
)
def test_no_line_and_no_remainder_is_one_person_s(
    uses: list[tuple[UsageRun, RunGpu]], expected: dict[str | None, int]
) -> None:
    assert shown(*uses) == expected


def test_each_model_of_gpu_is_judged_by_itself() -> None:
    run, row = use("b", "p", 2)
    uses = [use("a", "p", 1), (run, row), (run, replace(row, gpu="GPU-2", model="NVIDIA L4"))]

    rows = Rows(runs=(uses[0][0], run), run_gpus=tuple(row for _, row in uses), corrections=())

    assert [one.gpu_model for one in sums_by_project(rows)] == [GPU_MODEL]
