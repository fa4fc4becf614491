"""Read the runs that other schedulers ran into the ledger."""

from __future__ import annotations

import os
import sys
from collections import Counter
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from snapenv.errors import InterpreterError, UsageError, UsageSourceError
from snapenv.model.outcome import Outcome
from snapenv.model.results import UsageImportResult
from snapenv.sizes import counted
from snapenv.usage.imported import ImportedRun, find_news
from snapenv.usage.ledger import ledger_path, open_ledger
from snapenv.usage.prometheus import Prometheus
from snapenv.usage.prometheus_runs import Counted, joined, observed, runs_of_piece
from snapenv.usage.slurm_jobs import VARIABLES, parse_jobs, runs_of_jobs, sacct_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snapenv.ports import Services
    from snapenv.usage.ledger import Ledger

Written = Literal["added", "updated", "known"]

_NO_SACCT = "Run it where Slurm's sacct is, on a cluster that keeps accounts (slurmdbd)."


class UsageImport(Struct, frozen=True, kw_only=True):
    """What a user may ask of an import."""

    slurm: bool
    prometheus: str | None  # the server's address
    since_ms: int
    until_ms: int
    cluster: str | None = None  # None: as Slurm calls itself, or the host of Prometheus


def usage_import(request: UsageImport, services: Services) -> Outcome[UsageImportResult]:
    """Read the runs of a time, and write those of which something is new.

    Raises:
        LedgerError: The ledger is damaged.
        UsageError: Nothing is named to read from.
        UsageSourceError: Slurm or Prometheus does not answer, or in an unknown form.
        WriteError: The ledger cannot be written.
    """
    if not request.slurm and request.prometheus is None:
        raise UsageError("import from where?", hint="Name --slurm, --prometheus URL, or both.")
    if services.state is None:
        raise UsageError("there is no folder for the ledger", hint="Set HOME.")
    jobs = _ask_slurm(request, services) if request.slurm else ()
    with open_ledger(ledger_path(services.state, os.environ)) as ledger:
        seen = _ask_prometheus(request, ledger, services) if request.prometheus else ()
        by_job = {one.run.run: one for one in seen if one.scheduler == "hpc"}
        runs = tuple(observed(job, by_job.get(job.run.run), request.since_ms) for job in jobs)
        others = (one for one in seen if not (request.slurm and one.scheduler == "hpc"))
        written = [
            *(_write_job(run, ledger) for run in runs),
            *(_write_seen(run, ledger) for run in others),
        ]
    return _outcome(request, written)


def _ask_slurm(request: UsageImport, services: Services) -> tuple[ImportedRun, ...]:
    words = sacct_words(request.since_ms, request.until_ms)
    try:
        done = services.local(sys.executable).run(words, environment=VARIABLES)
    except InterpreterError as error:
        raise UsageSourceError("there is no sacct on PATH", hint=_NO_SACCT) from error
    if done.exit_code != 0:
        told = " ".join(done.stderr.split())
        raise UsageSourceError(f"sacct failed: {told or done.exit_code}", hint=_NO_SACCT)
    return runs_of_jobs(parse_jobs(done.stdout, cluster=request.cluster))


def _ask_prometheus(
    request: UsageImport, ledger: Ledger, services: Services
) -> tuple[ImportedRun, ...]:
    server = Prometheus(str(request.prometheus))
    counted = {
        run.key: Counted(started_ms=run.started_ms, ended_ms=run.ended_ms or 0)
        for run in ledger.runs(0, request.until_ms)
        if run.source == "prometheus"
    }
    cluster = request.cluster or server.name
    parts = dict[str, list[ImportedRun]]()
    with services.progress.task(f"Asking {server.host}"):
        for piece in server.pieces(request.since_ms, request.until_ms):
            for run in runs_of_piece(piece, cluster, counted=counted):
                parts.setdefault(run.run.key, []).append(run)
    return tuple(map(joined, parts.values()))


def _write_job(job: ImportedRun, ledger: Ledger) -> Written:
    """Write a job; what its GPUs did is written once, when it has ended."""
    known = ledger.run(job.run.key)
    run = find_news(job.run, known)
    rows = () if ledger.run_gpus_of(job.run.key) else job.gpus
    if run is None and not rows:
        return "known"
    ledger.put_counted(run or job.run, rows)
    return "updated" if known else "added"


def _write_seen(seen: ImportedRun, ledger: Ledger) -> Written:
    """Write what Prometheus has seen of a run since it was counted before."""
    known = ledger.run(seen.run.key)
    own = ledger.find_run(seen.run.run)
    if (known and known.source != "prometheus") or (own and own.source == "snapenv"):
        return "known"
    if known is None:
        ledger.put_counted(seen.run, seen.gpus)
        return "added"
    whole = joined((ImportedRun(run=known, gpus=ledger.run_gpus_of(known.key)), seen))
    ledger.put_counted(replace(whole.run, rev=known.rev + 1), whole.gpus)
    return "updated"


def _outcome(request: UsageImport, written: Sequence[Written]) -> Outcome[UsageImportResult]:
    numbers = Counter(written)
    result = UsageImportResult(
        since_ms=request.since_ms,
        until_ms=request.until_ms,
        added=numbers["added"],
        updated=numbers["updated"],
        known=numbers["known"],
    )
    line = (
        f"{counted(result.added, 'run')} added, {result.updated} updated, "
        f"{result.known} known already"
    )
    return Outcome(command="usage import", result=result, lines=(line,))
