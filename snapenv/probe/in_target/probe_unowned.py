"""Files in the environment's own site-packages that no distribution put there."""

# mypy: disable-error-code="import-not-found"
# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH118

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Iterator

import probe_origins
import probe_path
import probe_record

if TYPE_CHECKING:
    from probe_distributions import Distribution

LIMIT = 200  # paths that are named; past it nobody reads on
# Of virtualenv and uv, of setuptools (which some installers leave out of RECORD), of Python.
_OF_TOOLS = frozenset(
    ("_virtualenv.py", "_virtualenv.pth", "distutils-precedence.pth", "README.txt")
)


def find(everything: list[Distribution]) -> list[str]:
    """List them relative to their site-packages, sorted, at most ``LIMIT`` of them.

    Compiled files are left out, symbolic links are not followed.
    """
    owned = probe_origins.conda_files().union(*map(_owned, everything))
    paths = (
        probe_record.shown(os.path.relpath(file, folder))
        for folder in probe_path.site_folders()
        for file in _files(folder)
        if file not in owned and os.path.relpath(file, folder) not in _OF_TOOLS
    )
    return sorted(paths)[:LIMIT]


def _owned(found: Distribution) -> set[str]:
    info = os.path.join(found.folder, found.info)
    listed = (found.read("installed-files.txt") or "").splitlines()  # setuptools, without RECORD
    return {
        info,
        *(os.path.join(info, name) for name in probe_record.OF_INSTALLER),
        *(entry.file for entry in found.entries or ()),
        *(os.path.normpath(os.path.join(info, name)) for name in listed),
    }


def _files(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__":
                    yield from _files(entry.path)
            elif not probe_record.is_compiled(entry.name):
                yield entry.path
