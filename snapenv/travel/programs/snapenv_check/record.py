"""How the files of an environment stood when its image was made, and what was found of them then.

An image's files keep their names, sizes, modes and times of change on every machine, the times in
whole seconds, and so one digest over all of them is kept. A container's own changes show in that,
and also in the time at which a file was last touched (ctime), whatever a program puts into the
other: no file is trusted that was touched after the record itself, which is the last that was
written. Where an engine unpacks an image in another order, this trusts fewer files than it could.
"""

# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH118, PTH120, PTH123

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from typing import TYPE_CHECKING, Any, Iterable, Iterator, NamedTuple

from snapenv_check import compare, expected
from snapenv_probe import file_status, import_path, listing
from snapenv_probe.file_status import CTIME_NS, MODE, MTIME_NS, SIZE

if TYPE_CHECKING:
    from snapenv_check.compare import Finding
    from snapenv_probe.file_status import Status
    from snapenv_probe.file_tree import Tree

FILE = os.path.join(expected.FOLDER, "record.json")
_SECOND_NS = 1_000_000_000


class Recorded(NamedTuple):
    """What was found when the image was made."""

    findings: list[Finding]
    packages: int


def find(path: list[str], tree: Tree) -> Recorded | None:
    """Return what was found when the image was made, if every file is as it was then."""
    try:
        with open(FILE, encoding="utf-8") as file:
            known = json.load(file)
            trusted_ns = os.fstat(file.fileno()).st_ctime_ns
        holds = _holds(known, trusted_ns, path, tree)
        findings = [compare.Finding(**each) for each in known["findings"]]
        return Recorded(findings, known["packages"]) if holds else None
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None  # there is none, or it is damaged


def _holds(known: Any, trusted_ns: int, path: list[str], tree: Tree) -> bool:  # noqa: ANN401
    if known["path"] != path or known["python"] != _python():
        return False
    if not all(map(os.path.exists, known["libraries"])):
        return False
    digest, newest_ns = _sum_up(path, tree, known["beside"])
    return bool(digest == known["digest"] and newest_ns <= trusted_ns)


def write(
    path: list[str],
    tree: Tree,
    recorded: Recorded,
    *,
    hashed: Iterable[str],
    libraries: Iterable[str],
) -> None:
    """Write down how all stands; ``hashed`` files elsewhere count, and that ``libraries`` exist.

    Raises:
        OSError: It cannot be written.
    """
    walked = tuple(folder + os.sep for folder in (*tree.listed, *_others(path, tree)))
    beside = sorted(
        file for file in hashed if not file.startswith(walked) and file not in tree.around
    )
    digest, _ = _sum_up(path, tree, beside)
    document = {
        "path": path,
        "python": _python(),
        "libraries": sorted(libraries),
        "beside": beside,
        "digest": digest,
        "packages": recorded.packages,
        "findings": [each._asdict() for each in recorded.findings],
    }
    with open(FILE, "w", encoding="utf-8") as file:
        json.dump(document, file)


def _python() -> list[str]:
    """Identify the interpreter, and what is compared with."""
    with open(expected.path(), "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    return [sys.version, sys.prefix, sys.base_prefix, digest]


def _sum_up(path: list[str], tree: Tree, beside: list[str]) -> tuple[str, int]:
    """Return a digest over all files, and when the one was touched that was touched last, in ns."""
    digest, newest = hashlib.sha256(), 0
    for folder, statuses in _folders(path, tree, beside):
        lines = [folder]
        for name, status in sorted(statuses.items()):
            lines.append(_line(name, status))
            newest = max(newest, status[CTIME_NS])
        digest.update("\n".join(lines).encode(errors="surrogateescape") + b"\0")
    return digest.hexdigest(), newest


def _line(name: str, status: Status) -> str:
    """Describe one file by what an image keeps; of a link, not every engine keeps its times."""
    is_link = stat.S_ISLNK(status[MODE])
    changed_s = 0 if is_link else status[MTIME_NS] // _SECOND_NS
    return f"{name}\0{status[SIZE]} {status[MODE]} {changed_s}"


def _folders(
    path: list[str], tree: Tree, beside: list[str]
) -> Iterator[tuple[str, dict[str, Status]]]:
    """Yield the folders in one order, each with the statuses of its files by name."""
    listed = [*tree.listed.values(), *map(listing.walk, _others(path, tree))]
    every = (entries for each in listed for entries in listing.read(each))
    for folder, entries, _, unread in sorted(every, key=lambda each: each[0]):
        yield folder, {**dict(zip(entries[::2], entries[1::2])), **({"": unread} if unread else {})}
    yield "around", tree.around
    statuses: dict[str, Any] = {file: file_status.ask(file) for file in beside}
    yield "beside", {file: status or (0, 0, 0, 0, 0, 0) for file, status in statuses.items()}


def _others(path: list[str], tree: Tree) -> list[str]:
    """Return the folders besides the tree's whose files are compared: a base image's packages.

    Conda keeps its records in a folder that is no part of the tree.
    """
    library = os.path.dirname(os.__file__)
    own = {os.path.realpath(place) for place in (library, os.path.join(library, "lib-dynload"))}
    conda = import_path.conda()
    records = [os.path.join(conda, "conda-meta")] if conda else []
    return [
        *records,
        *(folder for folder in path if folder not in tree.listed and folder not in own),
    ]
