"""One distribution on the import path, as it is passed on by all that looks at it."""

# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH113, PTH118, PTH123

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from snapenv_probe import import_path

if TYPE_CHECKING:
    from snapenv_probe.record_file import Entry


class Sources(NamedTuple):
    """Where a distribution's sources lie, and what of them counts."""

    entries: list[Entry]  # under the paths that they would have in site-packages
    roots: list[str]  # the folders that .pth lines lead to
    wiring: frozenset[str]  # the .pth and finder files, which a wheel does not have
    is_found: bool  # False where something leads to sources and it is not known how


class Distribution(NamedTuple):
    """One distribution on the import path; ``entries`` is None where nothing says its files.

    That is so where it has no RECORD and is of the operating system's or an image's Python, or is
    imported from where its sources lie.

    ``digested`` are the files that are the same whoever installs them, ``scripts`` those whose
    first line may name the environment: sorted out once it is known to be ``visible``.
    """

    name: str
    version: str
    folder: str  # that it is imported from, absolute
    info: str  # the name of its .dist-info or .egg-info in there
    entries: list[Entry] | None
    sources: Sources | None = None  # of an editable installation
    digested: tuple[Entry, ...] = ()
    scripts: tuple[Entry, ...] = ()

    def read(self, name: str) -> str | None:
        """Return a file of its .dist-info."""
        return read_text(os.path.join(self.folder, self.info, name))

    def names(self, folder: str) -> list[str]:
        """List what is in a folder of its .dist-info or .egg-info; nothing where there is none."""
        inside: list[str] = import_path.names(os.path.join(self.folder, self.info, folder))
        return inside

    def counted(self) -> tuple[Entry, ...]:
        """Return all files but those that are compiled, or an installer's own."""
        return self.digested + self.scripts


def read_text(path: str) -> str | None:
    """Read a plain file: a pipe would never end, nor would a link to /dev/zero."""
    try:
        if not os.path.isfile(path):
            return None
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except OSError:
        return None
