"""What files hashed to when they were last read, so that those that did not change are not read.

One file for each environment, in a folder of the user's own. It holds, little-endian: ``MAGIC``,
the SHA-256 of all that follows, the number of entries (8 bytes), an entry for each file
(``_ROW``, 72 bytes), and the paths of the files in the same order, with a zero byte between.
That form loads in a third of the time that JSON takes. It is only a cache: whatever is wrong with
it, it is passed over.

A file is taken as unchanged where its size, both its times, its inode and its device are the
same. Two changes within one tick of the file system's clock cannot be told apart by that; so, as
git does it, a file that had just changed when it was read is read again the next time.
Source: https://git-scm.com/docs/racy-git
"""

# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH103, PTH105, PTH108, PTH116, PTH118, PTH120, PTH123

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import struct
import sys
import time

MAGIC = b"snapenv-hashes 1\n"
KEPT_S = 90 * 24 * 3600.0  # an index that was not written for so long is forgotten
RACY_NS = 2_000_000_000  # the coarsest clock of a file system, that of FAT
_ROW = struct.Struct("<QqqQQ32s")  # size, mtime and ctime in ns, inode, device; SHA-256
_KEY = struct.Struct("<QqqQQ")
_COUNT = struct.Struct("<Q")
_START = len(MAGIC) + hashlib.sha256().digest_size


class Index:
    """The hashes that are known, and those that were seen now."""

    def __init__(
        self, file: str | None, *, rehash: bool = False, now_ns: int | None = None
    ) -> None:
        """Open the index in ``file``, or one that is nowhere; with ``rehash``, as if empty.

        ``now_ns`` is when this look begins, since 1970.
        """
        self._file = file
        self._now_ns = time.time_ns() if now_ns is None else now_ns
        self._rows, self._place = _parse(_read(file)) if file and not rehash else (b"", {})
        self._seen: dict[str, bytes] = {}
        self._is_new = rehash

    def find(self, path: str, status: os.stat_result) -> str | None:
        """Give the SHA-256 of a file that is as it was, in hex; None where it must be read."""
        place = self._place.get(path)
        if place is None:
            return None
        row = self._rows[place : place + _ROW.size]
        if row[: _KEY.size] != _key(status):
            return None
        self._seen[path] = row
        return row[_KEY.size :].hex()

    def learn(self, path: str, sha256: str, before: os.stat_result) -> None:
        """Remember a file by its status before it was read, unless it had only just changed.

        If it changes while it is read, then its status is another the next time.
        """
        key = _key(before)
        if key and max(before.st_mtime_ns, before.st_ctime_ns) + RACY_NS < self._now_ns:
            self._seen[path] = key + bytes.fromhex(sha256)
            self._is_new = True

    def save(self) -> None:
        """Write what was seen, where that is not what was read; nothing is said where it fails."""
        if self._file and (self._is_new or len(self._seen) != len(self._place)):
            with contextlib.suppress(OSError):
                _write(self._file, _pack(self._seen))
                _forget_old(os.path.dirname(self._file), self._now_ns / 1e9 - KEPT_S)


def of_arguments(words: list[str]) -> Index:
    """Open the index that ``--index FOLDER`` asks for, anew with ``--rehash``; else none."""
    if "--index" not in words:
        return Index(None)
    folder = words[words.index("--index") + 1]
    return Index(os.path.join(folder, _name()), rehash="--rehash" in words)


def _name() -> str:
    """Name the index of this environment, without saying where the environment is."""
    prefix = os.fsencode(os.path.realpath(sys.prefix))
    return hashlib.sha256(prefix).hexdigest()[:32] + ".index"


def _key(status: os.stat_result) -> bytes:
    """Pack what changes with a file; empty where a number is past what any file system gives."""
    try:
        return _KEY.pack(
            status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev
        )
    except struct.error:
        return b""


def _pack(seen: dict[str, bytes]) -> bytes:
    paths = b"\0".join(map(os.fsencode, seen))
    body = b"".join([_COUNT.pack(len(seen)), *seen.values(), paths])
    return MAGIC + hashlib.sha256(body).digest() + body


def _parse(content: bytes) -> tuple[bytes, dict[str, int]]:
    """Give the rows as they lie there, and where in them each path has its own."""
    body = content[_START:]
    if content[:_START] != MAGIC + hashlib.sha256(body).digest():
        return b"", {}
    (count,) = _COUNT.unpack_from(body)
    rows = body[_COUNT.size : _COUNT.size + count * _ROW.size]
    paths = os.fsdecode(body[_COUNT.size + len(rows) :]).split("\0")
    return rows, dict(zip(paths, range(0, len(rows), _ROW.size)))


def _read(file: str) -> bytes:
    """Read a plain file of our own; empty where there is none, or others could have written it."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as stream:
            own = _is_own(os.fstat(descriptor)) and _is_safe(os.path.dirname(file))
            return stream.read() if own else b""
    except OSError:
        return b""


def _write(file: str, content: bytes) -> None:
    """Put a file in its place whole, where nobody else could put one.

    Raises:
        OSError: The place is not there, cannot be written, or is full.
    """
    folder = os.path.dirname(file)
    _make_private(folder)
    if not _is_safe(folder):
        return
    temporary = f"{file}.{os.getpid()}"
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(temporary, flags, 0o600), "wb") as stream:
            stream.write(content)
        os.replace(temporary, file)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _forget_old(folder: str, before_s: float) -> None:
    """Remove what was last written before that, seconds since 1970; its environment is long gone.

    Raises:
        OSError: The folder cannot be read, or another probe was quicker.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.stat(follow_symlinks=False).st_mtime < before_s:
                os.unlink(entry.path)


def _make_private(folder: str) -> None:
    before = os.umask(0o077)
    try:
        os.makedirs(folder, exist_ok=True)
    finally:
        os.umask(before)


def _is_safe(folder: str) -> bool:
    """Say whether nobody else could put a file into a folder, or another folder in its place."""
    folder = os.path.realpath(folder)
    if not _is_own(os.stat(folder)):
        return False
    while folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
        if not _is_kept(os.stat(folder)):
            return False
    return True


def _is_own(status: os.stat_result) -> bool:
    plain = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
    return plain and status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _is_kept(status: os.stat_result) -> bool:
    """Say whether what lies in a folder can be moved only by its owner, by root or by us."""
    shared = status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX
    return status.st_uid in (0, os.geteuid()) and not shared
