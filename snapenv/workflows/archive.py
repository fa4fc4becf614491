"""An image as one file, and back: export, import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.archive.loading import docker_archive
from snapenv.archive.reader import check_archive, read_layers
from snapenv.archive.writer import Export as Contents
from snapenv.archive.writer import Written, write_archive
from snapenv.errors import (
    ArchiveError,
    BaseError,
    EngineError,
    SnapshotDamagedError,
    TagTakenError,
)
from snapenv.lock.store import parse_snapshot, read_snapshot
from snapenv.model.image import ImageRef
from snapenv.model.outcome import Outcome
from snapenv.model.results.archive import ArchiveResult
from snapenv.model.snapshot import BASE_DIGEST_LABEL, BASE_NAME_LABEL
from snapenv.ownership.claim import claim, claim_path
from snapenv.ownership.staging import refuse_unwritable
from snapenv.sizes import size
from snapenv.workflows.reference import fetch_image, read_image, resolve_ref

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.archive.layout import Archived, Part
    from snapenv.model.image import Image
    from snapenv.model.snapshot import Snapshot
    from snapenv.ports import Outside, Task


class Export(Struct, frozen=True, kw_only=True):
    """What a user may ask of an export."""

    ref: str  # a tag of the convention, an image reference, or a snapshot folder
    output: Path
    repository: str
    delta: bool = False


class Import(Struct, frozen=True, kw_only=True):
    """What a user may ask of an import."""

    file: Path
    repository: str
    mirror: str | None = None
    replace: bool = False


def export_image(request: Export, outside: Outside) -> Outcome[ArchiveResult]:
    """Write an image with its snapshot to one file.

    Raises:
        PlaceBusyError: Another command writes it.
        PlaceTakenError: Something stands there already.
        WriteError: The place cannot be written.
    """
    refuse_unwritable(request.output)
    with claim_path(outside.kept("locks"), request.output):
        return _export(request, outside)


def _export(request: Export, outside: Outside) -> Outcome[ArchiveResult]:
    ref = _image_ref(request, outside)
    outside.engine.check()
    image = fetch_image(ref, outside)
    snapshot = read_image(image, ref, outside)
    contents = Contents(
        image=image,
        tag=snapshot.lock.tag,
        snapshot=snapshot.digest,
        files={name: snapshot.text(name) for name in snapshot.files},
        left_out=_layers_of_base(image, ref, outside) if request.delta else frozenset(),
    )
    with outside.progress.task(f"Exporting {ref}") as task:
        written = write_archive(request.output, contents, outside.engine.save(image), task)
    return _exported(request, ref, image, contents, written)


def import_image(request: Import, outside: Outside) -> Outcome[ArchiveResult]:
    """Check an archive whole, load its image, and name it by the convention."""
    archived, _ = read_archive(request.file, outside)
    image, ref = bring(request, archived, outside)
    return Outcome(
        command="import",
        result=ArchiveResult(
            path=str(request.file),
            image=ref.tagged,
            digest=image.id,
            config=archived.config_digest,
            snapshot=archived.snapshot,
            delta=bool(archived.absent),
            size_bytes=image.size_bytes,
        ),
        lines=(f"{request.file} is here as {ref.tagged}", f"image {image.id}"),
    )


def bring(request: Import, archived: Archived, outside: Outside) -> tuple[Image, ImageRef]:
    """Make the image of an archive that was checked a local one, with its name.

    Raises:
        ArchiveError: It is damaged, or is none; or what the engine has made of it is not it.
        TagTakenError: Another image has the name, and ``replace`` is not asked for.
        BaseError: It lacks the layers of a base image that cannot be had.
        PlaceBusyError: Another command makes an image of this name.
    """
    engine = outside.engine.check()
    ref = ImageRef(repository=request.repository, tag=archived.tag)
    with claim(outside.kept("locks"), ref.tagged, key=f"{engine} {ref.tagged}"):
        return _bring(request, archived, ref, outside)


def _bring(
    request: Import, archived: Archived, ref: ImageRef, outside: Outside
) -> tuple[Image, ImageRef]:
    there = None if request.replace else outside.engine.find(ref.tagged)
    if there and not _is_same(there, archived):
        raise _taken(ref, there, archived.config_digest)
    image = _load(archived, request, outside)
    if there and image.id == archived.config_digest != there.id:
        raise _taken(ref, there, image.id)
    outside.engine.tag(image, ref)
    return image, ref


def read_stored(path: Path, outside: Outside) -> Snapshot:
    """Read the snapshot in a folder or in an archive, without an engine.

    Raises:
        ArchiveError: It is a damaged archive, or a file that is none.
        SnapshotDamagedError: A file of the folder is missing, or is not what SHA256SUMS says.
        SnapshotVersionError: A newer snapenv wrote it.
    """
    return read_archive(path, outside)[1] if path.is_file() else read_snapshot(path)


def read_archive(file: Path, outside: Outside) -> tuple[Archived, Snapshot]:
    """Check an archive whole, and give what it holds with its snapshot, without an engine.

    Raises:
        ArchiveError: It is damaged, or is none.
        SnapshotVersionError: A newer snapenv wrote it.
    """
    with outside.progress.task(f"Checking {file}") as task:
        archived = check_archive(file, task)
    return archived, _snapshot(archived, file)


def _image_ref(request: Export, outside: Outside) -> ImageRef:
    ref = resolve_ref(request.ref, repository=request.repository, outside=outside)
    if isinstance(ref, Path):
        return ImageRef(repository=request.repository, tag=read_snapshot(ref).lock.tag)
    return ref


def _layers_of_base(image: Image, ref: ImageRef, outside: Outside) -> frozenset[str]:
    """Give the layers that an image has of its base.

    Raises:
        BaseError: Its base is not known, or not here.
    """
    name, digest = image.labels.get(BASE_NAME_LABEL), image.labels.get(BASE_DIGEST_LABEL)
    base = _find_base(name, digest, outside) if name and digest else None
    if base is None or image.diff_ids[: len(base.diff_ids)] != base.diff_ids:
        raise BaseError(
            f"the base image of {ref} is not here: {name or 'none'}@{digest or 'of no digest'}",
            hint="Pull it first, or leave out --delta.",
        )
    return frozenset(base.diff_ids)


def _find_base(name: str, digest: str, outside: Outside) -> Image | None:
    try:
        ref = ImageRef.parse(name).at(digest)
    except ValueError:
        return None
    return outside.engine.find(str(ref)) or outside.engine.find(ref.tagged)


def _snapshot(archived: Archived, file: Path) -> Snapshot:
    """Give the snapshot, which is whole, and the one that the image's label names.

    Raises:
        ArchiveError: It is not so.
        SnapshotVersionError: A newer snapenv wrote it.
    """
    try:
        snapshot = parse_snapshot(archived.files, where=f"{file}:snapshot", in_image=True)
    except SnapshotDamagedError as error:
        raise _unlike(file, error.message) from error
    if snapshot.digest != archived.snapshot:
        raise _unlike(file, f"its image is of snapshot {archived.snapshot or 'none'}")
    if snapshot.lock.tag != archived.tag:
        raise _unlike(file, f"it names {archived.tag}, and holds {snapshot.lock.tag}")
    return snapshot


def _load(archived: Archived, request: Import, outside: Outside) -> Image:
    """Load the image, and see that it is the archive's.

    Raises:
        ArchiveError: It is another one; it is gone again.
    """
    engine = outside.engine
    here = engine.find(archived.config_digest)
    if here and _is_same(here, archived):
        return here
    base = _base(archived, request, outside) if archived.absent else None
    with outside.progress.task(f"Loading {archived.tag}") as task:
        image = _hand_over(archived, request.file, base, outside, task)
    if not _is_same(image, archived):
        engine.remove(image.id)
        raise _unlike(request.file, f"the engine made {image.id} of it")
    return image


def _hand_over(
    archived: Archived, file: Path, base: Image | None, outside: Outside, task: Task
) -> Image:
    """Load without the base's layers where the engine can do so, else with them."""
    engine = outside.engine
    if base:
        try:
            return engine.load(docker_archive(archived, read_layers(file, archived), task))
        except EngineError:
            task.note("taking the base image's layers from the engine")
    return engine.load(docker_archive(archived, _all_layers(archived, file, base, outside), task))


def _all_layers(
    archived: Archived, file: Path, base: Image | None, outside: Outside
) -> Iterator[Part]:
    if base:
        saved = outside.engine.save(base)
        yield from (part for part in saved if part[0] in archived.base_layers)
    yield from read_layers(file, archived)


def _base(archived: Archived, request: Import, outside: Outside) -> Image:
    """Give the image whose layers an archive leaves out, pulled if it is not here.

    Raises:
        BaseError: It cannot be had, or has other layers.
    """
    name, digest = archived.labels[BASE_NAME_LABEL], archived.labels[BASE_DIGEST_LABEL]
    try:
        ref = ImageRef.parse(name).at(digest)
    except ValueError as error:
        raise _unlike(request.file, str(error)) from error
    ref = ref.mirrored(request.mirror) if request.mirror else ref
    base = _find_base(ref.tagged, digest, outside) or fetch_image(ref, outside)
    expected = archived.diff_ids[: archived.absent]
    if base.diff_ids[: len(expected)] != expected:
        raise BaseError(
            f"{request.file} lacks the layers of {ref}, which has others here",
            hint="Pull the base image by its digest, or export without --delta.",
        )
    return base


def _is_same(image: Image, archived: Archived) -> bool:
    """Compare identities; where an engine's ids are of its own, all that is known of an image."""
    known = (image.diff_ids, dict(image.labels), dict(image.variables), image.machine)
    told = (
        archived.diff_ids,
        dict(archived.labels),
        dict(archived.variables),
        archived.machine,
    )
    return known == told


def _exported(
    request: Export, ref: ImageRef, image: Image, contents: Contents, written: Written
) -> Outcome[ArchiveResult]:
    path = request.output
    left_out = " without its base image" if contents.left_out else ""
    return Outcome(
        command="export",
        result=ArchiveResult(
            path=str(path),
            image=str(ref),
            digest=image.id,
            config=written.config_digest,
            snapshot=contents.snapshot,
            delta=bool(contents.left_out),
            size_bytes=written.size_bytes,
        ),
        lines=(f"{ref}{left_out} is in {path}, {size(written.size_bytes)}",),
    )


def _taken(ref: ImageRef, there: Image, here: str) -> TagTakenError:
    return TagTakenError(
        f"{ref.tagged} is {there.id} already, and this is {here}",
        hint="Give another --repository, or move the tag: --replace.",
    )


def _unlike(file: Path, why: str) -> ArchiveError:
    return ArchiveError(
        f"{file} is not what snapenv export writes: {why}",
        hint="Do not trust it; get it again from where it was exported.",
    )
