"""Files that are kept for the next look, in a folder of the user's own.

Each holds what it is, the SHA-256 of what follows, and that. They are only a cache: whatever is
wrong with one, it is passed over.
"""

# Paths are plain strings, as elsewhere in the probe.
# ruff: noqa: PTH103, PTH105, PTH108, PTH116, PTH118, PTH120, PTH123

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
import time

KEPT_S = 90 * 24 * 3600.0  # what was not written for so long is forgotten


def place(words: list[str]) -> str | None:
    """Return the file that ``--index FOLDER`` asks for, without its ending; None without it.

    Its name is this environment's, and does not say where the environment is.
    """
    if "--index" not in words:
        return None
    prefix = os.fsencode(os.path.realpath(sys.prefix))
    name = hashlib.sha256(prefix).hexdigest()[:32]
    return os.path.join(words[words.index("--index") + 1], name)


def read(file: str, magic: bytes) -> bytes:
    """Return what was written; empty where it is not there, is damaged, or may be another's."""
    content = _read(file)
    start = len(magic) + hashlib.sha256().digest_size
    body = content[start:]
    return body if content[:start] == magic + hashlib.sha256(body).digest() else b""


def write(file: str, magic: bytes, body: bytes, now_s: float | None = None) -> None:
    """Put a file in its place, and forget those that are long past; in silence where that fails.

    ``now_s`` is since 1970.
    """
    now_s = time.time() if now_s is None else now_s
    with contextlib.suppress(OSError):
        _write(file, magic + hashlib.sha256(body).digest() + body)
        _forget_old(os.path.dirname(file), now_s - KEPT_S)


def remove(file: str) -> None:
    """Remove a file, if it is there and it can be."""
    with contextlib.suppress(OSError):
        os.unlink(file)


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
    """Return whether nobody else could put a file into a folder, or another folder in its place."""
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
    """Return whether what lies in a folder can be moved only by its owner, by root or by us."""
    shared = status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX
    return status.st_uid in (0, os.geteuid()) and not shared
