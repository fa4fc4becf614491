"""Find what holds a training back in an environment, from a measurement of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.errors import NotFoundError
from snapenv.model.outcome import Outcome
from snapenv.model.results import DiagnoseResult
from snapenv.report.bench_text import measured_lines
from snapenv.report.findings_text import finding_check, findings_verdict
from snapenv.steps.benching import BenchRequest, bench
from snapenv.steps.kept_benches import keep_bench, kept_benches
from snapenv.steps.snapshots import read_source
from snapenv.steps.source import resolve_source
from snapenv.tuning.findings import find_findings, first_to_try

if TYPE_CHECKING:
    from snapenv.model.bench import Bench
    from snapenv.model.hardware import Hardware
    from snapenv.ports import Services


class Diagnose(BenchRequest, frozen=True, kw_only=True):
    """What a user may ask of a diagnosis."""

    kept: bool = False  # of the bench that was kept last; nothing is measured


def diagnose(request: Diagnose, services: Services) -> Outcome[DiagnoseResult]:
    """Measure, or read what was measured last, and find what holds the training back.

    Raises:
        BenchError: It did not train.
        NotFoundError: There is no such environment or data here, or no bench is kept.
        UsageError: Data is named that a fresh container does not see.
    """
    digest, made, hardware = _read(request, services) if request.kept else _run(request, services)
    findings = find_findings(made, hardware)
    first = first_to_try(findings)
    return Outcome(
        command="diagnose",
        result=DiagnoseResult(
            snapshot=digest, findings=findings, next=first.id if first else None, bench=made
        ),
        checks=tuple(map(finding_check, findings)),
        lines=measured_lines(made),
        verdict=findings_verdict(findings, first),
    )


def _run(request: Diagnose, services: Services) -> tuple[str, Bench, Hardware | None]:
    done = bench(request, services)
    keep_bench(services.state, done.snapshot.digest, done.bench)
    return done.snapshot.digest, done.bench, done.hardware


def _read(request: Diagnose, services: Services) -> tuple[str, Bench, Hardware | None]:
    """Return the last bench that is kept; of its machine no more is known."""
    source = resolve_source(request.ref, repository=request.repository, services=services)
    digest = read_source(source, services).digest
    benches = kept_benches(services.state, digest)
    if not benches:
        raise NotFoundError(
            f"no bench of {request.ref} is kept here", hint="Leave out --kept to measure."
        )
    return digest, benches[-1], None
