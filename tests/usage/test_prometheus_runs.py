"""Runs counted from what Prometheus answers, as values; test_usage_import.py asks a real one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv.model.usage import UsageRun, UsedGpu
from snapenv.usage.imported import ImportedRun, imported_key
from snapenv.usage.prometheus_runs import (
    STEP_MS,
    Counted,
    Piece,
    Series,
    joined,
    observed,
    runs_of_piece,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from snapenv.model.usage import RunGpu

START_MS = 1_793_491_200_000 - 2 * STEP_MS  # two steps before November
GPU = {"UUID": "GPU-1", "modelName": "NVIDIA H100", "Hostname": "gpu-01"}
POD = {"run": "vision/yolo", "scheduler": "kubernetes", "namespace": "vision", "project": "lanes"}
JOB = {"run": "4711", "scheduler": "hpc"}
DIGEST = f"sha256:{'5e' * 32}"


def series(labels: dict[str, str], values: Iterable[float | None]) -> Series:
    """Return a series with a value at each step from the first on; None is not there."""
    points = enumerate(values, 1)
    return Series(
        labels,
        tuple((START_MS / 1000 + 60 * at, str(one)) for at, one in points if one is not None),
    )


def piece(
    utilization: Iterable[float | None], energy: Iterable[float | None] = (), *, steps: int = 4
) -> Piece:
    return Piece(
        runs=(series({**POD, "UUID": "GPU-1"}, [1] * steps),),
        utilization=(series({**GPU, "source": "dcgm_sm"}, utilization),),
        memory=(series(GPU, [4e9, 5e9, 3e9, 2e9]),),
        power=(series(GPU, [300.5, 200, 100, 50]),),
        energy=(series({"UUID": "GPU-1"}, energy),),
        images={"vision/yolo": f"example.com/env:tag@{DIGEST}"},
    )


def only(found: tuple[ImportedRun, ...]) -> ImportedRun:
    (run,) = found
    return run


def counted(rows: tuple[RunGpu, ...]) -> list[tuple[str, int, int]]:
    return [(row.month, row.allocated_ms // STEP_MS, row.covered_ms // STEP_MS) for row in rows]


def test_a_pod_is_a_run_of_its_namespace_and_of_its_image() -> None:
    found = only(runs_of_piece(piece([0.5] * 4), "east", counted={}))

    run = found.run
    assert run.key == imported_key("east", "vision/yolo")
    assert (run.run, run.source, run.user, run.project) == (
        *("vision/yolo", "prometheus", "vision", "lanes"),
    )
    assert (run.host, run.tag, run.image) == ("gpu-01", "tag", DIGEST)
    assert run.gpus == (UsedGpu(uuid="GPU-1", model="NVIDIA H100"),)
    assert (run.started_ms, run.ended_ms) == (START_MS, START_MS + 4 * STEP_MS)


def test_each_month_has_its_own_time_utilization_and_energy() -> None:
    told = piece([0.0, 0.95, None, 1.2], [10, 30, 5, 25])

    october, november = only(runs_of_piece(told, "east", counted={})).gpus

    assert (october.month, november.month) == ("2026-10", "2026-11")
    assert (october.allocated_ms, november.allocated_ms) == (2 * STEP_MS, 2 * STEP_MS)
    assert october.buckets == (STEP_MS, *[0] * 8, STEP_MS)
    assert november.buckets == (*[0] * 9, STEP_MS)  # one was not seen, one was above 1
    assert (october.covered_ms, november.covered_ms) == (2 * STEP_MS, STEP_MS)
    assert (october.energy_mj, november.energy_mj) == (20_000, 20_000)  # the counter fell
    assert (october.memory_peak_bytes, october.power_peak_mw) == (5_000_000_000, 300_500)
    assert october.util_source == "dcgm_sm"


def test_a_short_gap_is_of_the_run_and_not_seen_and_a_long_one_is_nobodys() -> None:
    presence = [1, None, None, 1, *[None] * 9, 1]
    told = Piece(
        runs=(series({**POD, "UUID": "GPU-1"}, presence),),
        utilization=(series({**GPU, "source": "nvml"}, [0.5] * 14),),
    )

    rows = only(runs_of_piece(told, "east", counted={})).gpus

    assert counted(rows) == [("2026-10", 1, 1), ("2026-11", 3 + 1, 2)]


def test_what_was_counted_before_is_not_counted_again() -> None:
    told = piece([0.5] * 4)
    known = Counted(started_ms=START_MS + STEP_MS, ended_ms=START_MS + 3 * STEP_MS)
    key = imported_key("east", "vision/yolo")

    rows = only(runs_of_piece(told, "east", counted={key: known})).gpus
    everything = Counted(started_ms=START_MS, ended_ms=START_MS + 4 * STEP_MS)

    assert counted(rows) == [("2026-10", 1, 1), ("2026-11", 1, 1)]
    assert runs_of_piece(told, "east", counted={key: everything}) == ()


def test_runs_of_snapenv_have_records_of_their_own() -> None:
    told = Piece(runs=(series({"run": "k3f9", "scheduler": "snapenv", "UUID": "GPU-1"}, [1]),))

    assert runs_of_piece(told, "east", counted={}) == ()


def test_instances_of_a_gpu_are_gpus_of_their_own() -> None:
    told = Piece(
        runs=tuple(series({**JOB, "UUID": "GPU-1", "GPU_I_ID": one}, [1, 1]) for one in "12")
    )

    found = only(runs_of_piece(told, "east", counted={}))

    assert [gpu.uuid for gpu in found.run.gpus] == ["GPU-1/1", "GPU-1/2"]
    assert [row.gpu for row in found.gpus] == ["GPU-1/1", "GPU-1/2"]


def test_of_several_sources_the_one_that_flatters_most_is_named() -> None:
    told = Piece(
        runs=(series({**JOB, "UUID": "GPU-1"}, [1, 1]),),
        utilization=(
            series({**GPU, "source": "nvml"}, [0.9, None]),
            series({**GPU, "source": "dcgm_sm"}, [None, 0.5]),
        ),
    )

    (row,) = only(runs_of_piece(told, "east", counted={})).gpus

    assert (row.util_source, row.covered_ms) == ("nvml", 2 * STEP_MS)


def test_pieces_of_a_run_are_one_run() -> None:
    whole = only(runs_of_piece(piece([0.5] * 4), "east", counted={}))
    first = replace(whole.run, ended_ms=START_MS + 2 * STEP_MS)
    last = replace(whole.run, started_ms=START_MS + 2 * STEP_MS)

    both = joined(
        (
            ImportedRun(run=last, gpus=whole.gpus[1:]),
            ImportedRun(run=first, gpus=whole.gpus[:1]),
        )
    )

    assert both == replace(whole, scheduler=None)


def slurm_job(
    *, gpus: int, ended_ms: int | None = START_MS + 150_000, allocated_ms: int = 130_000
) -> ImportedRun:
    key = imported_key("slurm", "4711")
    run = UsageRun(
        key=key,
        run="4711",
        source="slurm",
        kind="job",
        user="ada",
        host="gpu-01",
        started_ms=START_MS,
        ended_ms=ended_ms,
    )
    seen = only(runs_of_piece(piece([0.5] * 2, steps=2), "slurm", counted={})).gpus[0]
    empty = replace(seen, covered_ms=0, buckets=(0,) * 10, util_source=None, energy_mj=None)
    rows = tuple(
        replace(empty, key=key, gpu=f"tests/4711/h100/{number}", allocated_ms=allocated_ms)
        for number in range(gpus)
    )
    return ImportedRun(run=run, gpus=rows)


def test_a_job_of_slurm_has_the_gpus_that_prometheus_saw_for_as_long_as_slurm_says() -> None:
    seen = only(runs_of_piece(piece([0.5] * 2, steps=2), "east", counted={}))

    told = observed(slurm_job(gpus=1), seen, START_MS)

    assert (told.run.user, told.run.gpus) == ("ada", seen.run.gpus)
    assert [(row.key, row.gpu, row.allocated_ms, row.covered_ms) for row in told.gpus] == [
        (told.run.key, "GPU-1", 130_000, 2 * STEP_MS)
    ]


def test_what_was_seen_to_the_minute_is_allocated_at_least() -> None:
    seen = only(runs_of_piece(piece([0.5] * 2, steps=2), "east", counted={}))

    (row,) = observed(slurm_job(gpus=1, allocated_ms=90_000), seen, START_MS).gpus

    assert row.allocated_ms == row.covered_ms == 2 * STEP_MS


def test_a_job_of_slurm_is_left_as_it_is_where_prometheus_saw_a_part_of_it() -> None:
    seen = only(runs_of_piece(piece([0.5] * 2, steps=2), "east", counted={}))
    job, going_on = slurm_job(gpus=1), slurm_job(gpus=1, ended_ms=None)

    assert observed(job, seen, START_MS + 1) == job
    assert observed(job, None, START_MS) == job
    assert observed(going_on, seen, START_MS) == going_on
    assert observed(slurm_job(gpus=2), seen, START_MS).gpus[0].allocated_ms == 2 * STEP_MS
