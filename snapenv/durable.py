"""What a power cut leaves whole: bytes that are on the disk before a name leads to them.

Linux keeps what is written in memory for half a minute; only what was synced is there afterwards.
Source: https://man7.org/linux/man-pages/man2/fsync.2.html
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from snapenv.threads import do_at_once

if TYPE_CHECKING:
    from collections.abc import Iterable

_AT_ONCE = 16  # a disk takes them together
_UNKNOWN = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.ENOTTY)  # to some file systems

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Return the kernel's random name of this start of the machine; empty where it has none.

    While it is the same, no power cut has taken away what was written and not synced.
    Source: https://man7.org/linux/man-pages/man4/random.4.html
    """
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def sync_handle(handle: int) -> None:
    """Wait until the disk has what an open file holds.

    Raises:
        OSError: The disk is full or broken; what was written before may be lost.
    """
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise


def sync_paths(paths: Iterable[Path]) -> None:
    """Wait until the disk has files, and the names that folders hold; links are passed over.

    Raises:
        OSError: The disk is full or broken, or one cannot be read.
    """
    there = [path for path in paths if not path.is_symlink()]
    do_at_once(_sync_path, there, most=_AT_ONCE)


def sync_tree(top: Path) -> None:
    """Wait until the disk has a file, or a folder with all that is in it.

    Raises:
        OSError: The disk is full or broken, or something cannot be read.
    """
    sync_paths([top, *top.rglob("*")] if top.is_dir() else [top])


def sync_disk_of(folder: Path) -> None:
    """Wait until the disk has all that was written to the file system of a folder, by anyone.

    It is for folders of too many files to sync each. Only Linux has it; elsewhere each is synced.

    Raises:
        OSError: The disk is full or broken.
    """
    import ctypes

    call = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if call is None:
        sync_tree(folder)
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        if call(handle) and ctypes.get_errno() not in _UNKNOWN:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
    finally:
        os.close(handle)


def _sync_path(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        sync_handle(handle)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(handle)
