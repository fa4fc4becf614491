"""Jobs of Slurm, as ``sacct`` tells them. Pure.

A job that was put back into the queue is several records, each with its own start and end, and one
run. Times are asked for in seconds of the epoch, so no time zone is in them.
Source: https://slurm.schedmd.com/sacct.html
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote

from msgspec import Struct

from snapenv.errors import UsageSourceError
from snapenv.model.usage import RunGpu, UsageRun
from snapenv.usage.imported import ImportedRun, imported_key, parse_image, summed
from snapenv.usage.months import by_month

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

NOTED_FOLDER = "slurm"
"""Below the user's state folder: what rendered jobs note of themselves, as sacct would tell it."""

UNNAMED = "slurm"
"""The cluster of a job that has noted itself where Slurm did not tell it the cluster's name."""

VARIABLES = {"SLURM_TIME_FORMAT": "%s"}  # seconds of the epoch

_FIELDS = (
    *("Cluster", "JobIDRaw", "User", "Account", "State", "ExitCode", "Start", "End"),
    *("AllocTRES", "NodeList", "Comment"),
)
_BETWEEN = "\x1f"
_NULL = "(null)"  # what Slurm 23.11 may put into SLURM_CLUSTER_NAME
_GPU = re.compile(r"gres/gpu(?::(.+))?", re.ASCII)
_END_S = 4_102_444_800  # of 2100
_MOST_DIGITS = 18
_MOST_BYTES = 1 << 60  # of memory
_MOST_ROWS = 100_000  # of a job: a month of each of its GPUs
_LEAST_MONTH_MS = 28 * 24 * 3_600_000
_MEMORY = re.compile(r"(\d{1,15}(?:\.\d+)?)([KMGTP]?)", re.ASCII)
_POWERS = {"K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "": 0}
_GOES_ON = frozenset({"PENDING", "RUNNING", "SUSPENDED", "REQUEUED", "RESIZING", "COMPLETING"})
# Slurm's word for how a job ended, and the ledger's.
_FAILURES = {
    "BOOT_FAIL": "node-failed",
    "CANCELLED": "cancelled",
    "DEADLINE": "time-limit",
    "FAILED": "failed",
    "NODE_FAIL": "node-failed",
    "OUT_OF_MEMORY": "memory",
    "PREEMPTED": "preempted",
    "TIMEOUT": "time-limit",
}


class SlurmJob(Struct, frozen=True, kw_only=True):
    """One record: a job from one of its starts on."""

    cluster: str
    job: str
    user: str
    account: str
    state: str  # one of Slurm's words: "COMPLETED"
    exit_code: int | None  # 128 and its number where a signal ended it
    started_ms: int
    ended_ms: int | None  # None while it goes on
    resources: Mapping[str, str]  # of TRES: {"cpu": "8", "gres/gpu:h100": "2"}
    nodes: str  # "gpu-[01-02]"
    labels: Mapping[str, str]  # in its comment, as ``snapenv render`` writes it


def sacct_words(since_ms: int, until_ms: int) -> tuple[str, ...]:
    """Return the command that tells the jobs that went on in a time, of all users."""
    return (
        "sacct",
        *("--allusers", "--allocations", "--duplicates", "--noheader", "--parsable2"),
        f"--delimiter={_BETWEEN}",
        f"--starttime=uts{since_ms // 1000}",
        f"--endtime=uts{until_ms // 1000}",
        f"--format={','.join(_FIELDS)}",
    )


def parse_jobs(text: str, *, place: str, cluster: str | None = None) -> tuple[SlurmJob, ...]:
    """Read the records of jobs that have started.

    ``place`` names the text in errors; ``cluster`` takes the place of the name that Slurm has.

    Raises:
        UsageSourceError: It is none of sacct's.
    """
    lines = [line.split(_BETWEEN) for line in text.split("\n") if line]
    wrong = next((line for line in lines if len(line) != len(_FIELDS)), None)
    if wrong is not None:
        raise UsageSourceError(
            f"{place} has {' '.join(wrong)!r}, which is not a record of a job of Slurm",
            hint="Is the sacct on PATH that of Slurm? A file that a job has noted can be removed.",
        )
    return tuple(job for line in lines if (job := _parse_job(line, cluster)))


def _parse_job(values: Sequence[str], cluster: str | None) -> SlurmJob | None:
    fields = dict(zip(_FIELDS, values, strict=True))
    started_ms = _parse_time(fields["Start"])
    if started_ms is None:
        return None
    return SlurmJob(
        cluster=cluster or (UNNAMED if fields["Cluster"] == _NULL else fields["Cluster"]),
        job=fields["JobIDRaw"],
        user=fields["User"],
        account=fields["Account"],
        state=fields["State"].partition(" ")[0],  # "CANCELLED by 1000"
        exit_code=_parse_exit(fields["ExitCode"]),
        started_ms=started_ms,
        ended_ms=_parse_time(fields["End"]),
        resources=dict(_pairs(fields["AllocTRES"])),
        nodes=fields["NodeList"],
        labels={name: unquote(value) for name, value in _pairs(fields["Comment"])},
    )


def not_in_accounts(noted: Iterable[SlurmJob], accounts: Iterable[SlurmJob]) -> Iterator[SlurmJob]:
    """Yield the jobs that have noted themselves and that the accounts do not have.

    One that Slurm did not tell the name of its cluster is the one of its number at that time.
    """
    by_number: dict[str, list[SlurmJob]] = {}
    for job in accounts:
        by_number.setdefault(job.job, []).append(job)
    for job in noted:
        if not any(_is_same(job, each) for each in by_number.get(job.job, ())):
            yield job


def _is_same(noted: SlurmJob, account: SlurmJob) -> bool:
    if noted.cluster != UNNAMED or account.cluster == UNNAMED:
        return noted.cluster == account.cluster
    until_ms = _END_S * 1000 if account.ended_ms is None else account.ended_ms
    return account.started_ms <= noted.started_ms <= until_ms


def _parse_time(text: str) -> int | None:
    seconds = _whole(text)  # else "Unknown" or "None"
    return seconds * 1000 if seconds is not None and seconds < _END_S else None


def _whole(text: str) -> int | None:
    """Read a number that Slurm may have written: it has no more than 18 digits."""
    is_number = text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS
    return int(text) if is_number else None


def _parse_exit(text: str) -> int | None:
    """Read ``CODE:SIGNAL``."""
    code, signal = map(_whole, text.partition(":")[::2])
    if code is None or signal is None:
        return None
    return 128 + signal if signal else code


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for pair in text.split(","):
        name, between, value = pair.partition("=")
        if between:
            yield name, value


def runs_of_jobs(jobs: Iterable[SlurmJob]) -> tuple[ImportedRun, ...]:
    """Return the jobs that had GPUs or were rendered by snapenv, in the order of their first start.

    What GPUs did is not known, nor which they were: those of a job that has ended have numbers.
    """
    records = dict[str, list[SlurmJob]]()
    for job in sorted(jobs, key=lambda job: job.started_ms):
        records.setdefault(imported_key(job.cluster, job.job), []).append(job)
    return tuple(
        _run(key, of_job)
        for key, of_job in records.items()
        if "io.snapenv.image" in of_job[-1].labels or any(dict(_gpus(each)) for each in of_job)
    )


def _run(key: str, records: Sequence[SlurmJob]) -> ImportedRun:
    last = records[-1]
    ended_ms = None if last.state in _GOES_ON else last.ended_ms
    failure = _FAILURES.get(last.state)
    image = parse_image(last.labels.get("io.snapenv.image"))
    cpus = _whole(last.resources.get("cpu", ""))
    run = UsageRun(
        key=key,
        run=last.job,
        source="slurm",
        kind="job",
        user=last.user,
        project=last.labels.get("io.snapenv.project") or last.account or None,
        purpose=last.labels.get("io.snapenv.purpose"),
        model=last.labels.get("io.snapenv.model"),
        snapshot=last.labels.get("io.snapenv.snapshot"),
        host=last.nodes,
        gpus_asked=str(sum(dict(_gpus(last)).values())) if dict(_gpus(last)) else None,
        cpus=None if cpus is None else float(cpus),
        memory_bytes=_parse_memory(last.resources.get("mem", "")),
        started_ms=records[0].started_ms,
        ended_ms=ended_ms,
        duration_ms=sum(map(_duration_ms, records)) if ended_ms is not None else None,
        exit_code=None if ended_ms is None else _exit_code(last, failure),
        failure=None if ended_ms is None else failure,
        cause=f"Slurm: {last.state}" if failure and ended_ms is not None else None,
        tag=image.tag,
        image=image.digest,
    )
    return ImportedRun(run=run, gpus=() if ended_ms is None else _rows(key, records))


def _exit_code(job: SlurmJob, failure: str | None) -> int | None:
    """Return the exit code, unless Slurm tells a 0 of what it ended itself."""
    return None if failure and job.exit_code == 0 else job.exit_code


def _duration_ms(job: SlurmJob) -> int:
    return max(0, (job.ended_ms or job.started_ms) - job.started_ms)


def _gpus(job: SlurmJob) -> Iterator[tuple[str, int]]:
    """Yield each type of GPU with its number; "gpu" is those of which no type is told."""
    counts = {
        match[1]: _whole(value) or 0
        for name, value in job.resources.items()
        if (match := _GPU.fullmatch(name))
    }
    untyped = counts.pop(None, 0) - sum(counts.values())
    yield from ((model, count) for model, count in counts.items() if count)
    if untyped > 0:
        yield "gpu", untyped


def _rows(key: str, records: Sequence[SlurmJob]) -> tuple[RunGpu, ...]:
    """Return what each GPU did, a month each.

    Raises:
        UsageSourceError: A job had more GPUs for longer than any cluster has them.
    """
    for job in records:
        gpus, months = sum(dict(_gpus(job)).values()), 1 + _duration_ms(job) // _LEAST_MONTH_MS
        if gpus * months > _MOST_ROWS:
            raise UsageSourceError(
                f"job {job.job} of {job.cluster} had {gpus} GPUs for {months} months",
                hint="Look at it: sacct -j JOB --format=AllocTRES,Start,End.",
            )
    return summed(
        RunGpu(
            key=key,
            gpu=f"{job.cluster}/{job.job}/{model}/{number}",
            month=month,
            model=model,
            allocated_ms=part_ms,
        )
        for job in records
        for month, part_ms in by_month(job.started_ms + _duration_ms(job), _duration_ms(job))
        for model, count in _gpus(job)
        for number in range(count)
    )


def _parse_memory(text: str) -> int | None:
    """Read a size of TRES, such as ``64G``."""
    match = _MEMORY.fullmatch(text)
    size = float(match[1]) * 1024 ** _POWERS[match[2]] if match else math.inf
    return int(size) if size < _MOST_BYTES else None
