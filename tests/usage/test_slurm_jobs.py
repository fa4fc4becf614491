"""Jobs as sacct tells them; test_usage_import.py asks a real one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snapenv.errors import UsageSourceError
from snapenv.usage.slurm_jobs import not_in_accounts, parse_jobs, runs_of_jobs

if TYPE_CHECKING:
    from snapenv.usage.imported import ImportedRun

NOVEMBER_MS = 1_793_491_200_000  # 2026-11-01T00:00:00Z
HOUR_MS = 3_600_000
IMAGE = f"example.com/team/env:train-py3.13-base-cpu@sha256:{'5e' * 32}"
COMMENT = f"io.snapenv.image={IMAGE},io.snapenv.model=yolov8n%20p2,io.snapenv.project=lanes"
NAMES = (
    *("cluster", "job", "user", "account", "state", "exit_code", "start", "end"),
    *("resources", "nodes", "comment"),
)
ENDED = {
    "cluster": "tests",
    "job": "4711",
    "user": "ada",
    "account": "vision",
    "state": "COMPLETED",
    "exit_code": "0:0",
    "start": f"{NOVEMBER_MS // 1000}",
    "end": f"{(NOVEMBER_MS + HOUR_MS) // 1000}",
    "resources": "billing=8,cpu=8,gres/gpu:h100=2,gres/gpu=2,mem=64G,node=1",
    "nodes": "gpu-01",
    "comment": "",
}


def line(**changes: str) -> str:
    told = {**ENDED, **changes}
    return "\x1f".join(told[name] for name in NAMES) + "\n"


def runs(*lines: str) -> tuple[ImportedRun, ...]:
    return runs_of_jobs(parse_jobs("".join(lines), place="sacct"))


def test_a_job_is_a_run_with_its_gpus_by_number() -> None:
    (job,) = runs(line())

    run = job.run
    assert (run.run, run.source, run.kind, run.user, run.host) == (
        *("4711", "slurm", "job", "ada", "gpu-01"),
    )
    assert (run.project, run.gpus_asked, run.cpus, run.memory_bytes) == ("vision", "2", 8, 64 << 30)
    assert (run.started_ms, run.ended_ms) == (NOVEMBER_MS, NOVEMBER_MS + HOUR_MS)
    assert (run.duration_ms, run.exit_code, run.failure) == (HOUR_MS, 0, None)
    assert [(row.gpu, row.model, row.month, row.allocated_ms) for row in job.gpus] == [
        ("tests/4711/h100/0", "h100", "2026-11", HOUR_MS),
        ("tests/4711/h100/1", "h100", "2026-11", HOUR_MS),
    ]
    assert {(row.covered_ms, row.util_source, row.energy_mj) for row in job.gpus} == {
        (0, None, None)
    }


def test_the_comment_of_a_rendered_job_says_what_it_declares() -> None:
    (job,) = runs(line(comment=COMMENT))

    run = job.run
    assert (run.project, run.purpose, run.model) == ("lanes", None, "yolov8n p2")
    assert (run.tag, run.image) == ("train-py3.13-base-cpu", f"sha256:{'5e' * 32}")


def test_the_key_is_that_of_the_job_and_its_cluster() -> None:
    first, again, elsewhere, other = (
        runs(text)[0].run.key
        for text in (line(), line(state="FAILED"), line(cluster="b"), line(job="4712"))
    )

    assert first == again
    assert len({first, elsewhere, other}) == 3


def test_a_job_that_was_requeued_is_one_run_without_the_time_between() -> None:
    later_s = (NOVEMBER_MS + 5 * HOUR_MS) // 1000
    (job,) = runs(
        line(start=f"{later_s}", end=f"{later_s + 1800}", resources="gres/gpu=1"),
        line(state="REQUEUED", exit_code="0:2", resources="gres/gpu=1"),
    )

    assert (job.run.started_ms, job.run.ended_ms) == (NOVEMBER_MS, (later_s + 1800) * 1000)
    assert (job.run.duration_ms, job.run.failure) == (HOUR_MS + HOUR_MS // 2, None)
    assert [row.allocated_ms for row in job.gpus] == [HOUR_MS + HOUR_MS // 2]


def test_a_job_across_the_end_of_a_month_is_of_both() -> None:
    (job,) = runs(
        line(start=f"{(NOVEMBER_MS - HOUR_MS) // 1000}", resources="gres/gpu:a=1,gres/gpu=2")
    )

    assert [(row.month, row.gpu, row.allocated_ms) for row in job.gpus] == [
        ("2026-10", "tests/4711/a/0", HOUR_MS),
        ("2026-10", "tests/4711/gpu/0", HOUR_MS),
        ("2026-11", "tests/4711/a/0", HOUR_MS),
        ("2026-11", "tests/4711/gpu/0", HOUR_MS),
    ]


@pytest.mark.parametrize(
    ("state", "exit_code", "told"),
    [
        ("FAILED", "7:0", (7, "failed")),
        ("FAILED", "0:9", (137, "failed")),
        ("CANCELLED by 1000", "0:15", (143, "cancelled")),
        ("TIMEOUT", "0:0", (None, "time-limit")),
        ("OUT_OF_MEMORY", "0:125", (253, "memory")),
        ("NODE_FAIL", "0:0", (None, "node-failed")),
        ("PREEMPTED", "0:0", (None, "preempted")),
    ],
)
def test_the_state_says_what_ended_it(
    state: str, exit_code: str, told: tuple[int | None, str]
) -> None:
    (job,) = runs(line(state=state, exit_code=exit_code))

    assert (job.run.exit_code, job.run.failure) == told
    assert job.run.cause == f"Slurm: {state.split(maxsplit=1)[0]}"


def test_a_job_that_goes_on_has_no_end_and_is_not_counted_yet() -> None:
    (job,) = runs(line(state="RUNNING", end="Unknown"))

    assert (job.run.ended_ms, job.run.duration_ms, job.run.exit_code) == (None, None, None)
    assert job.gpus == ()


def test_jobs_without_gpus_count_only_if_snapenv_rendered_them() -> None:
    lines = (
        line(job="1", resources="cpu=1"),
        line(job="2", resources="cpu=1", comment=COMMENT),
        line(job="3", state="PENDING", start="Unknown", end="Unknown"),
    )

    assert [one.run.run for one in runs(*lines)] == ["2"]


@pytest.mark.parametrize("text", ["hello\n", line().replace("\x1f", "|"), line() + "\n\x1f"])
def test_what_is_none_of_sacct_is_refused(text: str) -> None:
    with pytest.raises(UsageSourceError):
        parse_jobs(text, place="sacct")


IN_TIME = {"start": f"{NOVEMBER_MS // 1000 + 1}"}


@pytest.mark.parametrize(
    ("noted", "is_known"),
    [
        (IN_TIME, True),
        (IN_TIME | {"cluster": "other"}, False),
        (IN_TIME | {"job": "4712"}, False),
        (IN_TIME | {"cluster": "(null)"}, True),
        (IN_TIME | {"cluster": "slurm"}, True),
        (IN_TIME | {"cluster": "slurm", "job": "4712"}, False),
        ({"cluster": "slurm", "start": f"{NOVEMBER_MS // 1000 - 1}"}, False),
        ({"cluster": "slurm", "start": f"{NOVEMBER_MS // 1000 + 3601}"}, False),
    ],
)
def test_a_job_that_has_noted_itself_counts_once(noted: dict[str, str], is_known: bool) -> None:  # noqa: FBT001 - a case
    accounts = parse_jobs(line(), place="sacct")
    jobs = parse_jobs(line(**noted), place="a note")

    assert tuple(not_in_accounts(jobs, accounts)) == (() if is_known else jobs)


def test_one_that_goes_on_is_known_though_slurm_named_no_cluster() -> None:
    accounts = parse_jobs(line(end="Unknown", state="RUNNING"), place="sacct")
    (noted,) = parse_jobs(line(**IN_TIME, cluster="(null)"), place="a note")

    assert noted.cluster == "slurm"
    assert list(not_in_accounts([noted], accounts)) == []
