"""Bring an environment back, and prove that it is the one that was captured."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from snapenv.archive.layout import Archived
from snapenv.docker_login import LoginError
from snapenv.errors import EngineError, InstallError, NotFoundError, RegistryError
from snapenv.lock.fetch import stage_private_wheels, temporary_folder
from snapenv.lock.store import read_snapshot
from snapenv.model.hardware import Hardware
from snapenv.model.host import NVIDIA_DEVICE
from snapenv.model.image import Image, ImageRef
from snapenv.model.outcome import Check, Outcome
from snapenv.model.report import Report
from snapenv.model.results.proof import ProofResult
from snapenv.model.snapshot import IMAGE_PYTHON, SNAPSHOT_LABEL, Snapshot
from snapenv.ownership.new_folder import NewFolder, new_folder
from snapenv.ports import Target
from snapenv.probe.host import probe_host
from snapenv.verify.verdict import judge
from snapenv.workflows.archive import Import, bring, read_archive
from snapenv.workflows.build import Build, find_image, make_image
from snapenv.workflows.preflight import (
    Asked,
    ask_for,
    judge_host,
    looking,
    needs_of_archive,
    needs_of_remote,
    needs_of_snapshot,
    needs_of_unread,
)
from snapenv.workflows.prove import Place, prove
from snapenv.workflows.reference import fetch_image, read_image, resolve_ref
from snapenv.workflows.report import check_place, proof_report, write_report
from snapenv.workflows.venv_home import venv_home

if TYPE_CHECKING:
    from collections.abc import Callable

    from snapenv.model.host import Host, HostEngine, Needs
    from snapenv.ports import Outside

EngineName = Literal["docker", "venv"]

_NOT = "{} does not run here"


class Restore(Struct, frozen=True, kw_only=True):
    """What a user may ask of a restore, or of a proof of what is here already."""

    ref: str  # a snapshot folder, an archive, a tag of the convention, or an image reference
    engine: EngineName = "docker"
    into: Path = Path(".venv")
    python: str | None = None  # the path of the Python to make a venv with
    repository: str
    mirror: str | None = None
    device: str = "auto"  # "cpu", "all", GPU numbers such as "0,1", or UUIDs
    smoke: bool | None = None
    preflight: bool = True
    rehash: bool = False  # read every file of an image again that has not changed
    report: Path | None = None

    @property
    def asked(self) -> Asked:
        """What decides what is needed of this machine."""
        return Asked(device=self.device, mirror=self.mirror, venv=self.engine == "venv")

    @property
    def build(self) -> Build:
        """What is asked of a build, where one is needed."""
        return Build(repository=self.repository, mirror=self.mirror)


class Found(Struct, frozen=True, kw_only=True):
    """What a REF is before anything was fetched for it; ``ref`` is its image's name.

    ``snapshot`` is None where it lies in a registry, and ``image`` where it is not here.
    """

    ref: ImageRef
    file: Path | None = None  # an archive
    archived: Archived | None = None
    snapshot: Snapshot | None = None
    image: Image | None = None


class Restored(Struct, frozen=True, kw_only=True):
    """What stands again: how to run in it, and how to name it to people and programs."""

    target: Target
    device: str
    name: str
    result: ProofResult  # as far as it is known before the proof
    usage: str
    image: Image | None = None
    base_python: Path | None = None  # the folder of the Python that a venv was made with
    checked: tuple[Check, ...] = ()  # what the preflight found to be looked out for
    below: Hardware | None = None  # of the machine that a container runs on
    refused: str | None = None  # why its engine handed on no GPU, although it says that it can


def restore(request: Restore, outside: Outside) -> Outcome[ProofResult]:
    """Check this machine, fetch or make the environment, compare it with the lock, train in it.

    What this machine cannot run is a no, and then nothing is fetched.

    Raises:
        NotFoundError: The REF names nothing.
        PlaceBusyError: Another command makes a venv in the same folder.
        PlaceTakenError: That folder exists and is not empty.
        WriteError: The venv or the report cannot be written where it is wanted; nothing was done.
    """
    check_place(request.report)
    ref = resolve_ref(request.ref, repository=request.repository, outside=outside)
    if request.engine == "venv":
        with new_folder(request.into.absolute()) as place:
            return _restore(request, ref, place, outside)
    return _restore(request, ref, None, outside)


def _restore(
    request: Restore, ref: ImageRef | Path, place: NewFolder | None, outside: Outside
) -> Outcome[ProofResult]:
    """Restore into a venv's folder that is held, or, without one, as an image."""
    with looking(outside, engine=request.engine == "docker") as host:
        found = _find(request, ref, outside)
        checks = _preflight(request, found, host, outside) if request.preflight else ()
        if any(check.fails for check in checks):
            return _refused(request, found, checks, outside)
        if place:
            snapshot, restored = _restore_venv(request, found, outside)
            place.whole = True
        else:
            snapshot, image, ref = _bring_image(request, found, outside)
            restored = in_image(image, ref, request.device, host, outside)
    return proved_outcome(request, snapshot, replace(restored, checked=checks), outside)


def _find(request: Restore, ref: ImageRef | Path, outside: Outside) -> Found:
    """See what is named, and whether it is here."""
    if isinstance(ref, Path):
        return (
            _find_archive(ref, request, outside)
            if ref.is_file()
            else _find_folder(ref, request, outside)
        )
    outside.engine.check()
    image = outside.engine.find(str(ref))
    if image is None:
        return Found(ref=ref)
    return Found(ref=ref, snapshot=read_image(image, ref, outside), image=image)


def _find_archive(file: Path, request: Restore, outside: Outside) -> Found:
    archived, snapshot = read_archive(file, outside)
    named = ImageRef(repository=request.repository, tag=snapshot.lock.tag)
    return Found(ref=named, file=file, archived=archived, snapshot=snapshot)


def _find_folder(folder: Path, request: Restore, outside: Outside) -> Found:
    snapshot = read_snapshot(folder)
    named = ImageRef(repository=request.repository, tag=snapshot.lock.tag)
    if request.engine == "venv":
        return Found(ref=named, snapshot=snapshot)
    outside.engine.check()
    image = find_image(snapshot, named, request.build, outside)
    return Found(ref=named, snapshot=snapshot, image=image)


def _preflight(
    request: Restore, found: Found, host: Callable[[], Host], outside: Outside
) -> tuple[Check, ...]:
    """Check this machine; give what is to be looked out for, and what is in the way."""
    needs = _needs(request, found, host, outside)
    return tuple(check for check in judge_host(host(), needs) if not check.ok)


def _needs(request: Restore, found: Found, host: Callable[[], Host], outside: Outside) -> Needs:
    """Tell what is needed; the registry may answer the engine alone, which is to pull anyway."""
    if found.snapshot and found.file:
        return needs_of_archive(found.snapshot, found.file, outside, asked=request.asked)
    if found.snapshot:
        return needs_of_snapshot(
            found.snapshot, request.ref, outside, image=found.image, asked=request.asked
        )
    try:
        there = ask_for(found.ref, outside, host=host())
    except LoginError:
        raise
    except RegistryError as error:
        return needs_of_unread(error, found.ref, asked=request.asked)
    if SNAPSHOT_LABEL not in there.labels:
        raise NotFoundError(
            f"{found.ref} holds no snapshot: it was not built by snapenv",
            hint="Name an image that snapenv build made.",
        )
    return needs_of_remote(there, found.ref, outside, asked=request.asked)


def _restore_venv(request: Restore, found: Found, outside: Outside) -> tuple[Snapshot, Restored]:
    ref = found.ref
    snapshot = found.snapshot or read_image(fetch_image(ref, outside), ref, outside)
    lock = snapshot.lock
    if lock.base.world == "base":
        raise InstallError(
            f"{lock.tag} stands on {lock.base.image}: {lock.base.reasons[0]}",
            hint="No index has these packages. Restore with --engine docker.",
        )
    if snapshot.absent:
        raise InstallError(
            f"{request.ref} carries {snapshot.absent[0]}, "
            "which its image was built with and does not hold",
            hint="Restore from the snapshot folder, or with --engine docker.",
        )
    with temporary_folder(outside) as fetched:
        staged = stage_private_wheels(snapshot, fetched, outside)
        with outside.progress.task(f"Making {request.into}") as task:
            target = outside.venvs.create(
                {**snapshot.files, **staged.files},
                python=request.python or lock.environment.interpreter.request,
                into=request.into,
                task=task,
            )
    return snapshot, in_venv(request, target)


def _bring_image(
    request: Restore, found: Found, outside: Outside
) -> tuple[Snapshot, Image, ImageRef]:
    """Make what was found an image that is here."""
    ref, snapshot, image = found.ref, found.snapshot, found.image
    if found.file and found.archived:
        wanted = Import(file=found.file, repository=request.repository, mirror=request.mirror)
        image, ref = bring(wanted, found.archived, outside)
        return read_image(image, ref, outside), image, ref
    if snapshot:
        return snapshot, image or make_image(snapshot, ref, request.build, outside), ref
    image = fetch_image(ref, outside)
    return read_image(image, ref, outside), image, ref


def in_image(
    image: Image, ref: ImageRef, device: str, host: Callable[[], Host], outside: Outside
) -> Restored:
    """Give an image to run in, with the GPUs that are asked for; ``auto`` is all, if there are."""
    found = _find_gpus(image, host(), outside) if device == "auto" else Gpus()
    gpus = found.named if device == "auto" else None if device == "cpu" else device
    return Restored(
        target=outside.engine.image_target(image, python=IMAGE_PYTHON, gpus=gpus),
        device=device if device in {"auto", "cpu"} else "all",
        name=str(ref),
        image=image,
        result=ProofResult(image=str(ref), digest=image.digest_in(ref.repository) or image.id),
        usage=f"docker run --rm -it {_words(gpus, host().engine) if gpus else ''}{ref}",
        below=found.below,
        refused=found.refused,
    )


def _words(gpus: str, engine: HostEngine | None) -> str:
    """Give the words that hand GPUs on, in the way that the engine has.

    Source: https://docs.docker.com/reference/cli/docker/container/run/#gpus
    """
    if engine and engine.injects == "cdi":
        asked = " ".join(f"--device {NVIDIA_DEVICE}{name}" for name in gpus.split(","))
    else:
        asked = "--gpus all" if gpus == "all" else f"--gpus '\"device={gpus}\"'"
    return f"{asked} --shm-size 1g "


class Gpus(Struct, frozen=True, kw_only=True):
    """What GPUs a container is given where that is left to us; ``named`` is None for none."""

    named: str | None = None
    below: Hardware | None = None  # of the engine's machine, where that is this one
    refused: str | None = None


def _find_gpus(image: Image, host: Host, outside: Outside) -> Gpus:
    """Find out whether the engine has GPUs: where they cannot be seen from here, ask it for them.

    That is so of an engine elsewhere, and where snapenv itself runs in a container beside it.
    """
    engine = host.engine
    below = host.hardware if engine is None or engine.here else None
    if below and below.gpus:
        return Gpus(named="all", below=below)
    if engine is None or (engine.here and engine.injects is None):
        return Gpus(below=below)
    target = outside.engine.image_target(image, python=IMAGE_PYTHON, gpus="all")
    try:
        shown = probe_host(target).hardware.gpus
    except EngineError as error:
        return Gpus(below=below, refused=error.message if engine.injects else None)
    return Gpus(named="all" if shown else None, below=below)


def in_venv(request: Restore, target: Target) -> Restored:
    """Give a venv to run in."""
    return Restored(
        target=target,
        device=request.device,
        name=str(request.into),
        result=ProofResult(path=str(request.into)),
        usage=f"{request.into}/bin/python",
        base_python=venv_home(request.into),
    )


def proved_outcome(
    request: Restore,
    snapshot: Snapshot,
    restored: Restored,
    outside: Outside,
    *,
    command: str = "restore",
) -> Outcome[ProofResult]:
    """Prove that an environment is the one of a snapshot, and answer."""
    is_folder = Path(request.ref).expanduser().is_dir()
    place = Place(
        name=restored.name,
        diff=f"snapenv diff {request.ref} {restored.name}" if is_folder else None,
        stood=command == "verify",
        checked=restored.checked,
        image=restored.image,
        rehash=request.rehash,
        below=restored.below,
        refused=restored.refused,
        base_python=restored.base_python,
    )
    proved = prove(
        restored.target,
        snapshot.lock,
        smoke=request.smoke,
        device=restored.device,
        outside=outside,
        place=place,
    )
    seen = proved.fingerprint
    usage = (f"use it: {restored.usage}",) if proved.verdict.ok else ()
    outcome = Outcome(
        command=command,
        result=replace(
            restored.result,
            tag=snapshot.lock.tag,
            snapshot=snapshot.digest,
            tier=proved.tier,
            losses=seen.values if seen else None,
            speed=seen.speed if seen else None,
        ),
        checks=(*restored.checked, *proved.checks),
        lines=(*proved.notes, *proved.energy, *usage),
        warnings=outside.warnings(),
        verdict=proved.verdict,
    )
    if request.report:
        where, now = f"{request.engine}, {restored.name}", datetime.now(timezone.utc)
        report = proof_report(snapshot, proved, outcome, place=where, now=now)
        write_report(request.report, report, outside)
    return outcome


def _refused(
    request: Restore, found: Found, checks: tuple[Check, ...], outside: Outside
) -> Outcome[ProofResult]:
    """Answer that this machine cannot run it; nothing was fetched."""
    snapshot, verdict = found.snapshot, judge(checks, passed="", failed=_NOT.format(request.ref))
    outcome = Outcome(
        command="restore",
        result=ProofResult(
            tag=snapshot.lock.tag if snapshot else None,
            snapshot=snapshot.digest if snapshot else None,
        ),
        checks=checks,
        lines=(
            "nothing was fetched; snapenv doctor says more, --no-preflight goes on all the same",
        ),
        verdict=verdict,
    )
    if request.report:
        title = snapshot.lock.tag if snapshot else request.ref
        write_report(request.report, Report(title=title, verdict=verdict, checks=checks), outside)
    return outcome
