"""Bring an environment back, and prove that it is the one that was captured."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from snapenv.archive.layout import Archived
from snapenv.attest.statement import Verification
from snapenv.docker_login import LoginError
from snapenv.errors import InstallError, NotVerifiedError, RegistryError, UsageError
from snapenv.lock.fetch import stage_private_wheels, temporary_folder
from snapenv.model.attachment import TrustedSigner
from snapenv.model.image import Image, ImageRef
from snapenv.model.outcome import Outcome
from snapenv.model.results import ProofResult, Report
from snapenv.model.snapshot import SNAPSHOT_LABEL, Snapshot
from snapenv.ownership.new_folder import NewFolder, new_folder
from snapenv.preflight.needs_of import (
    RunOptions,
    ask_for,
    needs_of_archive,
    needs_of_remote,
    needs_of_snapshot,
    needs_of_unread,
)
from snapenv.report.html import check_place, write_report
from snapenv.steps.attesting import registry_name, require_verified
from snapenv.steps.build_image import BuildOptions, find_image, make_image
from snapenv.steps.host import inspecting_host, judge_host
from snapenv.steps.load_archive import Loading, load_archive
from snapenv.steps.proof import ProofRequest, proof_outcome
from snapenv.steps.runnable import Runnable, in_image, in_venv
from snapenv.steps.snapshots import (
    fetch_image,
    no_snapshot,
    read_archive,
    read_folder,
    read_image,
)
from snapenv.steps.source import (
    Archive,
    LocalImage,
    RegistryImage,
    SnapshotFolder,
    Source,
    resolve_source,
)
from snapenv.steps.unpack import unpacked
from snapenv.verify.verdict import judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from snapenv.model.host import Host, Needs
    from snapenv.model.outcome import Check
    from snapenv.ports import Services

_NOT = "{} does not run here"


class Restore(ProofRequest, frozen=True, kw_only=True):
    """What a user may ask of a restore."""

    python: str | None = None  # the path of the Python to make a venv with
    mirror: str | None = None
    preflight: bool = True
    require_verified: bool = False  # take only an image that somebody has verified
    signer: TrustedSigner = TrustedSigner()  # who must have signed that

    @property
    def run_options(self) -> RunOptions:
        """What decides what is needed of this machine."""
        return RunOptions(device=self.device, mirror=self.mirror, venv=self.engine == "venv")


class _Contents(Struct, frozen=True, kw_only=True):
    """What a source holds before anything was fetched for it; ``ref`` is its image's name.

    ``snapshot`` is None where it lies in a registry, and ``image`` where it is not here.
    """

    source: Source
    ref: ImageRef
    archived: Archived | None = None
    snapshot: Snapshot | None = None
    image: Image | None = None


class _Verified(Struct, frozen=True, kw_only=True):
    """An image of a registry, by its digest, and what was attached to it."""

    ref: ImageRef
    verification: Verification


def restore(request: Restore, services: Services) -> Outcome[ProofResult]:
    """Check this machine, fetch or make the environment, compare it with the lock, train in it.

    What this machine cannot run is a no, and then nothing is fetched.

    Raises:
        NotFoundError: The REF names nothing.
        NotVerifiedError: --require-verified is asked for, and nobody has.
        PlaceBusyError: Another command makes a venv in the same folder.
        PlaceTakenError: That folder exists and is not empty.
        WriteError: The venv or the report cannot be written where it is wanted; nothing was done.
    """
    check_place(request.report)
    venv = request.engine == "venv"
    with contextlib.ExitStack() as held:
        host = held.enter_context(inspecting_host(services, engine=not venv))
        named = resolve_source(request.ref, repository=request.repository, services=services)
        place = held.enter_context(new_folder(request.into.absolute())) if venv else None
        source = held.enter_context(unpacked(named, services))
        return _restore(request, source, place, host, services)


def _restore(
    request: Restore,
    source: Source,
    place: NewFolder | None,
    host: Callable[[], Host],
    services: Services,
) -> Outcome[ProofResult]:
    """Restore into a venv's folder that is held, or, without one, as an image."""
    contents = _read(request, source, services)
    verified = _verified(request, contents, services) if request.require_verified else None
    checks = _preflight(request, contents, host, services) if request.preflight else ()
    if any(check.fails for check in checks):
        return _refused(request, contents, checks, services)
    if place:
        snapshot, runnable = _restore_venv(request, contents, services)
        place.whole = True
    else:
        snapshot, image, ref = _provide_image(request, contents, services)
        if verified and f"{ref.repository}@{verified.ref.digest}" not in image.digests:
            raise NotVerifiedError(
                f"{ref} is no longer {verified.ref.digest}, which was verified",
                hint="Somebody has moved the tag; try again.",
            )
        runnable = in_image(image, ref, request.device, host, services)
    runnable = replace(runnable, checked=checks)
    outcome = proof_outcome(
        request, source, snapshot, runnable, command="restore", services=services
    )
    if verified:
        result = replace(outcome.result, verified_at=verified.verification.date)
        outcome = replace(outcome, result=result, lines=(*outcome.lines, _line(verified)))
    return outcome


def _verified(request: Restore, contents: _Contents, services: Services) -> _Verified:
    """Find the verification of the image that is to be restored, in its registry.

    Raises:
        NotVerifiedError: There is none.
        UsageError: It is no image of a registry.
    """
    match contents.source:
        case RegistryImage(ref):
            described = services.registry.read(ref)
            pinned, snapshot = described.ref, described.labels.get(SNAPSHOT_LABEL)
        case LocalImage(ref, image):
            pinned, snapshot = registry_name(ref, image), image.labels.get(SNAPSHOT_LABEL)
        case _:
            raise UsageError(
                "--require-verified is for an image, and its registry tells what is attached",
                hint=f"Name the image in the place of {request.ref}.",
            )
    verification = require_verified(
        pinned, str(snapshot), services, signer=request.signer, exports=request.exports
    )
    return _Verified(ref=pinned, verification=verification)


def _line(verified: _Verified) -> str:
    """Say in one line by what an image was verified before."""
    of = verified.verification
    where = ", ".join(of.verified_on.gpus) or of.verified_on.processor or "another machine"
    return f"verified before, {of.date} on {where}: losses {of.tier}"


def _read(request: Restore, source: Source, services: Services) -> _Contents:
    """Read what is named, where it is here."""
    match source:
        case SnapshotFolder():
            snapshot = read_folder(source)
            named = ImageRef(repository=request.repository, tag=snapshot.lock.tag)
            if request.engine == "venv":
                return _Contents(source=source, ref=named, snapshot=snapshot)
            services.engine.check()
            image = find_image(snapshot, named, BuildOptions(mirror=request.mirror), services)
            return _Contents(source=source, ref=named, snapshot=snapshot, image=image)
        case Archive(path):
            archived, snapshot = read_archive(path, services)
            named = ImageRef(repository=request.repository, tag=snapshot.lock.tag)
            return _Contents(source=source, ref=named, archived=archived, snapshot=snapshot)
        case LocalImage(ref, image):
            services.engine.check()
            snapshot = read_image(image, ref, services)
            return _Contents(source=source, ref=ref, snapshot=snapshot, image=image)
        case RegistryImage(ref):
            services.engine.check()
            return _Contents(source=source, ref=ref)


def _preflight(
    request: Restore, contents: _Contents, host: Callable[[], Host], services: Services
) -> tuple[Check, ...]:
    """Check this machine; return what is to be looked out for, and what is in the way."""
    needs = _needs(request, contents, host, services)
    return tuple(check for check in judge_host(host(), needs) if not check.ok)


def _needs(
    request: Restore, contents: _Contents, host: Callable[[], Host], services: Services
) -> Needs:
    """Return what is needed; the registry may answer the engine alone, which is to pull anyway."""
    options = request.run_options
    if contents.snapshot and isinstance(contents.source, Archive):
        return needs_of_archive(contents.snapshot, contents.source.path, services, options=options)
    if contents.snapshot:
        return needs_of_snapshot(
            contents.snapshot, request.ref, services, image=contents.image, options=options
        )
    try:
        described = ask_for(contents.ref, services, host=host())
    except LoginError:
        raise
    except RegistryError as error:
        return needs_of_unread(error, contents.ref, options=options)
    if SNAPSHOT_LABEL not in described.labels:
        raise no_snapshot(contents.ref)
    return needs_of_remote(described, contents.ref, services, options=options)


def _restore_venv(
    request: Restore, contents: _Contents, services: Services
) -> tuple[Snapshot, Runnable]:
    ref = contents.ref
    snapshot = contents.snapshot or read_image(fetch_image(ref, services), ref, services)
    lock = snapshot.lock
    if lock.base.site_packages == "inherited":
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
    if lock.conda and request.python:
        raise InstallError(
            f"{lock.tag} is conda's and has a Python of its own among its packages",
            hint="Leave --python out.",
        )
    with temporary_folder(services) as fetched:
        staged = stage_private_wheels(snapshot, fetched, services)
        with services.progress.task(f"Making {request.into}") as task:
            target = services.venvs.create(
                {**snapshot.files, **staged.files},
                python=request.python or lock.environment.interpreter.request,
                into=request.into,
                task=task,
            )
    return snapshot, in_venv(target, into=request.into, device=request.device)


def _provide_image(
    request: Restore, contents: _Contents, services: Services
) -> tuple[Snapshot, Image, ImageRef]:
    """Make what was found an image that is here."""
    ref, snapshot, image = contents.ref, contents.snapshot, contents.image
    if contents.archived and isinstance(contents.source, Archive):
        loading = Loading(
            file=contents.source.path, repository=request.repository, mirror=request.mirror
        )
        image, ref = load_archive(loading, contents.archived, services)
        return read_image(image, ref, services), image, ref
    if snapshot:
        options = BuildOptions(mirror=request.mirror)
        return snapshot, image or make_image(snapshot, ref, options, services), ref
    image = fetch_image(ref, services)
    return read_image(image, ref, services), image, ref


def _refused(
    request: Restore, contents: _Contents, checks: tuple[Check, ...], services: Services
) -> Outcome[ProofResult]:
    """Answer that this machine cannot run it; nothing was fetched."""
    snapshot, verdict = contents.snapshot, judge(checks, passed="", failed=_NOT.format(request.ref))
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
        report = Report(title=title, verdict=verdict, checks=checks)
        write_report(request.report, report, services.secrets())
    return outcome
