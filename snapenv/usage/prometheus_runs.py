"""Runs that Prometheus has seen, counted from what it answers. Pure.

Each point of time stands for the step before it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, get_args

from msgspec import Struct
from msgspec.structs import replace

from snapenv.model.usage import BUCKETS, RunGpu, UsageRun, UsedGpu, UtilSource
from snapenv.usage.imported import ImportedRun, imported_key, parse_image, summed
from snapenv.usage.months import month_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from snapenv.model.image import ImageRef

STEP_MS = 60_000
_GAP_MS = 5 * STEP_MS  # a shorter one is of the exporter, and the run went on
_SOURCES: tuple[UtilSource, ...] = get_args(UtilSource)  # the most honest first

Point = tuple[float, str]
"""Seconds of the epoch, and a number as text."""


class Series(Struct, frozen=True):
    """Of a range query: the labels of a series and its points, in their order."""

    metric: Mapping[str, str]
    values: tuple[Point, ...]


class Piece(Struct, frozen=True, kw_only=True):
    """What was asked of a time that the server answers for at once."""

    runs: tuple[Series, ...]  # as promql.RUN_GPUS
    utilization: tuple[Series, ...] = ()  # 0 to 1
    memory: tuple[Series, ...] = ()  # bytes
    power: tuple[Series, ...] = ()  # watts
    energy: tuple[Series, ...] = ()  # joules since some moment, growing
    images: Mapping[str, str] = {}  # by run: the image of its pod


class Counted(Struct, frozen=True, kw_only=True):
    """Until when, and from when, the ledger has counted a run before: neither is counted again."""

    started_ms: int
    ended_ms: int


class _Gpu(Struct, frozen=True, kw_only=True):
    """What is told of a GPU or an instance, by the milliseconds of its points."""

    model: str = "gpu"
    host: str = ""
    source: UtilSource | None = None
    utilization: Mapping[int, float] = {}
    memory: Mapping[int, float] = {}
    power: Mapping[int, float] = {}
    energy: Mapping[int, float] = {}


def gpu_name(labels: Mapping[str, str]) -> str:
    """Return what the ledger calls a GPU: its UUID, with the number of an instance behind it."""
    instance = labels.get("GPU_I_ID")
    return f"{labels.get('UUID', '')}/{instance}" if instance else labels.get("UUID", "")


def runs_of_piece(
    piece: Piece, cluster: str, *, counted: Mapping[str, Counted]
) -> tuple[ImportedRun, ...]:
    """Return what runs did in a piece of time, but in the time in which they were counted before.

    Those of snapenv itself are left out: they have records of their own.
    """
    gpus = _gpus(piece)
    parts = dict[str, list[ImportedRun]]()
    for series in piece.runs:
        labels = series.metric
        if labels.get("scheduler") == "snapenv":
            continue
        key = imported_key(cluster, labels.get("run", ""))
        steps = _steps(series, counted.get(key))
        if steps:
            gpu = gpus.get(gpu_name(labels), _Gpu())
            image = parse_image(piece.images.get(labels.get("run", "")))
            run = _run(key, labels, gpu, steps, image=image)
            rows = _rows(key, gpu_name(labels), gpu, steps)
            part = ImportedRun(run=run, gpus=rows, scheduler=labels.get("scheduler"))
            parts.setdefault(key, []).append(part)
    return tuple(joined(each) for each in parts.values())


def joined(parts: Sequence[ImportedRun]) -> ImportedRun:
    """Return one run of what is known of its GPUs and its times; the first names it."""
    started_ms = min(part.run.started_ms for part in parts)
    ended_ms = max(part.run.ended_ms or 0 for part in parts)
    gpus = {gpu.uuid: gpu for part in parts for gpu in part.run.gpus}
    run = replace(
        parts[0].run,
        gpus=tuple(gpus[uuid] for uuid in sorted(gpus)),
        started_ms=started_ms,
        ended_ms=ended_ms,
        duration_ms=ended_ms - started_ms,
    )
    rows = summed(row for part in parts for row in part.gpus)
    return ImportedRun(run=run, gpus=rows, scheduler=parts[0].scheduler)


def observed(job: ImportedRun, sample: ImportedRun | None, since_ms: int) -> ImportedRun:
    """Return a job of Slurm with what Prometheus has seen of its GPUs, where that is all of it.

    How long the job had them is known from Slurm, if it is sure which time was of which GPU.
    """
    if sample is None or job.run.ended_ms is None or job.run.started_ms < since_ms:
        return job
    numbered = {row.gpu for row in job.gpus}
    exact_ms = {row.month: row.allocated_ms for row in job.gpus}
    is_sure = len(numbered) == len({row.gpu for row in sample.gpus})
    rows = tuple(
        replace(
            row,
            key=job.run.key,
            allocated_ms=max(row.covered_ms, exact_ms.get(row.month, 0))
            if is_sure
            else row.allocated_ms,
        )
        for row in sample.gpus
    )
    return ImportedRun(run=replace(job.run, gpus=sample.run.gpus), gpus=rows)


_Step = tuple[int, int]  # a point, and the milliseconds before it in which the run went on


def _steps(series: Series, counted: Counted | None) -> tuple[_Step, ...]:
    """Return the points of a run that were not counted before."""
    points = [round(at * 1000) for at, _ in series.values]
    if not points:
        return ()
    steps = (
        (at_ms, at_ms - before_ms if at_ms - before_ms <= _GAP_MS else STEP_MS)
        for before_ms, at_ms in itertools.pairwise((points[0] - STEP_MS, *points))
    )
    return tuple(
        step
        for step in steps
        if counted is None or not counted.started_ms < step[0] <= counted.ended_ms
    )


def _run(
    key: str, labels: Mapping[str, str], gpu: _Gpu, steps: Sequence[_Step], *, image: ImageRef
) -> UsageRun:
    started_ms, ended_ms = steps[0][0] - steps[0][1], steps[-1][0]
    return UsageRun(
        key=key,
        run=labels.get("run", ""),
        source="prometheus",
        kind="job",
        user=labels.get("namespace") or "unknown",
        project=labels.get("project"),
        purpose=labels.get("purpose"),
        model=labels.get("model"),
        host=gpu.host,
        gpus=(UsedGpu(uuid=gpu_name(labels), model=gpu.model),),
        started_ms=started_ms,
        ended_ms=ended_ms,
        duration_ms=ended_ms - started_ms,
        tag=image.tag,
        image=image.digest,
    )


def _rows(key: str, name: str, gpu: _Gpu, steps: Sequence[_Step]) -> tuple[RunGpu, ...]:
    """Return what a GPU did, a month each."""
    return tuple(
        _row(RunGpu(key=key, gpu=name, month=month, model=gpu.model, allocated_ms=0), gpu, [*of])
        for month, of in itertools.groupby(steps, lambda step: month_of(step[0] - 1))
    )


def _row(empty: RunGpu, gpu: _Gpu, steps: Sequence[_Step]) -> RunGpu:
    """Return what a GPU did in these steps."""
    utilizations = [gpu.utilization[at] for at, _ in steps if at in gpu.utilization]
    buckets = [0] * BUCKETS
    for ratio in utilizations:
        buckets[max(0, min(int(ratio * BUCKETS), BUCKETS - 1))] += STEP_MS
    grown = [
        gpu.energy[at] - gpu.energy[at - elapsed_ms]
        for at, elapsed_ms in steps
        if at in gpu.energy and at - elapsed_ms in gpu.energy
    ]
    return replace(
        empty,
        allocated_ms=sum(elapsed_ms for _, elapsed_ms in steps),
        covered_ms=sum(buckets),
        buckets=tuple(buckets),
        util_source=gpu.source if utilizations else None,
        # a counter that falls has begun anew
        energy_mj=round(sum(joules for joules in grown if joules > 0) * 1000) if grown else None,
        memory_peak_bytes=_peak(gpu.memory, steps),
        power_peak_mw=_peak(gpu.power, steps, 1000),
    )


def _peak(values: Mapping[int, float], steps: Sequence[_Step], scale: int = 1) -> int | None:
    return max((round(values[at] * scale) for at, _ in steps if at in values), default=None)


def _gpus(piece: Piece) -> dict[str, _Gpu]:
    """Return the GPUs of a piece by their names."""
    gpus = dict[str, _Gpu]()
    for field in ("utilization", "memory", "power", "energy"):
        for series in getattr(piece, field):
            name = gpu_name(series.metric)
            gpu = gpus.get(name, _Gpu())
            points = {**getattr(gpu, field), **_numbers(series.values)}
            gpus[name] = replace(
                gpu,
                model=series.metric.get("modelName") or gpu.model,
                host=series.metric.get("Hostname") or gpu.host,
                source=_worse(gpu.source, series.metric.get("source")),
                **{field: points},
            )
    return gpus


def _numbers(points: Iterable[Point]) -> Mapping[int, float]:
    numbers = ((round(at * 1000), float(text)) for at, text in points)
    return {at: number for at, number in numbers if math.isfinite(number)}


def _worse(known: UtilSource | None, new: str | None) -> UtilSource | None:
    """Return the source that flatters more, of those of one GPU."""
    sources = [source for source in _SOURCES if source in {known, new}]
    return sources[-1] if sources else None
