"""Write an archive as its parts come, whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.archive.frame import CHUNK_BYTES, packer
from snapenv.archive.layout import (
    END,
    INDEX_FILE,
    LAYOUT_FILE,
    MAX_DOCUMENT_BYTES,
    OCI_LAYOUT,
    SNAPSHOT,
    Sum,
    blob_name,
    machine_and_labels,
    make_header,
    make_index,
    make_manifest,
    make_sums,
    padding,
)
from snapenv.errors import ArchiveError, EngineError
from snapenv.model.image import Image, Layer
from snapenv.model.oci import sha256_digest
from snapenv.model.snapshot import BASE_DIGEST_LABEL, BASE_NAME_LABEL, SUMS_FILE
from snapenv.ownership.staging import staged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from zstandard import ZstdCompressionWriter

    from snapenv.archive.layout import Part
    from snapenv.ports import Task


_PIECE_BYTES = 256 << 10  # stays in a core's own cache


class Export(Struct, frozen=True, kw_only=True):
    """What goes into an archive beside the parts that an engine gives."""

    image: Image
    tag: str
    snapshot: str  # its digest
    files: Mapping[str, bytes]  # of the snapshot
    left_out: frozenset[str] = frozenset()  # layers that are the base image's


class Written(Struct, frozen=True, kw_only=True):
    """An archive that lies where it was asked for."""

    size_bytes: int
    config_digest: str  # what its image is known by, whichever engine holds it


def write_archive(path: Path, export: Export, parts: Iterable[Part], task: Task) -> Written:
    """Write an archive under a temporary name until it is whole.

    ``parts`` are the image's config and each of its layers once, unpacked, in any order; what is
    left out of the archive is not read.

    Raises:
        PlaceTakenError: Something stands there already.
        WriteError: The disk is full or the place cannot be written.
        EngineError: A part is missing, or is not what its digest says.
    """
    config_digest = ""

    def write(out: Members) -> None:
        nonlocal config_digest
        try:
            config_digest = _write_members(out, export, parts)
        except ValueError as error:
            raise _unlike(str(error)) from error

    size = write_members(path, write, task, total=export.image.size_bytes)
    return Written(size_bytes=size, config_digest=config_digest)


def write_members(path: Path, write: Callable[[Members], None], task: Task, *, total: int) -> int:
    """Write a file of members, SHA256SUMS the last; return its size in bytes.

    Raises:
        PlaceTakenError: Something stands there already.
        WriteError: The disk is full or the place cannot be written.
    """
    with staged(path) as temporary:
        with (
            temporary.open("wb") as file,  # buffered, so that nothing is written in part
            packer().stream_writer(file, closefd=False) as packed,
        ):
            out = Members(packed, task, total=total)
            out.add(LAYOUT_FILE, OCI_LAYOUT)
            write(out)
            out.add(SUMS_FILE, make_sums(out.members))
            packed.write(END)
        temporary.chmod(0o644)
        return temporary.stat().st_size


def _write_members(out: Members, export: Export, parts: Iterable[Part]) -> str:
    """Write what an image has; return the digest of its config."""
    for name, content in sorted(export.files.items()):
        out.add(SNAPSHOT + name, content)
    config, layers = _write_layers(out, export, parts)
    out.add(blob_name(sha256_digest(config)), config)
    manifest = make_manifest(config, layers)
    out.add(blob_name(sha256_digest(manifest)), manifest)
    machine, _ = machine_and_labels(config)
    index = make_index(manifest, tag=export.tag, snapshot=export.snapshot, machine=machine)
    out.add(INDEX_FILE, index)
    return sha256_digest(config)


def _write_layers(
    out: Members, export: Export, parts: Iterable[Part]
) -> tuple[bytes, tuple[Layer, ...]]:
    """Write the layers that are not left out; return the config, and all layers in their order."""
    config, sizes, diff_ids = b"", dict[str, int](), export.image.diff_ids
    for digest, size, chunks in parts:
        if digest not in diff_ids:
            config = b"".join(chunks)
            continue
        sizes[digest] = size
        if digest in export.left_out:
            out.pass_over(size)
        elif out.copy(blob_name(digest), size, chunks) != digest:
            raise _unlike(f"gave other bytes for layer {digest} than it has")
    if not config or sizes.keys() != set(diff_ids):
        raise _unlike("did not give all layers of the image")
    _refuse_unreadable(config, export)
    return config, tuple(Layer(digest=digest, size_bytes=sizes[digest]) for digest in diff_ids)


def _refuse_unreadable(config: bytes, export: Export) -> None:
    """Refuse what could not be imported again."""
    _, labels = machine_and_labels(config)
    named = labels.get(BASE_NAME_LABEL) and labels.get(BASE_DIGEST_LABEL)
    if len(config) > MAX_DOCUMENT_BYTES or (export.left_out and not named):
        raise ArchiveError(
            "the image's config is too large, or names no base image",
            hint="Build it again with snapenv build, or export it without --delta.",
        )


class Members:
    """Members as they are packed, and what each one was."""

    def __init__(self, packed: ZstdCompressionWriter, task: Task, *, total: int) -> None:
        self.members: dict[str, Sum] = {}
        self._packed, self._task = packed, task
        self._done, self._told, self._total = 0, 0, total

    def add(self, name: str, content: bytes) -> None:
        """Write a small file."""
        self.copy(name, len(content), iter((content,)))

    def copy(self, name: str, size: int, chunks: Iterator[bytes]) -> str:
        """Write a file as it comes; return its digest.

        Raises:
            ValueError: It is not of this size.
        """
        digest, left = hashlib.sha256(), size
        self._packed.write(make_header(name, size))
        for piece in _gather(chunks):
            digest.update(piece)
            self._packed.write(piece)
            left -= len(piece)
            self._count(len(piece))
        self._tell()
        if left:
            raise ValueError(f"gave {size - left} bytes instead of {size} for {name}")
        self._packed.write(padding(size))
        self.members[name] = Sum(size, digest.hexdigest())
        return f"sha256:{digest.hexdigest()}"

    def pass_over(self, size: int) -> None:
        """Count what is not written."""
        self._count(size)
        self._tell()

    def _count(self, size: int) -> None:
        """Count a chunk; a bar that is drawn for each costs more than the chunk does."""
        self._done += size
        if self._done >= self._told + CHUNK_BYTES:
            self._tell()

    def _tell(self) -> None:
        self._told = self._done
        self._task.count(self._done, max(self._done, self._total))


def _gather(chunks: Iterable[bytes]) -> Iterator[memoryview]:
    """Yield the same bytes in larger pieces, each to be used before the next is asked for.

    An engine sends 32 KiB at a time: packing each by itself costs more than the copying here.
    """
    gathered, used = memoryview(bytearray(_PIECE_BYTES)), 0
    for chunk in chunks:
        if used and used + len(chunk) > _PIECE_BYTES:
            yield gathered[:used]
            used = 0
        if len(chunk) > _PIECE_BYTES:
            yield memoryview(chunk)
        else:
            gathered[used : used + len(chunk)] = chunk
            used += len(chunk)
    yield gathered[:used]


def _unlike(what: str) -> EngineError:
    return EngineError(f"the Docker engine {what}", hint="Build the image again.")
