"""Find out whether this machine can run an environment, or what it can run; nothing is pulled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv.docker_login import LoginError
from snapenv.errors import RegistryError, SnapenvError
from snapenv.model.image import ImageRef
from snapenv.model.outcome import Outcome
from snapenv.model.results import DoctorResult
from snapenv.model.snapshot import SNAPSHOT_LABEL
from snapenv.nvidia.catalogue import load_catalogue
from snapenv.preflight.machine import THIS_MACHINE, describe_machine
from snapenv.preflight.needs import for_device
from snapenv.preflight.needs_of import (
    RunOptions,
    ask_for,
    find_local,
    needs_of_archive,
    needs_of_local,
    needs_of_remote,
    needs_of_snapshot,
    needs_of_unread,
)
from snapenv.sizes import counted, size
from snapenv.steps.host import inspect_host, judge_host
from snapenv.steps.snapshots import read_archive, read_folder, read_image
from snapenv.steps.source import (
    Archive,
    LocalImage,
    RegistryImage,
    SnapshotFolder,
    resolve_source,
)
from snapenv.steps.unpack import unpacked
from snapenv.verify.verdict import judge

if TYPE_CHECKING:
    from snapenv.model.host import Host, Needs
    from snapenv.ports import Services
    from snapenv.steps.source import Source


class Doctor(RunOptions, frozen=True, kw_only=True):
    """What a user may ask of a look at this machine."""

    ref: str | None = None  # a tag, an image reference, an archive, a snapshot folder
    repository: str


def doctor(request: Doctor, services: Services) -> Outcome[DoctorResult]:
    """Look at this machine, and check it against what REF needs, where one is named.

    Raises:
        NotFoundError: REF is nowhere.
        RegistryError: The registry does not answer, or refuses.
    """
    if request.ref is None:
        return _describe(inspect_host(services, engine=not request.venv), request)
    host = inspect_host(services, engine=not request.venv)
    named = resolve_source(request.ref, repository=request.repository, services=services)
    with unpacked(named, services, packages=False) as source:
        needs = needs_of(
            source, services, host=host, options=request, repository=request.repository
        )
    moved = "loaded" if isinstance(source, Archive) else "fetched"
    return _outcome(host, needs, about=str(source), moved=moved)


def needs_of(
    source: Source, services: Services, *, host: Host, options: RunOptions, repository: str
) -> Needs:
    """Return what a source needs of a machine; no layer moves.

    Raises:
        NotFoundError: It is nowhere.
        RegistryError: The registry does not answer, or refuses, and the engine does not reach it.
    """
    match source:
        case SnapshotFolder():
            snapshot = read_folder(source)
            named = ImageRef(repository=repository, tag=snapshot.lock.tag)
            image = None if options.venv else find_local(named, services)
            if image and image.labels.get(SNAPSHOT_LABEL) != snapshot.digest:
                image = None
            return needs_of_snapshot(snapshot, str(source), services, image=image, options=options)
        case Archive(path):
            _, snapshot = read_archive(path, services)
            return needs_of_archive(snapshot, path, services, options=options)
        case LocalImage(ref, image):
            is_ours = SNAPSHOT_LABEL in image.labels
            held = read_image(image, ref, services) if is_ours else None
            return needs_of_local(image, ref, held, options=options)
        case RegistryImage(ref):
            return _needs_of_registry(ref, services, host=host, options=options)


def _needs_of_registry(
    ref: ImageRef, services: Services, *, host: Host, options: RunOptions
) -> Needs:
    try:
        described = ask_for(ref, services, host=host)
    except LoginError:
        raise
    except RegistryError as error:
        try:
            with services.progress.task(f"Asking for {ref} through the engine") as task:
                services.engine.resolve(ref, task)
        except SnapenvError:
            raise error from None
        return needs_of_unread(error, ref, options=options)
    return needs_of_remote(described, ref, services, options=options)


def _describe(host: Host, request: Doctor) -> Outcome[DoctorResult]:
    needs = replace(THIS_MACHINE, builds=not request.venv, venv=request.venv)
    if request.device != "auto":
        needs = for_device(needs, request.device, venv=request.venv)
    report = describe_machine(host, load_catalogue(), needs=needs)
    return Outcome(
        command="doctor",
        result=DoctorResult(ref=None, host=_without_uuids(host), machine=report.machine),
        checks=report.checks,
        lines=report.lines,
        verdict=judge(
            report.checks,
            passed="this machine is ready for snapenv",
            failed="this machine is not ready for snapenv",
        ),
    )


def _outcome(host: Host, needs: Needs, *, about: str, moved: str) -> Outcome[DoctorResult]:
    checks = judge_host(host, needs)
    warnings = sum(not check.ok for check in checks)
    passed = f"{about} runs here" + (f", with {counted(warnings, 'warning')}" if warnings else "")
    if needs.unread:
        passed = f"no problem was found for {about}, whose requirements could not be read"
    return Outcome(
        command="doctor",
        result=DoctorResult(ref=about, host=_without_uuids(host), needs=needs),
        checks=checks,
        lines=_lines(needs, moved),
        verdict=judge(checks, passed=passed, failed=f"{about} does not run here"),
    )


def _without_uuids(host: Host) -> Host:
    """Leave out what names the very GPUs of a machine: answers are shown to others."""
    states = (replace(state, uuid=None, mig_uuids=()) for state in host.gpu_states)
    return replace(host, gpu_states=tuple(states))


def _lines(needs: Needs, moved: str) -> tuple[str, ...]:
    """Say how much is to be fetched or loaded, where that is known."""
    if needs.local:
        return ("nothing to download",)
    packed = sum(layer.size_bytes for layer in needs.missing)
    return (f"{size(packed)} of layers are to be {moved}",) if packed else ()
