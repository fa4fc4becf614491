"""Tar archives, as the engine gives files. What it gives is not trusted."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from snapenv.engine.docker_save import read_chunks
from snapenv.errors import EngineError, NotFoundError
from snapenv.tars import DAMAGED, is_plain, open_stream

if TYPE_CHECKING:
    import tarfile
    from collections.abc import Iterable, Iterator, Mapping

MAX_FILES = 64
MAX_FILE_BYTES = 16 * 1024 * 1024
_BLOCK_BYTES = 64 << 10  # tarfile copies what is left of one at each small read
_MAX_WALKED = 2_000_000
_MAX_MEMBERS = 4096  # of an archive, with what is left out of it


def unpack_folder(chunks: Iterable[bytes], *, where: str) -> Mapping[str, bytes]:
    """Read the plain files directly in the one folder of a tar; links and the like are left out.

    Raises:
        NotFoundError: It is a tar of a file.
        EngineError: There are more than 64 files, one is over 16 MiB, or it is no tar.
    """
    try:
        with open_stream(_Reader(chunks)) as archive:
            return _read_members(archive, where)
    except DAMAGED as error:
        raise _refused(f"{where} arrives incomplete: {error}") from error


def walk_folder(
    chunks: Iterable[bytes], *, where: str
) -> Iterator[tuple[str, Iterator[bytes] | None]]:
    """Yield all but folders below the one folder of a tar, by its path from there.

    Of a plain file, its bytes, which are to be read before the next is asked for; of all else None.

    Raises:
        EngineError: It is no tar, breaks off, or holds too many files.
    """
    try:
        with open_stream(_Reader(chunks), block_bytes=_BLOCK_BYTES) as archive:
            for number, member in enumerate(archive):
                _, _, path = member.name.partition("/")
                if number >= _MAX_WALKED:
                    raise _refused(f"{where} holds more than {_MAX_WALKED:,} files")
                archive.members.clear()  # type: ignore[attr-defined]  # which tarfile keeps
                if member.isdir():
                    continue
                content = archive.extractfile(member) if is_plain(member) else None
                yield path, read_chunks(content) if content else None
    except DAMAGED as error:
        raise _refused(f"{where} arrives incomplete: {error}") from error


def _read_members(archive: tarfile.TarFile, where: str) -> Mapping[str, bytes]:
    files: dict[str, bytes] = {}
    for number, member in enumerate(archive):
        if number == 0 and not member.isdir():
            raise NotFoundError(
                f"{where} is not a folder", hint="Check that it is the right image."
            )
        if len(files) >= MAX_FILES or number >= _MAX_MEMBERS:
            raise _refused(f"{where} holds more than {MAX_FILES} files")
        _, _, name = member.name.partition("/")
        if not member.isreg() or not name or "/" in name:
            continue
        if member.size > MAX_FILE_BYTES:
            raise _refused(f"{where}/{name} is over {MAX_FILE_BYTES // 1024**2} MiB")
        content = archive.extractfile(member)
        files[name] = content.read() if content else b""
    return files


def _refused(message: str) -> EngineError:
    return EngineError(message, hint="snapenv did not write this folder; do not trust it.")


class _Reader(io.RawIOBase):
    """A readable file made of chunks."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Return ``size`` bytes, fewer only at the end; all the rest for -1."""
        parts = [self._rest]
        have = len(self._rest)
        while size < 0 or have < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            parts.append(chunk)
            have += len(chunk)
        data = b"".join(parts)
        end = have if size < 0 else size
        self._rest = data[end:]
        return data[:end]
