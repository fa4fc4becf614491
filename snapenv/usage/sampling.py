"""What looks at GPUs add up to: the row of each GPU of a run for each month, samples and events.

Pure: a ``Watched`` and what was seen since go in, the next ``Watched`` comes out.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from snapenv.model.sampling import Moment
from snapenv.model.usage import (
    BUCKETS,
    MachineGpu,
    RunGpu,
    Sample,
    UsageEvent,
    UsageRun,
    UsedGpu,
    UtilSource,
)
from snapenv.usage.months import by_month, month_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from snapenv.model.sampling import GpuReading, Load
    from snapenv.model.usage import EventKind

HELD_BACK = 0x4 | 0x8 | 0x20 | 0x40 | 0x80
"""NVML's reasons that take speed away: power cap, hardware, heat (two), power brake."""

_JUMP_MS = 1000  # by which both clocks may differ between two looks
_GAP = 3  # intervals; what lies further back was not seen
_LEAST_GAP_MS = 5000  # in which a sampler has started
_SLACK_MS = 50  # between the reading of the clock and of the GPU
_NO_GPU = "cpu"  # the name in samples of a run that uses none


class Watched(Struct, frozen=True, kw_only=True):
    """A run under watch, as it was at the last look."""

    run: UsageRun
    since: Moment  # of the last look, or of the start
    rows: tuple[RunGpu, ...] = ()
    counters: Mapping[str, int] = {}  # of energy, by GPU, in millijoules


class Folded(Struct, frozen=True, kw_only=True):
    """What came of a look."""

    watched: Watched
    samples: tuple[Sample, ...] = ()
    events: tuple[UsageEvent, ...] = ()


def fold(
    watched: Watched,
    now: Moment,
    readings: Sequence[GpuReading],
    load: Load | None,
    *,
    interval_ms: int,
) -> Folded:
    """Add what was seen in a look to a run.

    The time since the look before counts as allocated. It counts as covered where a GPU told its
    utilisation for it, and it is not so long that nobody can have been looking.
    """
    elapsed_ms = max(now.boot_ms - watched.since.boot_ms, 0)
    gap = elapsed_ms > max(_GAP * interval_ms, _LEAST_GAP_MS)
    key, by_gpu = watched.run.key, {reading.gpu: reading for reading in readings}
    rows = {(row.gpu, row.month): row for row in watched.rows}
    events = list(_clock_events(watched, now, elapsed_ms, gap=gap))
    for number, gpu in enumerate(watched.run.gpus):
        reading = by_gpu.get(gpu.uuid)
        sample = _sample(reading, load, watched, elapsed_ms, gap=gap)
        events += _first_events(key, now, gpu.uuid, sample, rows.values())
        for month, part_ms in by_month(now.wall_ms, elapsed_ms):
            row = rows.get((gpu.uuid, month)) or _new_row(key, gpu, month)
            share = part_ms / elapsed_ms if elapsed_ms else 1.0
            rows[gpu.uuid, month] = _grown(row, sample, part_ms, share)
        if number == 0 and load:
            month = month_of(now.wall_ms)
            rows[gpu.uuid, month] = _loaded(rows[gpu.uuid, month], rows.values(), load)
    counters = {each.gpu: each.energy_mj for each in readings if each.energy_mj is not None}
    return Folded(
        watched=replace(
            watched, since=now, rows=tuple(rows.values()), counters={**watched.counters, **counters}
        ),
        samples=tuple(_samples(watched.run, now, by_gpu, load, elapsed_ms)),
        events=tuple(events),
    )


def settle(run: UsageRun, rows: Iterable[RunGpu]) -> tuple[RunGpu, ...]:
    """Return the rows of a run that has ended, so that each GPU's time is the run's very own.

    What nobody saw is allocated and not covered; what was seen after the end is taken back.
    """
    ended_ms, duration_ms = run.ended_ms, run.duration_ms
    if ended_ms is None or duration_ms is None:
        return tuple(rows)
    settled = {(row.gpu, row.month): row for row in rows}
    for gpu in run.gpus:
        own = sorted(month for uuid, month in settled if uuid == gpu.uuid)
        counted_ms = sum(settled[gpu.uuid, month].allocated_ms for month in own)
        for month, part_ms in by_month(ended_ms, max(duration_ms - counted_ms, 0)):
            row = settled.get((gpu.uuid, month)) or _new_row(run.key, gpu, month)
            settled[gpu.uuid, month] = replace(row, allocated_ms=row.allocated_ms + part_ms)
        over_ms = max(counted_ms - duration_ms, 0)
        for month in reversed(own):
            row = settled[gpu.uuid, month]
            taken_ms = min(over_ms, row.allocated_ms)
            settled[gpu.uuid, month] = _shrunk(row, taken_ms)
            over_ms -= taken_ms
    return tuple(settled.values())


def is_settled(run: UsageRun, rows: Sequence[RunGpu]) -> bool:
    """Return whether each GPU of a run that has ended is allocated for as long as it lasted."""
    return run.ended_ms is not None and set(settle(run, rows)) == set(rows)


def used_gpus(
    run: UsageRun, readings: Sequence[GpuReading], load: Load | None
) -> tuple[UsedGpu, ...]:
    """Return the GPUs of a run, with the models that the driver gives them.

    Where it was given all and nobody knew them, these are all, unless its processes are another
    machine's; where it was given none, those on which its processes are, as in a venv of a machine
    whose driver has no files.
    """
    models = {reading.gpu: reading.model for reading in readings}
    used = [gpu.uuid for gpu in run.gpus]
    if run.gpus_asked is None:
        own = load.pids if load else frozenset()
        used += [
            reading.gpu
            for reading in _leaves(readings)
            if reading.pids & own and reading.gpu not in used
        ]
    elif not used and run.gpus_asked == "all" and load:
        used = [reading.gpu for reading in _leaves(readings)]
    known = {gpu.uuid: gpu.model for gpu in run.gpus}
    return tuple(UsedGpu(uuid=each, model=models.get(each) or known[each]) for each in used)


def before_end(readings: Sequence[GpuReading], late_ms: int) -> tuple[GpuReading, ...]:
    """Return what GPUs did until so long ago, when a run ended."""
    return tuple(
        replace(
            reading,
            utilizations=tuple(
                replace(utilization, age_ms=utilization.age_ms - late_ms)
                for utilization in reading.utilizations
                if utilization.age_ms >= late_ms
            ),
        )
        for reading in readings
    )


def machine_gpus(host: str, now: Moment, readings: Sequence[GpuReading]) -> tuple[MachineGpu, ...]:
    """Return what a machine has to give: of a GPU that is divided its instances."""
    at_ms = now.wall_ms
    return tuple(
        MachineGpu(host=host, gpu=reading.gpu, model=reading.model, first_ms=at_ms, last_ms=at_ms)
        for reading in _leaves(readings)
    )


class _Seen(Struct, frozen=True, kw_only=True):
    """What a GPU did since the look before."""

    percents: tuple[float, ...] = ()  # each for as long as the others; none where not covered
    source: UtilSource | None = None
    energy_mj: int | None = None
    memory_bytes: int | None = None
    power_mw: int | None = None
    throttle: int = 0  # of HELD_BACK
    is_shared: bool = False


def _sample(
    reading: GpuReading | None, load: Load | None, watched: Watched, elapsed_ms: int, *, gap: bool
) -> _Seen:
    if reading is None:
        return _Seen()
    percents = _percents(reading, elapsed_ms)
    return _Seen(
        percents=() if gap else percents,
        source=reading.util_source if percents else None,
        energy_mj=_energy_mj(reading, watched.counters.get(reading.gpu), elapsed_ms, gap=gap),
        memory_bytes=reading.memory_bytes,
        power_mw=reading.power_mw,
        throttle=0 if gap else (reading.throttle or 0) & HELD_BACK,
        is_shared=not gap and load is not None and bool(reading.pids - load.pids),
    )


def _percents(reading: GpuReading, elapsed_ms: int) -> tuple[float, ...]:
    return tuple(
        utilization.percent
        for utilization in reading.utilizations
        if utilization.age_ms <= elapsed_ms + _SLACK_MS
    )


def _energy_mj(
    reading: GpuReading, counter_mj: int | None, elapsed_ms: int, *, gap: bool
) -> int | None:
    """Return what a GPU took by its counter, which goes on in gaps; else by its power.

    A counter that was never read, or that began anew with the driver, tells nothing yet.
    """
    if reading.energy_mj is not None and counter_mj is not None and reading.energy_mj >= counter_mj:
        return reading.energy_mj - counter_mj
    if reading.power_mw is None or gap:
        return None
    return reading.power_mw * elapsed_ms // 1000


def _grown(row: RunGpu, sample: _Seen, part_ms: int, share: float) -> RunGpu:
    """Add a part of the time since the look before, and its share of what was counted."""
    buckets = _spread(part_ms, sample.percents)
    energy_mj = None if sample.energy_mj is None else round(sample.energy_mj * share)
    return replace(
        row,
        allocated_ms=row.allocated_ms + part_ms,
        covered_ms=row.covered_ms + sum(buckets),
        buckets=tuple(map(sum, zip(row.buckets, buckets, strict=True))),
        util_source=_worse(row.util_source, sample.source),
        energy_mj=of_both(sum, row.energy_mj, energy_mj),
        memory_peak_bytes=of_both(max, row.memory_peak_bytes, sample.memory_bytes),
        power_peak_mw=of_both(max, row.power_peak_mw, sample.power_mw),
        throttled_ms=row.throttled_ms + (part_ms if sample.throttle else 0),
        shared_ms=row.shared_ms + (part_ms if sample.is_shared else 0),
    )


def _loaded(row: RunGpu, rows: Iterable[RunGpu], load: Load) -> RunGpu:
    """Add to a row what the run's processes took that no row has yet."""
    counted_ms = sum(each.cpu_ms or 0 for each in rows)
    return replace(
        row,
        cpu_ms=(row.cpu_ms or 0) + max(load.cpu_ms - counted_ms, 0),
        host_memory_peak_bytes=of_both(max, row.host_memory_peak_bytes, load.memory_bytes),
    )


def _shrunk(row: RunGpu, taken_ms: int) -> RunGpu:
    """Take time off a row, of what was not covered first, then of the fullest buckets."""
    allocated_ms, buckets = row.allocated_ms - taken_ms, list(row.buckets)
    over_ms = max(sum(buckets) - allocated_ms, 0)
    for number in sorted(range(BUCKETS), key=lambda each: -buckets[each]):
        part_ms = min(over_ms, buckets[number])
        buckets[number] -= part_ms
        over_ms -= part_ms
    return replace(
        row,
        allocated_ms=allocated_ms,
        covered_ms=sum(buckets),
        buckets=tuple(buckets),
        throttled_ms=min(row.throttled_ms, allocated_ms),
        shared_ms=min(row.shared_ms, allocated_ms),
    )


def _spread(duration_ms: int, percents: Sequence[float]) -> tuple[int, ...]:
    """Spread a time over the buckets, as much for each sample; not a millisecond is lost."""
    buckets, given_ms = [0] * BUCKETS, 0
    for number, percent in enumerate(percents, start=1):
        until_ms = duration_ms * number // len(percents)
        buckets[min(int(percent * BUCKETS // 100), BUCKETS - 1)] += until_ms - given_ms
        given_ms = until_ms
    return tuple(buckets)


def _samples(
    run: UsageRun,
    now: Moment,
    by_gpu: Mapping[str, GpuReading],
    load: Load | None,
    elapsed_ms: int,
) -> Iterable[Sample]:
    sample = Sample(
        key=run.key,
        gpu=_NO_GPU,
        at_ms=now.wall_ms,
        cpu_ms=load.cpu_ms if load else None,
        host_memory_bytes=load.memory_bytes if load else None,
    )
    if not run.gpus and load:
        yield sample
    for gpu in run.gpus:
        reading = by_gpu.get(gpu.uuid)
        if reading is None:
            continue
        percents = _percents(reading, elapsed_ms)
        yield replace(
            sample,
            gpu=gpu.uuid,
            utilization=round(sum(percents) / len(percents)) if percents else None,
            util_source=reading.util_source if percents else None,
            memory_bytes=reading.memory_bytes,
            power_mw=reading.power_mw,
            energy_mj=reading.energy_mj,
            clock_mhz=reading.clock_mhz,
            throttle=reading.throttle,
            temperature_c=reading.temperature_c,
        )


def _clock_events(
    watched: Watched, now: Moment, elapsed_ms: int, *, gap: bool
) -> Iterable[UsageEvent]:
    key, jump_ms = watched.run.key, now.wall_ms - watched.since.wall_ms - elapsed_ms
    if abs(jump_ms) > _JUMP_MS:
        yield event(key, now.wall_ms, "clock", value=jump_ms)
    if gap:
        yield event(key, now.wall_ms - elapsed_ms, "gap", value=elapsed_ms)


def _first_events(
    key: str, now: Moment, gpu: str, sample: _Seen, rows: Iterable[RunGpu]
) -> Iterable[UsageEvent]:
    """Tell once for each GPU of a run that it was held back, and that others were on it."""
    own = [row for row in rows if row.gpu == gpu]
    if sample.throttle and not any(row.throttled_ms for row in own):
        yield event(key, now.wall_ms, "throttled", value=sample.throttle, text=gpu)
    if sample.is_shared and not any(row.shared_ms for row in own):
        yield event(key, now.wall_ms, "shared", text=gpu)


def event(
    key: str, at_ms: int, kind: EventKind, *, value: int | None = None, text: str | None = None
) -> UsageEvent:
    """Make an event of a run."""
    return UsageEvent(id=str(uuid.uuid4()), key=key, at_ms=at_ms, kind=kind, value=value, text=text)


def _leaves(readings: Sequence[GpuReading]) -> tuple[GpuReading, ...]:
    """Leave out GPUs that are divided into instances."""
    divided = {reading.number.partition(".")[0] for reading in readings if "." in reading.number}
    return tuple(reading for reading in readings if reading.number not in divided)


def _new_row(key: str, gpu: UsedGpu, month: str) -> RunGpu:
    return RunGpu(key=key, gpu=gpu.uuid, month=month, model=gpu.model, allocated_ms=0)


def _worse(known: UtilSource | None, new: UtilSource | None) -> UtilSource | None:
    """Name the source of both together: what flatters, once any of it does."""
    return known if known == "nvml" or new is None else new


def of_both(
    combine: Callable[[Sequence[int]], int], known: int | None, new: int | None
) -> int | None:
    """Return the sum or the maximum of what is known of two; None where neither is."""
    values = [value for value in (known, new) if value is not None]
    return combine(values) if values else None
