"""Prove that what is here already is what was captured; nothing is fetched and nothing is made."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import asdict, replace

from snapenv.errors import UsageError
from snapenv.launch.records import new_run_id, now
from snapenv.model.launch import RunEnd
from snapenv.model.snapshot import IMAGE_PYTHON
from snapenv.model.usage import DeclaredOptions, UsageRun, UsedGpu
from snapenv.report.html import check_place
from snapenv.steps.attesting import (
    attach_proof,
    read_signer,
    registry_name,
    verification_of,
)
from snapenv.steps.declaring import counted_user, declared_in, login_name
from snapenv.steps.host import inspect_host
from snapenv.steps.proof import ProofRequest, proof_outcome
from snapenv.steps.recording import using
from snapenv.steps.restored import find_local_image, read_local, venv_python
from snapenv.steps.runnable import in_container, in_image, in_venv
from snapenv.steps.source import resolve_source
from snapenv.steps.unpack import unpacked

if TYPE_CHECKING:
    from collections.abc import Callable

    from snapenv.model.outcome import Outcome
    from snapenv.model.results import Attached, ProofResult
    from snapenv.model.snapshot import Snapshot
    from snapenv.ports import Services
    from snapenv.steps.prove import Proved
    from snapenv.steps.runnable import Runnable
    from snapenv.steps.source import LocalImage, Source


class Verify(ProofRequest, frozen=True, kw_only=True):
    """What a user may ask of a proof of what is here."""

    container: str | None = None  # a running one, in the place of a fresh one of the image
    declared: DeclaredOptions = DeclaredOptions()
    attest: bool = False  # attach what came of it to the image in its registry
    sign_key: Path | None = None
    sign: bool = False  # with the identity of this machine


def verify(request: Verify, services: Services) -> Outcome[ProofResult]:
    """Compare a local image, a running container, or a venv, with a snapshot, and train in it.

    Raises:
        EnvironmentMissingError: No such container is running.
        KeyFileError: The key cannot be used; nothing was done.
        SigstoreError: There is no identity to sign with, in which case nothing was done; or
            Sigstore does not sign, in which case nothing is attached.
        NotFoundError: There is no such image, or no such venv, here; or --attest is asked for, and
            the image was never pushed.
        UsageError: No project is named, and one is required; or --attest is asked for, and there
            is no image.
        WriteError: The report cannot be written where it is wanted; nothing was done.
    """
    check_place(request.report)
    declared = declared_in(Path.cwd(), request.declared)
    request = replace(request, declared=DeclaredOptions(**asdict(declared)))
    if request.attest and (request.engine == "venv" or request.container):
        raise UsageError(
            "--attest is for an image, which others can pull",
            hint="Leave out --engine venv and --container.",
        )
    source = resolve_source(request.ref, repository=request.repository, services=services)
    if request.engine == "docker":
        return _verify(request, source, services)
    with unpacked(source, services, packages=False) as opened:
        return _verify(request, opened, services)


def _verify(request: Verify, source: Source, services: Services) -> Outcome[ProofResult]:
    snapshot = read_local(source, services)
    attest = None
    if request.container:
        target = services.engine.container_target(request.container, python=IMAGE_PYTHON)
        runnable = in_container(target, request.container, device=request.device)
    elif request.engine == "venv":
        target = services.local(str(venv_python(request.into)))
        runnable = in_venv(target, into=request.into, device=request.device)
    else:
        local = find_local_image(source, snapshot, request.repository, services)
        if request.attest:
            attest = _attest(local, snapshot, request, services)
        host = partial(inspect_host, services)
        runnable = in_image(local.image, local.ref, request.device, host, services)
    with using(_use(request, snapshot, runnable, services), services) as ended:
        outcome = proof_outcome(
            request, source, snapshot, runnable, command="verify", services=services, attest=attest
        )
        ended(_end(outcome))
    return outcome


def _use(request: Verify, snapshot: Snapshot, runnable: Runnable, services: Services) -> UsageRun:
    """Return what the ledger is told of a proof; a container's GPUs are those of its own run."""
    declared = request.declared
    uuids = () if request.container else _uuids(request.device, services)
    return UsageRun(
        key="",
        run=new_run_id(),
        kind="verify",
        user=counted_user(login_name(), Path.cwd(), services),
        project=declared.project,
        purpose=declared.purpose,
        model=declared.model,
        command=("snapenv", "verify", request.ref),
        tag=snapshot.lock.tag,
        image=runnable.result.digest,
        snapshot=snapshot.digest,
        host="",
        gpus=tuple(UsedGpu(uuid=uuid, model="") for uuid in uuids),
        gpus_asked=",".join(uuids) or None,
        started_ms=0,
    )


def _uuids(device: str, services: Services) -> tuple[str, ...]:
    if device == "cpu":
        return ()
    by_number = {str(gpu.number): gpu.uuid for gpu in services.gpus()}
    if device in {"auto", "all"}:
        return tuple(by_number.values())
    return tuple(by_number.get(name, name) for name in device.split(","))


def _end(outcome: Outcome[ProofResult]) -> RunEnd:
    verdict = outcome.verdict
    return RunEnd(
        exit_code=outcome.exit_code,
        finished=now(),
        failure="not-proved" if outcome.exit_code else None,
        cause=verdict.summary if verdict and outcome.exit_code else None,
    )


def _attest(
    local: LocalImage, snapshot: Snapshot, request: Verify, services: Services
) -> Callable[[Proved, str], Attached]:
    """Return what attaches a proof; whatever prevents that is said before anything is proved."""
    signer = read_signer(request.sign_key, keyless=request.sign)
    ref = registry_name(local.ref, local.image)

    def attach(proved: Proved, date: str) -> Attached:
        verification = verification_of(snapshot, proved, date=date)
        return attach_proof(ref, verification, services, signer=signer)

    return attach
