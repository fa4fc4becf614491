"""Find snapshots by their digests: in folders, among local images, in a registry."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.errors import EngineMissingError, NotFoundError, SnapenvError
from snapenv.lock.store import read_digest, read_snapshot
from snapenv.model.host import NEEDS_LABEL
from snapenv.model.image import Image, ImageRef, RemoteImage, Tag, is_kept_tag
from snapenv.model.needs_label import NeedsLabel, make_label, read_label
from snapenv.model.snapshot import (
    PARENT_LABEL,
    SNAPSHOT_LABEL,
    SNAPSHOTS,
    SUMS_FILE,
    TAG_LABEL,
    Lock,
)
from snapenv.places import is_file
from snapenv.steps.snapshots import no_snapshot, read_image, read_source
from snapenv.steps.source import LocalImage, RegistryImage, SnapshotFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from snapenv.model.artifact import RemoteSnapshot
    from snapenv.model.snapshot import Snapshot
    from snapenv.ports import Services
    from snapenv.steps.source import Source

_AT_ONCE = 16  # questions to a registry


class Ancestor(Struct, frozen=True, kw_only=True):
    """A snapshot that was found; of one that lies in a registry only its labels are known."""

    digest: str
    parent: str | None  # the digest of the one that it was made of
    place: str  # a folder, an archive, or a reference
    tag: str | None
    captured_at: str | None  # RFC 3339
    lock: Lock | None
    needs: NeedsLabel | None  # what its label tells of its packages


class Search:
    """Where snapshots are looked for, the nearest first; each place is read once it is needed."""

    def __init__(self, source: Source, repository: str, services: Services) -> None:
        """Look beside a source, and in its repository, else in the one that is given."""
        self._services = services
        self._folders = _folders_beside(source)
        own = source.ref.repository if isinstance(source, LocalImage | RegistryImage) else ""
        self._repository = own if "/" in own else repository
        self._images: Mapping[str, tuple[str, Image]] | None = None
        self._remote: Mapping[str, RemoteImage | RemoteSnapshot] | None = None
        self.searched: list[str] = []
        self.warnings: list[str] = []

    def find(self, digest: str) -> Ancestor | None:
        """Return the snapshot of a digest; None where it is in none of the places."""
        folder = self._in_folder(digest)
        if folder:
            return of_snapshot(read_snapshot(folder), str(folder))
        if self._images is None:
            self._images = dict(self._local_images())
        if digest in self._images:
            name, image = self._images[digest]
            snapshot = read_image(image, ImageRef.parse(name), self._services)
            return of_snapshot(snapshot, _pinned(name, image))
        if "/" not in self._repository:
            return None
        if self._remote is None:
            self._remote = dict(self._remote_images())
        remote = self._remote.get(digest)
        return of_remote(remote) if remote else None

    def _in_folder(self, digest: str) -> Path | None:
        self._note("snapshot folders")
        return next((path for path in self._folders if read_digest(path) == digest), None)

    def _local_images(self) -> Iterator[tuple[str, tuple[str, Image]]]:
        engine = self._services.engine
        try:
            for name, _ in engine.list_names(label=SNAPSHOT_LABEL):
                image = engine.find(name)
                if image:
                    yield image.labels[SNAPSHOT_LABEL], (name, image)
        except EngineMissingError as error:
            self.warnings.append(f"{error.message}: local images were not searched")
            return
        self._note("local images")

    def _remote_images(self) -> Iterator[tuple[str, RemoteImage | RemoteSnapshot]]:
        """Yield the images of the repository by the digests of their snapshots, kept ones too."""
        registry = self._services.registry
        try:
            with self._services.progress.task(f"Asking {self._repository}"):
                tags = [tag for tag in registry.tags(self._repository) if _is_ours(tag)]
                refs = [ImageRef(repository=self._repository, tag=tag) for tag in tags]
                with ThreadPoolExecutor(_AT_ONCE) as pool:
                    images = tuple(pool.map(self._read, refs))
        except SnapenvError as error:
            self.warnings.append(f"{error.message}: {self._repository} was not searched")
            return
        self._note(self._repository)
        for image in images:
            if image and labels_of(image).get(SNAPSHOT_LABEL):
                yield labels_of(image)[SNAPSHOT_LABEL], image

    def _read(self, ref: ImageRef) -> RemoteImage | RemoteSnapshot | None:
        with contextlib.suppress(NotFoundError):
            return self._services.registry.describe(ref)
        return None

    def _note(self, place: str) -> None:
        if place not in self.searched:
            self.searched.append(place)


def read_ancestor(source: Source, services: Services) -> Ancestor:
    """Return what is known of a source; nothing is pulled.

    Raises:
        NotFoundError: It is nowhere, or holds no snapshot.
    """
    match source:
        case RegistryImage(ref):
            remote = services.registry.describe(ref)
            if SNAPSHOT_LABEL not in labels_of(remote):
                raise no_snapshot(ref)
            return of_remote(remote)
        case LocalImage(ref, image):
            return of_snapshot(read_image(image, ref, services), _pinned(ref.tagged, image))
        case _:
            return of_snapshot(read_source(source, services), str(source))


def of_snapshot(snapshot: Snapshot, place: str) -> Ancestor:
    """Return what a snapshot says of itself."""
    lock = snapshot.lock
    return Ancestor(
        digest=snapshot.digest,
        parent=lock.parent,
        place=place,
        tag=lock.tag,
        captured_at=snapshot.captured_at,
        lock=lock,
        needs=read_label({NEEDS_LABEL: make_label(lock)}),
    )


def of_remote(remote: RemoteImage | RemoteSnapshot) -> Ancestor:
    """Return what a registry says of an image, or of a snapshot that lies alone."""
    labels = labels_of(remote)
    tag = labels.get(TAG_LABEL)
    ref = ImageRef(repository=remote.ref.repository, tag=tag, digest=remote.ref.digest)
    return Ancestor(
        digest=labels[SNAPSHOT_LABEL],
        parent=labels.get(PARENT_LABEL) or None,
        place=str(ref),
        tag=tag,
        captured_at=remote.created,
        lock=None,
        needs=read_label(labels),
    )


def labels_of(remote: RemoteImage | RemoteSnapshot) -> Mapping[str, str]:
    """Return the labels of an image, which a snapshot that lies alone has as annotations."""
    return remote.labels if isinstance(remote, RemoteImage) else remote.annotations


def _pinned(name: str, image: Image) -> str:
    """Name a local image so that it is found whatever its tag will be."""
    ref = ImageRef.parse(name)
    tag = image.labels.get(TAG_LABEL, ref.tag) if is_kept_tag(ref.tag or "") else ref.tag
    digest = image.digest_in(ref.repository) or image.id
    return str(ImageRef(repository=ref.repository, tag=tag, digest=digest))


def _is_ours(tag: str) -> bool:
    if is_kept_tag(tag):
        return True
    try:
        Tag.parse(tag)
    except ValueError:
        return False
    return True


def _folders_beside(source: Source) -> tuple[Path, ...]:
    """Name the snapshot folders of this folder, of ``snapshots``, and of the source's own."""
    above = [Path(), Path(SNAPSHOTS)]
    if isinstance(source, SnapshotFolder):
        above.append(source.path.parent)
    folders = dict[Path, Path]()
    for folder in above:
        with contextlib.suppress(OSError):
            for path in sorted(folder.iterdir()):
                if is_file(path / SUMS_FILE):
                    folders.setdefault(path.resolve(), path)
    return tuple(folders.values())
