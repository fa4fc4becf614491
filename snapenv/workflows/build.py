"""Turn a snapshot into an image, and push it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv.errors import RegistryError, UsageError
from snapenv.model.image import ImageRef
from snapenv.model.outcome import Outcome
from snapenv.model.results import BuildResult
from snapenv.model.snapshot import BASE_DIGEST_LABEL, BASE_NAME_LABEL
from snapenv.steps.attesting import attach_build, read_signer
from snapenv.steps.build_image import (
    BuildOptions,
    find_image,
    image_differences,
    make_image,
    tag_taken,
    wanted_base,
)
from snapenv.steps.publish import push_image
from snapenv.steps.snapshots import read_folder
from snapenv.steps.source import SnapshotFolder, resolve_snapshot
from snapenv.steps.unpack import unpacked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from snapenv.model.image import Image
    from snapenv.model.snapshot import Snapshot
    from snapenv.ports import Services
    from snapenv.steps.attesting import StatementSigner


class Build(BuildOptions, frozen=True, kw_only=True):
    """What a user may ask of a build."""

    repository: str
    push: bool = False
    sign_key: Path | None = None  # signs what is attached to the image in its registry
    sign: bool = False  # likewise, with the identity of this machine


def build(folder: Path, request: Build, services: Services) -> Outcome[BuildResult]:
    """Build the image of a snapshot, name it by the convention, push it if asked."""
    named = resolve_snapshot(folder, repository=request.repository)
    with unpacked(named, services, required=True) as source:
        if not isinstance(source, SnapshotFolder):
            raise UsageError(
                f"{folder} is an image, which is built already",
                hint=f"Fetch it and prove it: snapenv restore {folder}",
            )
        return _build(read_folder(source), request, services)


def _build(snapshot: Snapshot, request: Build, services: Services) -> Outcome[BuildResult]:
    base = wanted_base(snapshot, request)
    signer = read_signer(request.sign_key, keyless=request.sign)
    services.engine.check()
    ref = ImageRef(repository=request.repository, tag=snapshot.lock.tag)
    before = services.engine.find(ref.tagged)
    image = find_image(snapshot, ref, request, services)
    if image is None:
        image = make_image(snapshot, ref, request, services)
    elif image_differences(image, snapshot, services):
        raise tag_taken(ref, f"{image.id}, changed after it was built,", snapshot.digest)
    pushed = (
        push_image(ref, image, replace=request.replace, services=services) if request.push else None
    )
    digest = pushed.digest if pushed else image.id
    outcome = _outcome(snapshot, ref, image, digest=digest, pushed=request.push)
    outcome = replace(outcome, warnings=base.warnings)
    if pushed:
        outcome = _attach(outcome, ref.at(digest), image, snapshot, services, signer=signer)
    if before and before.id == image.id and request.compression != "gzip":
        unused = f"{ref.tagged} is built already: --compression is for a new image (--replace)"
        outcome = replace(outcome, warnings=(*outcome.warnings, unused))
    if before and before.id != image.id:
        kept = f"the image before it stays as {ref.tagged}@{before.id}"
        outcome = replace(outcome, lines=(*outcome.lines, kept))
    if pushed and pushed.replaced:
        kept = f"what it replaced stays as {ref.repository}@{pushed.replaced}"
        outcome = replace(outcome, lines=(*outcome.lines, kept))
    return replace(outcome, warnings=(*outcome.warnings, *_warnings_of_base(image, services)))


def _attach(  # noqa: PLR0913 - by name
    outcome: Outcome[BuildResult],
    ref: ImageRef,
    image: Image,
    snapshot: Snapshot,
    services: Services,
    *,
    signer: StatementSigner | None,
) -> Outcome[BuildResult]:
    """Attach what is in an image, and what made it; a registry that takes no such thing is told."""
    try:
        attached, warnings = attach_build(ref, image, snapshot, services, signer=signer)
    except RegistryError as error:
        if signer:
            raise
        warning = f"no SBOM and no provenance is attached: {error.message}"
        return replace(outcome, warnings=(*outcome.warnings, warning))
    return replace(
        outcome,
        result=replace(outcome.result, attached=attached),
        warnings=(*outcome.warnings, *warnings),
    )


def _warnings_of_base(image: Image, services: Services) -> Iterator[str]:
    """Say what of the base's own is otherwise in an image, or in its build, than one may expect."""
    name, digest = (image.labels.get(label) for label in (BASE_NAME_LABEL, BASE_DIGEST_LABEL))
    base = services.engine.find(f"{name}@{digest}")
    if base is None:
        return
    if not services.engine.starts_commands(base):
        entrypoint = json.dumps(base.entrypoint)
        yield f"ENTRYPOINT {entrypoint} of {name} starts no command: the image has none"
    for trigger in base.triggers:
        yield f"{name} has a step of its own in each build: ONBUILD {trigger}"


def _outcome(
    snapshot: Snapshot, ref: ImageRef, image: Image, *, digest: str, pushed: bool
) -> Outcome[BuildResult]:
    where = f"pushed as {ref.repository}@{digest}" if pushed else f"image {digest}"
    return Outcome(
        command="build",
        result=BuildResult(
            image=ref.tagged,
            digest=digest,
            pushed=pushed,
            base=image.labels.get(BASE_NAME_LABEL),
            snapshot=snapshot.digest,
            size_bytes=image.size_bytes,
        ),
        lines=(f"{ref.tagged} is built, {image.size_bytes / 1e9:.1f} GB", where),
    )
