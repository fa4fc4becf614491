"""Prove what a restore has made or what is here already, and answer."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from snapenv.model.outcome import Outcome
from snapenv.steps.prove import Subject, prove
from snapenv.steps.report import proof_report, write_report
from snapenv.steps.source import SnapshotFolder

if TYPE_CHECKING:
    from snapenv.model.results.proof import ProofResult
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


def proof_outcome(  # noqa: PLR0913 - all but four by name
    request: ProofRequest,
    source: Source,
    snapshot: Snapshot,
    runnable: Runnable,
    *,
    command: Literal["restore", "verify"],
    services: Services,
) -> Outcome[ProofResult]:
    """Prove that a runnable is the environment of a snapshot, and answer."""
    is_folder = isinstance(source, SnapshotFolder)
    subject = Subject(
        name=runnable.name,
        diff=f"snapenv diff {source} {runnable.name}" if is_folder else None,
        existed=command == "verify",
        checked=runnable.checked,
        image=runnable.image,
        rehash=request.rehash,
        below=runnable.below,
        refused=runnable.refused,
        base_python=runnable.base_python,
    )
    proved = prove(
        runnable.target,
        snapshot.lock,
        smoke=request.smoke,
        device=runnable.device,
        services=services,
        subject=subject,
    )
    actual = proved.fingerprint
    usage = (f"use it: {runnable.usage}",) if proved.verdict.ok else ()
    outcome = Outcome(
        command=command,
        result=replace(
            runnable.result,
            tag=snapshot.lock.tag,
            snapshot=snapshot.digest,
            tier=proved.tier,
            losses=actual.values if actual else None,
            speed=actual.speed if actual else None,
        ),
        checks=(*runnable.checked, *proved.checks),
        lines=(*proved.notes, *proved.energy, *usage),
        warnings=services.warnings(),
        verdict=proved.verdict,
    )
    if request.report:
        where, now = f"{request.engine}, {runnable.name}", datetime.now(timezone.utc)
        report = proof_report(snapshot, proved, outcome, restored_in=where, now=now)
        write_report(request.report, report, services)
    return outcome
