"""Read and write files that travel, of any size, and give many of them as one tar."""

from __future__ import annotations

import contextlib
import errno
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from msgspec import Struct

from snapenv.errors import SnapshotDamagedError
from snapenv.model.carried import Content

if TYPE_CHECKING:
    import tarfile
    from collections.abc import Iterable, Iterator
    from hashlib import _Hash as Digest


CHUNK_BYTES = 1 << 20
_BLOCK_BYTES, _RECORD_BYTES = 512, 10_240  # of any tar
_PAX_FORMAT: Literal[2] = 2  # tarfile's
_FOLDER_MODE, _FILE_MODE = 0o777, 0o644


def read_chunks(content: Content) -> Iterator[bytes]:
    """Yield what a file holds, never more than 1 MiB at a time.

    Raises:
        SnapshotDamagedError: The file is gone or cannot be read.
    """
    if isinstance(content, bytes):
        yield from (content[at : at + CHUNK_BYTES] for at in range(0, len(content), CHUNK_BYTES))
        return
    with _readable(content), content.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


class Writable(Protocol):
    """A file without a buffer: a write takes as much as it can, and says how much that was."""

    def write(self, data: memoryview, /) -> int | None:
        """Write what it can; None where it would have to wait."""
        ...


def write_all(file: Writable, chunks: Iterable[bytes]) -> int:
    """Write every byte, however little one write takes; return how many there were.

    Linux takes no more than 2,147,479,552 bytes at once.
    Source: https://man7.org/linux/man-pages/man2/write.2.html

    Raises:
        OSError: The disk is full, or the file cannot be written.
    """
    written = 0
    for chunk in chunks:
        rest = memoryview(chunk)
        while rest:
            rest = rest[file.write(rest) or 0 :]
        written += len(chunk)
    return written


def write_content(place: Path, content: Content) -> None:
    """Write a file, and see that all of it is there; of its content 1 MiB at a time is in memory.

    Raises:
        OSError: It cannot be written, or is not there as a whole.
        SnapshotDamagedError: What is to be written is gone or cannot be read.
    """
    with place.open("wb", buffering=0) as file:
        written = write_all(file, read_chunks(content))
    if place.stat().st_size != written:
        raise OSError(errno.EIO, "not all that was written is there", str(place))


def sha256_of(content: Content) -> Digest:
    """Hash a file, a piece at a time.

    Raises:
        SnapshotDamagedError: The file is gone or cannot be read.
    """
    digest = hashlib.sha256()
    for chunk in read_chunks(content):
        digest.update(chunk)
    return digest


def size_bytes(content: Content) -> int:
    """Return the size of a file.

    Raises:
        SnapshotDamagedError: The file is gone or cannot be read.
    """
    if isinstance(content, bytes):
        return len(content)
    with _readable(content):
        return content.stat().st_size


class Tar(Struct, frozen=True):
    """Files as a tar that is never whole in memory; the same files give the same bytes.

    Iterating gives its bytes in pieces. Every file is root's, of mode 644, and of 1970. With
    ``folder``, all lie in a folder of this name, which anyone may write to.
    """

    files: Mapping[str, Content]
    folder: str | None = None

    @property
    def size_bytes(self) -> int:
        """Return the size of the whole.

        Raises:
            SnapshotDamagedError: A file is gone or cannot be read.
        """
        size = sum(len(_header(member)) + _padded(member.size) for member, _ in self._members())
        size += 2 * _BLOCK_BYTES
        return size + -size % _RECORD_BYTES

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes.

        Raises:
            SnapshotDamagedError: A file is gone, cannot be read, or changed its size.
        """
        given = 0
        for member, content in self._members():
            header = _header(member)
            yield header
            yield from _read_exactly(content, member.size)
            yield bytes(_padded(member.size) - member.size)
            given += len(header) + _padded(member.size)
        end = 2 * _BLOCK_BYTES
        yield bytes(end + -(given + end) % _RECORD_BYTES)

    def _members(self) -> Iterator[tuple[tarfile.TarInfo, Content]]:
        import tarfile  # which brings all that compresses

        if self.folder is not None:
            above = tarfile.TarInfo(self.folder)
            above.type, above.mode = tarfile.DIRTYPE, _FOLDER_MODE
            yield above, b""
        for name, content in sorted(self.files.items(), key=lambda file: file[0]):
            member = tarfile.TarInfo(name if self.folder is None else f"{self.folder}/{name}")
            member.size, member.mode = size_bytes(content), _FILE_MODE
            yield member, content


def _header(member: tarfile.TarInfo) -> bytes:
    return member.tobuf(_PAX_FORMAT)


def _padded(size: int) -> int:
    return size + -size % _BLOCK_BYTES


def _read_exactly(content: Content, size: int) -> Iterator[bytes]:
    """Yield what a file holds, and see that it is what the header before it promised."""
    left = size
    for chunk in read_chunks(content):
        left -= len(chunk)
        if left < 0:
            break
        yield chunk
    if left:
        raise _unreadable(content, "its size changed while it was read")


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unreadable(path, error.strerror) from error


def _unreadable(content: Content, why: str | None) -> SnapshotDamagedError:
    name = content if isinstance(content, Path) else "a file"
    return SnapshotDamagedError(
        f"{name} cannot be read: {why}", hint="See who may read it, and let nothing change it."
    )
