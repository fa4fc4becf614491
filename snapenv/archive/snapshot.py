"""A snapshot alone as one file: an OCI layout that holds its artifact, packed as archives are.

Its members come in one order, which its manifest tells: ``oci-layout``, ``index.json``, the
manifest, its blobs, and at last ``SHA256SUMS``. ``index.json`` is the second, where the archive of
an image has the snapshot.

Source: https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from snapenv.archive.frame import Unpacked, measure_frame, packer
from snapenv.archive.layout import (
    ARCHIVE_SCHEMA,
    END,
    INDEX_FILE,
    LAYOUT_FILE,
    MAX_DOCUMENT_BYTES,
    OCI_LAYOUT,
    SCHEMA_KEY,
    Sum,
    blob_name,
    decode,
    make_header,
    make_sums,
    padding,
    refuse_newer,
)
from snapenv.archive.reader import opened, read_members
from snapenv.archive.writer import Members, write_members
from snapenv.content import read_chunks, sha256_of, size_bytes, write_all
from snapenv.errors import ArchiveError, LockError, SnapshotDamagedError
from snapenv.model.artifact import (
    FILES_LAYER,
    PACKAGE_LAYER,
    artifact_layers,
    make_artifact,
    package_name,
)
from snapenv.model.oci import (
    EMPTY_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    REF_NAME,
    SCHEMA,
    TITLE,
    Descriptor,
    Index,
    Manifest,
    encode,
    sha256_digest,
)
from snapenv.model.snapshot import OVERLAY, SUMS_FILE, VENDOR

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from snapenv.archive.layout import Part
    from snapenv.model.artifact import Artifact
    from snapenv.model.carried import Content
    from snapenv.model.snapshot import Snapshot
    from snapenv.ports import Task

_FILES = re.compile(rf"(?:{OVERLAY}/)?[A-Za-z0-9][A-Za-z0-9._+!-]{{0,79}}", re.ASCII)
_MOST_FILES = 1 << 16


def pack_snapshot(snapshot: Snapshot, scratch: Path) -> Artifact:
    """Return a snapshot as an artifact, whose first layer is written into a folder.

    The same snapshot gives the same bytes.

    Raises:
        LockError: It holds a file whose name an archive cannot have.
        OSError: The folder cannot be written.
        SnapshotDamagedError: A file of it is gone or cannot be read.
    """
    files = {n: c for n, c in sorted(snapshot.files.items()) if not n.startswith(f"{VENDOR}/")}
    packages = {n: c for n, c in sorted(snapshot.files.items()) if n not in files}
    for name in files:
        if not _FILES.fullmatch(name):
            raise LockError(
                f"{name} is not a name that an archive can hold", hint="Capture it again."
            )
    layer = scratch / "files.tar.zst"
    with layer.open("wb") as file, packer().stream_writer(file, closefd=False) as packed:
        for chunk in _tar(files):
            packed.write(chunk)
    sums = _sums(snapshot)
    return make_artifact(
        snapshot,
        layer,
        (
            Descriptor(
                digest=f"sha256:{sha256_of(layer).hexdigest()}",
                size=size_bytes(layer),
                media_type=FILES_LAYER,
            ),
            *(
                Descriptor(
                    digest=f"sha256:{sums[name]}",
                    size=size_bytes(content),
                    media_type=PACKAGE_LAYER,
                    annotations={TITLE: name},
                )
                for name, content in packages.items()
            ),
        ),
    )


def write_snapshot_archive(path: Path, artifact: Artifact, *, tag: str, task: Task) -> int:
    """Write an artifact to a new file; return its size in bytes.

    Raises:
        PlaceTakenError: Something stands there already.
        SnapshotDamagedError: A file of the snapshot is gone, or has changed meanwhile.
        WriteError: The disk is full or the place cannot be written.
    """

    def write(out: Members) -> None:
        out.add(INDEX_FILE, _make_index(artifact.manifest, tag))
        out.add(blob_name(sha256_digest(artifact.manifest)), artifact.manifest)
        for digest, content in artifact.blobs.items():
            try:
                copied = out.copy(blob_name(digest), size_bytes(content), read_chunks(content))
            except ValueError as error:
                raise _changed() from error
            if copied != digest:
                raise _changed()

    total = sum(size_bytes(content) for content in artifact.blobs.values())
    return write_members(path, write, task, total=total)


def holds_snapshot(path: Path) -> bool:
    """Return whether a file is the archive of a snapshot alone; False for a damaged one."""
    try:
        with path.open("rb") as file:
            names = list[str]()
            for name, _, chunks in read_members(Unpacked(file, lambda _: None)):
                names.append(name)
                if names != [LAYOUT_FILE]:
                    break
                for _ in chunks:
                    pass
    except (OSError, ValueError):
        return False
    return names == [LAYOUT_FILE, INDEX_FILE]


def unpack_snapshot_archive(
    path: Path, scratch: Path, task: Task, *, packages: bool = True
) -> Manifest:
    """Lay out the snapshot of a file in the folder ``snapshot`` of ``scratch``, which is empty.

    Every byte of the file is read and checked, also of the ``packages`` that are not laid out.
    Nothing is known of the snapshot but that it came whole; its manifest comes back.

    Raises:
        ArchiveError: It is damaged, or is none.
        NotFoundError: There is no such file.
        OSError: The folder cannot be written.
        SnapshotVersionError: A newer snapenv wrote it.
    """
    with opened(path) as file:
        size = measure_frame(file)
        reader = _Reader(Unpacked(file, lambda done: task.count(done, size)))
        manifest = reader.head()
        layers = artifact_layers(manifest)
        for number, layer in enumerate({layer.digest: layer for layer in layers}.values()):
            reader.copy(layer, scratch / _hex(layer.digest) if packages or not number else None)
        reader.end()
    lay_out(layers if packages else layers[:1], scratch, where=str(path))
    return manifest


def lay_out(layers: tuple[Descriptor, ...], scratch: Path, *, where: str) -> None:
    """Make the folder ``snapshot`` of ``scratch`` of layers that lie there, each by its hex digest.

    Raises:
        ArchiveError: The layer of its files is damaged; ``where`` it came from is named.
        OSError: The folder cannot be written.
    """
    folder = scratch / "snapshot"
    for name in (OVERLAY, VENDOR):
        (folder / name).mkdir(parents=True)
    with (scratch / _hex(layers[0].digest)).open("rb") as file:
        try:
            measure_frame(file)
            for name, _, chunks in _few(read_members(Unpacked(file, lambda _: None), _FILES)):
                with (folder / name).open("xb", buffering=0) as written:
                    write_all(written, chunks)
        except (ValueError, FileExistsError) as error:
            raise ArchiveError(
                f"{where} is not a complete snapshot: {error}",
                hint="Get it again from where it came from.",
            ) from error
    for layer in layers[1:]:
        (folder / package_name(layer)).hardlink_to(scratch / _hex(layer.digest))


def _few(parts: Iterator[Part]) -> Iterator[Part]:
    """Yield parts, as many as a snapshot can have."""
    for number, part in enumerate(parts):
        if number == _MOST_FILES:
            raise ValueError("it holds more files than a snapshot does")
        yield part


class _Reader:
    """Takes the members of a file in the one order that they can have."""

    def __init__(self, unpacked: Unpacked) -> None:
        self._parts = read_members(unpacked)
        self._members: dict[str, Sum] = {}

    def head(self) -> Manifest:
        """Read what stands before the layers."""
        if self._document(LAYOUT_FILE) != OCI_LAYOUT:
            raise ValueError(f"{LAYOUT_FILE} is of another version")
        index_bytes = self._document(INDEX_FILE)
        index = decode(INDEX_FILE, index_bytes, Index)
        refuse_newer(index)
        if len(index.manifests) != 1:
            raise ValueError(f"{INDEX_FILE} names {len(index.manifests)} snapshots")
        content = self._document(blob_name(index.manifests[0].digest))
        if _make_index(content, index.manifests[0].annotations.get(REF_NAME, "")) != index_bytes:
            raise ValueError(f"{INDEX_FILE} is not what its manifest says")
        manifest = decode("the manifest", content, Manifest)
        if self._document(blob_name(manifest.config.digest)) != EMPTY_CONFIG:
            raise ValueError("it is of an image and of a snapshot at once")
        return manifest

    def copy(self, layer: Descriptor, to: Path | None) -> None:
        """Read a layer, and write it to a new file."""
        name, size, chunks = self._next(blob_name(layer.digest))
        if size != layer.size:
            raise ValueError(f"{name} is not of the size that the manifest says")
        if to is None:
            self._read(name, size, chunks)
            return
        with to.open("xb", buffering=0) as file:
            write_all(file, self._hashed(name, size, chunks))
        self._refuse_other_bytes(name)

    def end(self) -> None:
        """Read what stands after the layers."""
        sums = make_sums(self._members)
        if self._document(SUMS_FILE) != sums:
            raise ValueError(f"its files are not what {SUMS_FILE} says")
        if next(self._parts, None) is not None:
            raise ValueError("it holds more files than its manifest names")

    def _document(self, name: str) -> bytes:
        name, size, chunks = self._next(name)
        if size > MAX_DOCUMENT_BYTES:
            raise ValueError(f"{name} is larger than such a file can be")
        return self._read(name, size, chunks, keep=True)

    def _next(self, name: str) -> Part:
        part = next(self._parts, None)
        if part is None or part[0] != name:
            raise ValueError(f"{name} is missing")
        return part

    def _read(self, name: str, size: int, chunks: Iterator[bytes], *, keep: bool = False) -> bytes:
        kept = [chunk for chunk in self._hashed(name, size, chunks) if keep]
        self._refuse_other_bytes(name)
        return b"".join(kept)

    def _hashed(self, name: str, size: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
        digest = hashlib.sha256()
        for chunk in chunks:
            digest.update(chunk)
            yield chunk
        self._members[name] = Sum(size, digest.hexdigest())

    def _refuse_other_bytes(self, name: str) -> None:
        known = name.rpartition("/")[2]
        if "/" in name and self._members[name].sha256 != known:
            raise ValueError(f"{name} holds other bytes than its name says")


def _tar(files: Mapping[str, Content]) -> Iterator[bytes]:
    for name, content in files.items():
        size = left = size_bytes(content)
        yield make_header(name, size)
        for chunk in read_chunks(content):
            left -= len(chunk)
            yield chunk
        if left:
            raise _changed()
        yield padding(size)
    yield END


def _sums(snapshot: Snapshot) -> Mapping[str, str]:
    """Return the sha256 of each file, in hex, as its SHA256SUMS has it; they were checked."""
    lines = snapshot.text(SUMS_FILE).decode().splitlines()[1:]
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def _make_index(manifest: bytes, tag: str) -> bytes:
    described = Descriptor(
        digest=sha256_digest(manifest),
        size=len(manifest),
        media_type=OCI_MANIFEST,
        annotations={REF_NAME: tag},
    )
    return encode(
        Index(
            schema_version=SCHEMA,
            media_type=OCI_INDEX,
            manifests=(described,),
            annotations={SCHEMA_KEY: str(ARCHIVE_SCHEMA)},
        )
    )


def _changed() -> SnapshotDamagedError:
    return SnapshotDamagedError(
        "a file of the snapshot changed while it was read", hint="Let nothing change it."
    )


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")
