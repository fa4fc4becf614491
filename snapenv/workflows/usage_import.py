"""Read the runs that other schedulers ran into the ledger."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from snapenv.errors import InterpreterError, UsageError, UsageSourceError
from snapenv.model.outcome import Outcome
from snapenv.model.results import UsageImportResult
from snapenv.sizes import counted
from snapenv.steps.declaring import counted_user
from snapenv.usage.imported import ImportedRun, find_news
from snapenv.usage.ledger import ledger_path, open_ledger
from snapenv.usage.prometheus import Prometheus
from snapenv.usage.prometheus_runs import Counted, joined, observed, runs_of_piece
from snapenv.usage.slurm_jobs import (
    NOTED_FOLDER,
    VARIABLES,
    not_in_accounts,
    parse_jobs,
    runs_of_jobs,
    sacct_words,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snapenv.ports import Services
    from snapenv.usage.ledger import Ledger
    from snapenv.usage.slurm_jobs import SlurmJob

Written = Literal["added", "updated", "known"]

_NO_SACCT = "Run it where Slurm's sacct is, on a cluster that keeps accounts (slurmdbd)."


class UsageImport(Struct, frozen=True, kw_only=True):
    """What a user may ask of an import."""

    slurm: bool
    prometheus: str | None  # the server's address
    since_ms: int
    until_ms: int
    cluster: str | None = None  # None: as Slurm calls itself, or the host of Prometheus


class Jobs(Struct, frozen=True, kw_only=True):
    """The jobs of Slurm, and what is to be said of where they are from."""

    runs: tuple[ImportedRun, ...] = ()
    warnings: tuple[str, ...] = ()


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
    state = services.state
    jobs = _ask_slurm(request, state, services) if request.slurm else Jobs()
    with open_ledger(ledger_path(state, os.environ)) as ledger:
        measured = _ask_prometheus(request, ledger, services) if request.prometheus else ()
        by_job = {each.run.run: each for each in measured if each.scheduler == "hpc"}
        runs = tuple(observed(job, by_job.get(job.run.run), request.since_ms) for job in jobs.runs)
        others = (each for each in measured if not (request.slurm and each.scheduler == "hpc"))
        written = [
            *(_write_job(run, ledger) for run in runs),
            *(_write_seen(run, ledger) for run in others),
        ]
    return _outcome(request, written, jobs.warnings)


def _ask_slurm(request: UsageImport, state: Path, services: Services) -> Jobs:
    """Return the jobs that Slurm knows, and those that rendered jobs have noted of themselves."""
    noted = _noted(state / NOTED_FOLDER, request.cluster)
    recent = tuple(
        job
        for job in noted
        if job.started_ms < request.until_ms
        and (job.ended_ms or request.until_ms) > request.since_ms
    )
    warning: tuple[str, ...] = ()
    try:
        jobs = parse_jobs(
            _ask_sacct(request, services), place="the answer of sacct", cluster=request.cluster
        )
    except UsageSourceError as error:
        if not noted:
            raise
        jobs, warning = (), (f"{error.message}: these are the jobs that noted it themselves",)
    runs = runs_of_jobs((*jobs, *not_in_accounts(recent, jobs)))
    names = {
        login: counted_user(login, Path.cwd(), services) for login in {run.run.user for run in runs}
    }
    return Jobs(
        runs=tuple(replace(run, run=replace(run.run, user=names[run.run.user])) for run in runs),
        warnings=warning,
    )


def _ask_sacct(request: UsageImport, services: Services) -> str:
    words = sacct_words(request.since_ms, request.until_ms)
    try:
        done = services.local(sys.executable).run(words, environment=VARIABLES)
    except InterpreterError as error:
        raise UsageSourceError("there is no sacct on PATH", hint=_NO_SACCT) from error
    if done.exit_code != 0:
        stderr = " ".join(done.stderr.split())
        raise UsageSourceError(f"sacct failed: {stderr or done.exit_code}", hint=_NO_SACCT)
    return done.stdout


def _noted(folder: Path, cluster: str | None) -> tuple[SlurmJob, ...]:
    """Return what rendered jobs have noted; a note that is being written has another name."""
    paths = sorted(path for path in folder.glob("*") if path.suffix != ".new")
    try:
        texts = {str(path): path.read_text(encoding="utf-8", errors="replace") for path in paths}
    except OSError as error:
        raise UsageSourceError(
            f"{error.filename} cannot be read: {error.strerror}", hint="See who may read it."
        ) from error
    return tuple(
        job
        for place, text in texts.items()
        for job in parse_jobs(text, place=place, cluster=cluster)
    )


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
    """Write a job until it has ended, and then what its GPUs did.

    Of one that has ended, less may be told later: an earlier start is too long ago.
    """
    known = ledger.run(job.run.key)
    if known and known.source == "slurm" and known.ended_ms is not None:
        return "known"
    run = find_news(job.run, known)
    if run is None:
        return "known"
    ledger.put_counted(run, () if ledger.run_gpus_of(run.key) else job.gpus)
    return "updated" if known else "added"


def _write_seen(measured: ImportedRun, ledger: Ledger) -> Written:
    """Write what Prometheus has seen of a run since it was counted before."""
    known = ledger.run(measured.run.key)
    own = ledger.find_run(measured.run.run)
    if (known and known.source != "prometheus") or (own and own.source == "snapenv"):
        return "known"
    if known is None:
        ledger.put_counted(measured.run, measured.gpus)
        return "added"
    whole = joined((ImportedRun(run=known, gpus=ledger.run_gpus_of(known.key)), measured))
    ledger.put_counted(replace(whole.run, rev=known.rev + 1), whole.gpus)
    return "updated"


def _outcome(
    request: UsageImport, written: Sequence[Written], warnings: tuple[str, ...]
) -> Outcome[UsageImportResult]:
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
    return Outcome(command="usage import", result=result, lines=(line,), warnings=warnings)
