"""This program as it is now: another one may make something else of the same."""

from __future__ import annotations

import functools
import hashlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGE = Path(__file__).parent
_CODE = (".py", ".j2", ".csv", ".sh")


@functools.cache
def program_digest() -> str:
    """Give a digest of the status of every file of snapenv, and of the Python that runs it.

    A checkout has its templates beside the package.
    """
    places = (str(_PACKAGE), str(_PACKAGE.parent / "templates"))
    lines = [sys.version, *sorted(line for place in places for line in _files(place))]
    return hashlib.sha256("\n".join(lines).encode(errors="surrogatepass")).hexdigest()


def _files(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir():
                    if entry.name != "__pycache__":
                        yield from _files(entry.path)
                elif entry.name.endswith(_CODE):
                    status = entry.stat()
                    yield f"{entry.path} {status.st_size} {status.st_mtime_ns} {status.st_ino}"
    except OSError:
        return
