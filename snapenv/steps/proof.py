"""Prove what a restore has made or what is here already, and answer."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from snapenv.model.exports import ExportFormat
from snapenv.model.outcome import Outcome
from snapenv.model.results import LastVerdict, Report, Row
from snapenv.report.html import write_report
from snapenv.steps.prove import Proved, prove
from snapenv.steps.proved_venv import ProvedVenv, keep_proved_venv
from snapenv.steps.source import SnapshotFolder
from snapenv.steps.verdicts import keep_verdict
from snapenv.verify.differences import differences, sections

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from snapenv.model.facts import Facts
    from snapenv.model.hardware import Hardware
    from snapenv.model.results import Attached, ProofResult
    from snapenv.model.snapshot import Snapshot
    from snapenv.ports import Services
    from snapenv.steps.runnable import Runnable
    from snapenv.steps.source import Source

EngineName = Literal["docker", "venv"]


class ProofRequest(Struct, frozen=True, kw_only=True):
    """What a user may ask of a proof, after a restore or of what is here already."""

    ref: str  # a snapshot folder, an archive, a tag of the convention, or an image reference
    engine: EngineName = "docker"
    into: Path = Path(".venv")
    repository: str
    device: str = "auto"  # "cpu", "all", GPU numbers such as "0,1", or UUIDs
    smoke: bool | None = None
    rehash: bool = False  # read every file of an image again that has not changed
    report: Path | None = None
    exports: tuple[ExportFormat, ...] = ()  # formats to export a model to, and to compare


def proof_outcome(  # noqa: PLR0913 - all but four by name
    request: ProofRequest,
    source: Source,
    snapshot: Snapshot,
    runnable: Runnable,
    *,
    command: Literal["restore", "verify"],
    services: Services,
    attest: Callable[[Proved, str], Attached] | None = None,
) -> Outcome[ProofResult]:
    """Prove that a runnable is the environment of a snapshot, and answer.

    ``attest`` is told of the proof and its time (RFC 3339), and attaches it somewhere.
    """
    is_folder = isinstance(source, SnapshotFolder)
    proved = prove(
        runnable,
        snapshot.lock,
        smoke=request.smoke,
        services=services,
        existed=command == "verify",
        rehash=request.rehash,
        exports=request.exports,
        diff=f"snapenv diff {source} {runnable.name}" if is_folder else None,
    )
    actual = proved.fingerprint
    outcome = Outcome(
        command=command,
        result=replace(
            runnable.result,
            tag=snapshot.lock.tag,
            snapshot=snapshot.digest,
            tier=proved.tier,
            losses=actual.values if actual else None,
            speed=actual.speed if actual else None,
            exports=proved.exports or None,
        ),
        checks=(*runnable.checked, *proved.checks),
        lines=(*proved.notes, *proved.energy),
        warnings=services.warnings(),
        verdict=proved.verdict,
    )
    now = datetime.now(timezone.utc)
    at = now.isoformat(timespec="seconds")
    if attest:
        attached = attest(proved, at)
        outcome = replace(outcome, result=replace(outcome.result, attached=attached))
    _keep(snapshot, runnable, proved, at, services)
    if request.report:
        where = f"{request.engine}, {runnable.name}"
        report = _report(snapshot, proved, outcome, restored_in=where, now=now)
        write_report(request.report, report, services.secrets())
    return outcome


def _keep(
    snapshot: Snapshot, runnable: Runnable, proved: Proved, at: str, services: Services
) -> None:
    """Remember the verdict for the snapshot, and for a venv that passed, what it is."""
    verdict = LastVerdict(ok=proved.verdict.ok, tier=proved.tier, at=at)
    keep_verdict(services.state, snapshot.digest, verdict)
    if runnable.result.path and proved.verdict.ok:
        venv = ProvedVenv(tag=snapshot.lock.tag, snapshot=snapshot.digest)
        keep_proved_venv(Path(runnable.result.path).absolute(), venv, services)


def _report(
    snapshot: Snapshot,
    proved: Proved,
    outcome: Outcome[ProofResult],
    *,
    restored_in: str,
    now: datetime,
) -> Report:
    """Put together what a proof has found; ``restored_in`` is where that was."""
    facts = snapshot.lock.facts
    return Report(
        title=snapshot.lock.tag,
        verdict=proved.verdict,
        tier=proved.tier,
        snapshot=snapshot.digest,
        image=outcome.result.image,
        image_digest=outcome.result.digest,
        captured_at=snapshot.captured_at,
        restored_at=now.astimezone(timezone.utc).isoformat(timespec="seconds"),
        restored_in=restored_in,
        expected=proved.baseline,
        actual=proved.fingerprint,
        limits=proved.limits,
        checks=outcome.checks,
        warnings=outcome.warnings,
        differences=tuple(
            section for section in sections(differences(facts, proved.facts)) if section.differences
        ),
        machines=tuple(_machines(facts, proved.facts)),
        energy=proved.energy,
        exports=proved.exports,
    )


def _machines(captured: Facts, current: Facts) -> Iterator[Row]:
    expected, actual = dict(_machine(captured.hardware)), dict(_machine(current.hardware))
    for label in dict.fromkeys((*expected, *actual)):
        yield Row(label=label, expected=expected.get(label), actual=actual.get(label))


def _machine(hardware: Hardware) -> Iterator[tuple[str, str]]:
    """Yield what people ask of a machine first, by its name."""
    system, driver = hardware.system, hardware.driver
    for number, gpu in hardware.numbered_gpus:
        memory = f", {gpu.memory_mib / 1024:.0f} GiB" if gpu.memory_mib else ""
        yield f"GPU {number}", gpu.name + memory
    for fault in hardware.gpu_faults:
        yield f"GPU {fault.number}", f"does not answer: {fault.error}"
    if driver:
        cuda = f", CUDA {driver.cuda[0]}.{driver.cuda[1]}" if driver.cuda else ""
        yield "driver", driver.version + cuda
    if hardware.driver_fault:
        yield "driver", f"does not answer: {hardware.driver_fault.error}"
    yield "processor", f"{system.cpu_count} x {system.cpu or system.machine}"
    yield "system", system.os
    if system.shm_bytes:
        yield "shared memory", f"{system.shm_bytes / 2**20:.0f} MiB"
