"""This program as it is now: another one may make something else of the same."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
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
    """Identify snapenv: every file of it, and the Python that runs it.

    A checkout has its templates beside the package.
    """
    return code_digest(_PACKAGE, _PACKAGE.parent / "templates")


def has_rattler() -> bool:
    """Return whether py-rattler is installed beside snapenv, as the extra ``conda`` does it."""
    return importlib.util.find_spec("rattler") is not None


def code_digest(*places: Path) -> str:
    """Return a digest of the names and statuses of files, and of those in folders."""
    lines = [sys.version, *sorted(line for place in places for line in _files(str(place)))]
    return hashlib.sha256("\n".join(lines).encode(errors="surrogatepass")).hexdigest()


def _files(place: str) -> Iterator[str]:
    try:
        if not os.path.isdir(place):  # noqa: PTH112 - strings are three times as fast here
            yield _line(place, os.stat(place))  # noqa: PTH116
            return
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.is_dir():
                    if entry.name != "__pycache__":
                        yield from _files(entry.path)
                elif entry.name.endswith(_CODE):
                    yield _line(entry.path, entry.stat())
    except OSError:
        return


def _line(path: str, status: os.stat_result) -> str:
    return f"{path} {status.st_size} {status.st_mtime_ns} {status.st_ino}"
