"""The environment's own site-packages, walked once: every file in there with its status."""

# mypy: disable-error-code="import-not-found"
# Paths are plain strings: tens of thousands of them, and Path is several times slower.

from __future__ import annotations

import os
from typing import Dict, NamedTuple

import probe_status
from probe_status import Status

Statuses = Dict[str, Status]  # by path, absolute; of a link its own
_NONE: Status = (0, 0, 0, 0, 0, 0)  # of what has a path too long to be asked for


class Tree(NamedTuple):
    """What was there when the look began, without what Python compiles by itself."""

    folders: dict[str, Statuses]  # by site-packages; a folder that cannot be read is in there too
    inner: list[str]  # all folders, absolute

    def statuses(self) -> Statuses:
        """Give the files of all of them."""
        return {path: one for files in self.folders.values() for path, one in files.items()}


def walk(folders: list[str]) -> Tree:
    """List everything below some folders; links are files here, wherever they lead."""
    inner: list[str] = []
    return Tree({folder: _files(folder, inner) for folder in folders}, inner)


def _files(top: str, inner: list[str]) -> Statuses:
    found: Statuses = {}
    queue = [top]
    while queue:
        folder = queue.pop()
        inner.append(folder)
        try:
            queue += _read(folder, found)
        except OSError:
            found[folder] = probe_status.ask(folder, follow=False) or _NONE
    return found


def _read(folder: str, found: Statuses) -> list[str]:
    """Add the files of one folder to what was found, and give the folders in it.

    Raises:
        OSError: It cannot be read.
    """
    inner: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                found[entry.path] = probe_status.of(entry.stat(follow_symlinks=False))
            elif entry.name != "__pycache__":
                inner.append(entry.path)
    return inner
