"""List the caller's runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.errors import EngineError, EngineMissingError
from snapenv.launch.records import list_records, read_end
from snapenv.model.outcome import Outcome
from snapenv.model.results import ListedRun, PsResult
from snapenv.report.listing import run_lines
from snapenv.steps.launching import end_unseen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.model.launch import RunRecord, RunState
    from snapenv.ports import Services


def list_runs(services: Services, *, ended: bool) -> Outcome[PsResult]:
    """List the runs that go on, and with ``ended`` all that there is a record of.

    An engine that does not answer now is no failure: a warning says so.
    """
    records = list_records(services.state) if services.state else ()
    states, warnings = _states(records, services)
    rows = (_row(record, states.get(record.run), services) for record in records)
    result = PsResult(runs=tuple(row for row in rows if ended or row.status != "exited"))
    return Outcome(command="ps", result=result, lines=tuple(run_lines(result)), warnings=warnings)


def _states(
    records: tuple[RunRecord, ...], services: Services
) -> tuple[Mapping[str, RunState], tuple[str, ...]]:
    states = {run.run: run for run in services.processes.list_runs()}
    if all(record.engine is None for record in records):
        return states, ()
    try:
        return {**states, **{run.run: run for run in services.containers.list_runs()}}, ()
    except (EngineMissingError, EngineError) as error:
        return states, (f"{error.message}: runs in containers are shown as they were last seen",)


def _row(record: RunRecord, state: RunState | None, services: Services) -> ListedRun:
    end = read_end(services.state, record.run) if services.state else None
    if end is None and state and state.status == "exited" and record.kind != "up":
        runs = services.containers if record.engine else services.processes
        end = end_unseen(record, runs, state, services)
    code = state.exit_code if state else None
    return ListedRun(
        run=record.run,
        kind=record.kind,
        status=state.status if state else "exited",
        ref=record.ref,
        command=record.launch.argv,
        created=record.created,
        exit_code=end.exit_code if end and code is None else code,
        results=record.results,
        container=state.container if state else None,
        ports=state.ports if state else (),
        gpu_uuids=record.launch.gpu_uuids,
        cause=end.cause if end else None,
    )
