"""A file that is locked for as long as the process lives that holds it.

Source: https://man7.org/linux/man-pages/man2/flock.2.html
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from typing import TYPE_CHECKING

from snapenv.durable import sync_handle
from snapenv.places import pinned

if TYPE_CHECKING:
    from pathlib import Path

_MODE = 0o600


class HeldError(Exception):
    """Another process holds the lock; ``text`` is what it wrote into the file."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class LockFile:
    """A lock file that this process holds."""

    def __init__(self, path: Path, handle: int) -> None:
        self._path = path
        self._handle = handle

    @classmethod
    def take(cls, path: Path, *, create: bool = True) -> LockFile:
        """Take the lock at ``path`` at once, or not at all.

        Raises:
            HeldError: Another process holds it.
            OSError: The file is not there (without ``create``), or cannot be made or opened.
        """
        flags = os.O_RDWR | (os.O_CREAT if create else 0) | os.O_NOFOLLOW | os.O_NONBLOCK
        while True:
            with pinned(path.parent) as above:
                handle = os.open(above / path.name, flags, _MODE)
            try:
                _refuse_foreign(handle, path)
                _lock(handle)
                if _is_at(handle, path):  # its last holder may have removed it meanwhile
                    return cls(path, handle)
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)

    def read(self) -> str:
        """Return what the last holder wrote, if it ended before it could remove the file."""
        return _read(self._handle)

    def append(self, text: str, *, lasting: bool = False) -> None:
        """Write at the end, in one piece; what is ``lasting`` is there after a power cut.

        Raises:
            OSError: The disk is full or broken.
        """
        os.lseek(self._handle, 0, os.SEEK_END)
        os.write(self._handle, text.encode(errors="surrogateescape"))
        if lasting:
            sync_handle(self._handle)

    def write(self, text: str, *, lasting: bool = False) -> None:
        """Write in the place of what the file holds.

        Raises:
            OSError: The disk is full or broken.
        """
        os.ftruncate(self._handle, 0)
        self.append(text, lasting=lasting)

    def remove(self) -> None:
        """Take the file away, and end the lock."""
        with contextlib.suppress(OSError), pinned(self._path.parent) as above:
            (above / self._path.name).unlink()
        self.release()

    def release(self) -> None:
        """End the lock; the file stays."""
        os.close(self._handle)


def _refuse_foreign(handle: int, path: Path) -> None:
    """Check that a file is not something else, which has another name too: it will be changed.

    Raises:
        OSError: It is.
    """
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        raise OSError(errno.EEXIST, "what is there is no lock file", str(path))


def _lock(handle: int) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise HeldError(_read(handle)) from error


def _read(handle: int) -> str:
    size = os.fstat(handle).st_size
    return os.pread(handle, size, 0).decode(errors="surrogateescape")


def _is_at(handle: int, path: Path) -> bool:
    try:
        there = path.lstat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(handle), there)
