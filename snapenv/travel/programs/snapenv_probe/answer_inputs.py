"""What the answer of a look hangs on besides the files of the site-packages that it walked.

Only of an environment that leads nowhere else is that known: one without links, editable
installations, ``.pth`` lines to folders, PYTHONPATH, and packages of an operating system or of an
image; in a prefix of conda, links may lead to other files of it. Most environments that pip and uv
make are such.
"""

# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH118, PTH120

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING, Iterable, Iterator

from snapenv_probe import conda, entry_scripts, import_path, pth, reachable
from snapenv_probe.file_status import MODE

if TYPE_CHECKING:
    from snapenv_probe.distribution import Distribution
    from snapenv_probe.file_tree import Statuses, Tree


def find(
    path: list[str], tree: Tree, everything: list[Distribution], visible: list[Distribution]
) -> set[str] | None:
    """Return the paths of files and folders, also of those that are not there; None if unknown."""
    leads_out = (
        any(package.folder not in tree.folders for package in everything)
        or any(package.sources for package in visible)
        or any(folder not in tree.folders and not _is_known(folder, tree) for folder in path)
        or any(_leads_out(file) for file in _links(tree.statuses()))
        or any(pth.names_folders(file) for file in _path_files(tree))
        or (os.path.lexists(_conda()) and not import_path.conda())
        or "NVIDIA_PYTORCH_VERSION" in os.environ
    )
    if leads_out:
        return None
    of_conda = conda.looked_at() if import_path.conda() else []
    return {_conda(), *of_conda, *_of_path(path, tree), *_of_files(tree, everything)}


def _is_known(folder: str, tree: Tree) -> bool:
    inside = any(import_path.is_below(folder, own) for own in tree.folders)
    return inside or reachable.is_of_python(folder)


def _links(files: Statuses) -> Iterator[str]:
    return (file for file, status in files.items() if stat.S_ISLNK(status[MODE]))


def _leads_out(link: str) -> bool:
    """Return whether a link may lead where nobody looks: in a prefix of conda, out of it."""
    root = import_path.conda()
    return root is None or not import_path.is_below(os.path.realpath(link), root)


def _path_files(tree: Tree) -> Iterator[str]:
    for folder, files in tree.folders.items():
        for file in files:
            if file.endswith(".pth") and os.path.dirname(file) == folder:
                yield file


def _conda() -> str:
    return os.path.join(import_path.prefix(), "conda-meta")


def _of_path(path: list[str], tree: Tree) -> Iterator[str]:
    """Name Python's own folders, where a distribution could appear, and that of its libraries."""
    yield from (folder for folder in path if folder not in tree.folders)
    yield os.path.join(sys.prefix, "lib")


def _of_files(tree: Tree, everything: list[Distribution]) -> Iterator[str]:
    """Name the files that lie elsewhere, such as scripts, and the interpreters that these name."""
    inside = tuple(folder + os.sep for folder in tree.folders)
    for package in everything:
        for entry in package.entries or ():
            if not entry.file.startswith(inside):
                yield entry.file
                if entry.file.endswith(".pyc"):
                    yield entry.file[:-1]
        yield from _interpreters(entry.file for entry in package.scripts)
    yield from _interpreters(filter(entry_scripts.is_in_bin, tree.around))


def _interpreters(scripts: Iterable[str]) -> Iterator[str]:
    yield from filter(None, map(entry_scripts.interpreter, scripts))
