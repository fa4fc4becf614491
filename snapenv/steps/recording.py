"""Records of what runs, in the ledger of usage: begun before the start, completed at the end.

A ledger that cannot be written stops nothing: its user is told once, and at the end the whole
record is written, with a gap where no samples are.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv.errors import (
    LedgerError,
    LedgerVersionError,
    PlaceBusyError,
    SnapenvError,
    WriteError,
)
from snapenv.launch.records import milliseconds
from snapenv.model.launch import (
    MODEL_LABEL,
    PROJECT_LABEL,
    PURPOSE_LABEL,
    USER_LABEL,
    Counted,
    RunEnd,
)
from snapenv.model.sampling import Moment
from snapenv.model.usage import Beat, UsageEvent, UsageRun, UsedGpu
from snapenv.secrets.words import without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from snapenv.model.launch import RunRecord
    from snapenv.ports import Services
    from snapenv.usage.ledger import Ledger

_UNUSABLE = (LedgerError, LedgerVersionError, PlaceBusyError, WriteError)
_INTERRUPTED = 130
_OF_THE_END = ("ended_ms", "duration_ms", "exit_code", "failure", "cause")
_UNKNOWN = "unknown"  # until the sampler has asked the driver


def with_key(record: RunRecord, services: Services) -> RunRecord:
    """Return the record of a run that begins now, with what the ledger is to know it by."""
    return replace(record, counted=_new_counted(services)) if services.state else record


def planned_usage(record: RunRecord, services: Services) -> UsageRun:
    """Return what the ledger would keep of a run that has not begun."""
    return _run_of(record, _new_counted(services), services)


def begin_usage(record: RunRecord, services: Services) -> RunRecord:
    """Write into the ledger that a run begins; the sampler reads its record from then on."""
    if record.counted is None:
        return record
    run = _run_of(record, record.counted, services)
    return replace(record, counted=_begun(run, record.counted, services))


def end_usage(
    record: RunRecord, end: RunEnd, services: Services, *, finished: str | None = None
) -> None:
    """Complete the record of a run; one that is complete already is only told what it lacks.

    ``finished`` is when it ended, in RFC 3339; None is now.
    """
    counted = record.counted
    if services.state is None or counted is None:
        return
    run = _run_of(record, counted, services)
    _complete(run, counted, end, services, finished_ms=milliseconds(finished) if finished else None)


def fail_usage(record: RunRecord, error: BaseException, services: Services) -> None:
    """Complete the record of a run that did not start, or that snapenv has lost."""
    end_usage(record, _end_of(error), services)


@contextlib.contextmanager
def using(run: UsageRun, services: Services) -> Iterator[Callable[[RunEnd], None]]:
    """Count what a block uses that is no run; it hands on how it ended, unless it fails.

    The key, the moments, the host and the models of GPUs are filled in.
    """
    if services.state is None:
        yield lambda _: None
        return
    counted = _new_counted(services)
    begun = _stamped(run, counted, services)
    counted = _begun(begun, counted, services)
    services.start_sampler()
    ends = list[RunEnd]()
    try:
        yield ends.append
    except BaseException as error:
        ends.append(_end_of(error))
        raise
    finally:
        _complete(begun, counted, ends[-1] if ends else RunEnd(exit_code=0, finished=""), services)
        services.start_sampler()


def _begun(run: UsageRun, counted: Counted, services: Services) -> Counted:
    """Write the record of what begins; where that fails, say so and go on."""
    try:
        with _ledger(services) as ledger:
            _beat(ledger, counted, services)  # who finds the run, finds it
            ledger.put_run(run)
    except _UNUSABLE as error:
        services.warn(f"this run is not counted yet: {error.message}. {error.hint}")
        return counted
    return replace(counted, written=True)


def _beat(ledger: Ledger, counted: Counted, services: Services) -> None:
    """Leave the sign of life of this process, by which an end that nobody sees is dated."""
    ticks = services.sensors.start_ticks(os.getpid()) if services.sensors else None
    if ticks is not None:
        ledger.beat(
            Beat(
                key=counted.key,
                at_ms=counted.started_ms,
                boot_ms=counted.boot_ms,
                boot_id=counted.boot_id,
                pid=os.getpid(),
                ticks=ticks,
            )
        )


def _complete(
    run: UsageRun,
    counted: Counted,
    end: RunEnd,
    services: Services,
    *,
    finished_ms: int | None = None,
) -> None:
    now, boot_id = _clocks(services)
    ended_ms, duration_ms = when_ended(counted, now, boot_id, finished_ms)
    ended = replace(
        run,
        ended_ms=ended_ms,
        duration_ms=duration_ms,
        exit_code=end.exit_code,
        failure=end.failure,
        cause=end.cause,
    )
    try:
        with _ledger(services) as ledger:
            known = ledger.run(run.key)
            if known is None:
                ledger.put_run(ended)
                ledger.add_event(_gap(ended))
            else:
                ended = ledger.change_run(run.key, **_lacking(known, ended))
            _settle(ledger, ended)
    except _UNUSABLE as error:
        if counted.written:
            services.warn(f"the end of this run is not in the ledger: {error.message}")


def when_ended(
    counted: Counted, now: Moment, boot_id: str, finished_ms: int | None
) -> tuple[int, int]:
    """Return when something ended, and how long it had lasted, in milliseconds.

    The clock may have been set meanwhile: the duration is by the one that nobody sets, unless the
    machine was started anew.
    """
    late_ms = max(now.wall_ms - finished_ms, 0) if finished_ms is not None else 0
    ended_ms = now.wall_ms - late_ms
    if boot_id == counted.boot_id:
        return ended_ms, max(now.boot_ms - late_ms - counted.boot_ms, 0)
    return ended_ms, max(ended_ms - counted.started_ms, 0)


def _lacking(known: UsageRun, ended: UsageRun) -> dict[str, object]:
    """Return the fields of an end that the ledger does not have yet.

    Where it has an end that nobody saw, it has none.
    """
    fields = {name: getattr(ended, name) for name in _OF_THE_END}
    if known.exit_code is None:
        return fields
    return {name: value for name, value in fields.items() if getattr(known, name) is None}


def _settle(ledger: Ledger, run: UsageRun) -> None:
    """Let each GPU of a run be its own for as long as it lasted; the sampler knows more of it."""
    from snapenv.usage.sampling import settle

    known = ledger.run_gpus_of(run.key)
    for row in settle(run, known):
        if row not in known:
            ledger.put_run_gpu(row)


def _gap(run: UsageRun) -> UsageEvent:
    return UsageEvent(
        id=str(uuid.uuid4()),
        key=run.key,
        at_ms=run.started_ms,
        kind="gap",
        value=run.duration_ms,
        text="the ledger could not be written when it began",
    )


def _end_of(error: BaseException) -> RunEnd:
    if isinstance(error, SnapenvError):
        return RunEnd(
            exit_code=error.exit_code,
            finished="",
            failure=error.slug,
            cause=" ".join(without_secrets((error.message,))),
        )
    interrupted = isinstance(error, KeyboardInterrupt)
    return RunEnd(
        exit_code=_INTERRUPTED if interrupted else SnapenvError.exit_code,
        finished="",
        failure="stopped" if interrupted else SnapenvError.slug,
    )


def _run_of(record: RunRecord, counted: Counted, services: Services) -> UsageRun:
    """Return what the ledger keeps of a run's record."""
    launch = record.launch
    run = UsageRun(
        key="",
        run=record.run,
        kind=record.kind,
        user=record.user or launch.labels.get(USER_LABEL, ""),
        project=launch.labels.get(PROJECT_LABEL),
        purpose=launch.labels.get(PURPOSE_LABEL),
        model=launch.labels.get(MODEL_LABEL),
        command=without_secrets(launch.argv, dict(launch.set_variables)),
        tag=record.tag,
        image=record.image,
        snapshot=record.snapshot,
        host="",
        gpus=tuple(UsedGpu(uuid=each, model="") for each in launch.gpu_uuids),
        gpus_asked=launch.gpus,
        cpus=launch.cpus,
        memory_bytes=launch.memory_bytes,
        shm_bytes=launch.shm_bytes,
        max_cost=record.limits.max_cost,
        max_duration_ms=record.limits.max_duration_ms,
        started_ms=0,
        resumed_from=record.resumed_from,
    )
    return _stamped(run, counted, services)


def _stamped(run: UsageRun, counted: Counted, services: Services) -> UsageRun:
    names = {gpu.uuid: gpu.name for gpu in services.gpus()} if run.gpus else {}
    return replace(
        run,
        key=counted.key,
        host=os.uname().nodename,
        gpus=tuple(replace(each, model=names.get(each.uuid) or _UNKNOWN) for each in run.gpus),
        started_ms=counted.started_ms,
    )


def _new_counted(services: Services) -> Counted:
    now, boot_id = _clocks(services)
    return Counted(
        key=str(uuid.uuid4()), started_ms=now.wall_ms, boot_ms=now.boot_ms, boot_id=boot_id
    )


def _clocks(services: Services) -> tuple[Moment, str]:
    """Return this moment, and the machine's start by its name; without sensors by one clock."""
    if services.sensors:
        return services.sensors.now(), services.sensors.boot_id()
    now_ms = time.time_ns() // 1_000_000
    return Moment(wall_ms=now_ms, boot_ms=now_ms), ""


@contextlib.contextmanager
def _ledger(services: Services) -> Iterator[Ledger]:
    from snapenv.usage.ledger import ledger_path, open_ledger

    assert services.state  # noqa: S101 - as nothing is counted without
    with open_ledger(ledger_path(services.state, os.environ)) as ledger:
        yield ledger
