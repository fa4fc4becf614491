"""A disk of the engine's that takes no more: of bytes, or of inodes, which are told in one word.

Both are ENOSPC. What failed tells them apart, for the most part: a file system without inodes
writes what is there already, and makes nothing new. Afterwards the engine has taken away what it
had unpacked, so that both may be free again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from snapenv.errors import WriteError
from snapenv.sizes import size

if TYPE_CHECKING:
    from snapenv.model.host import HostEngine

_MAKES = re.compile(  # Go's and C's names of calls, and the words of tools, before a path
    r"(?<![\w/.-])(open(at)?|mkdir(at)?|mknod(at)?|(sym)?link(at)?|creat(e|ing)?)[\s:]"
    r"[^\n]*no space left on device",
    re.IGNORECASE,
)
_FEW = 100_000  # inodes: fewer than an image with torch and what lies around it may need
_NONE = 1000  # inodes that are as good as none


class FullDiskError(WriteError):
    """The engine's disk is full; ``makes`` says that something new could not be made."""

    def __init__(self, message: str, *, hint: str, makes: bool) -> None:
        super().__init__(message, hint=hint)
        self.makes = makes


def could_not_make(text: str) -> bool:
    """Return whether something new could not be made: there may be bytes, and no inodes."""
    return _MAKES.search(text) is not None


def full_disk(text: str) -> FullDiskError:
    """Say that the disk is full, as far as the engine's words tell it."""
    if could_not_make(text):
        return FullDiskError(
            "the disk of the Docker engine is full, of bytes or of inodes",
            hint="See df -h and df -i there, and free some: docker system df, docker system prune.",
            makes=True,
        )
    return FullDiskError(
        "the disk of the Docker engine is full",
        hint="Free some space there: docker system df, docker system prune.",
        makes=False,
    )


def with_inodes(error: FullDiskError, engine: HostEngine | None) -> WriteError:
    """Say that it is the inodes, where the engine's own file system shows that."""
    inodes = engine.free_inodes if engine else None
    if engine is None or inodes is None or inodes >= (_FEW if error.makes else _NONE):
        return error
    free = f"{size(engine.free_bytes)} are free" if engine.free_bytes else "bytes are free"
    return WriteError(
        f"the disk of the Docker engine has no inodes for further files: at {engine.root} {free}, "
        f"and {inodes:,} inodes, now that the engine has taken away what did not fit",
        hint=f"Take away images of many files: docker system prune; df -i {engine.root} shows how "
        "many there are. Or move the engine's data to a file system with more inodes.",
    )
