"""What an earlier look saw, given again where nothing that it hangs on has changed since.

It hangs on every file and folder of the site-packages, and on every file that lies around them, by
name and status; on the files and folders besides that the look named; and on this program, the
interpreter and a few variables.
Two changes within one tick of a file system's clock cannot be told apart by a status; so nothing
is kept where something had only just changed, as in ``hash_index``.
"""

# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH112, PTH113, PTH120, PTH123

from __future__ import annotations

import hashlib
import json
import marshal
import os
import sys
import time

from snapenv_probe import cache, file_status, start

TYPE_CHECKING = False  # as in file_tree
if TYPE_CHECKING:
    from typing import Any, Iterable

    from snapenv_probe.file_status import Status
    from snapenv_probe.file_tree import Tree

MAGIC = b"snapenv-answer 2\n"
_VARIABLES = ("HOME", "LD_LIBRARY_PATH", "NVIDIA_PYTORCH_VERSION", "PYTHONPATH")
_ALIKE = 2  # the last form of ``marshal`` in which equal values are equal bytes


class Kept:
    """What was seen of one environment, in one file."""

    def __init__(self, file: str | None, path: list[str], *, now_ns: int | None = None) -> None:
        """Take a file, or none: then nothing is found, and nothing kept.

        ``now_ns`` is when this look begins, since 1970.
        """
        self._file = file
        self._path = path
        self._now_ns = time.time_ns() if now_ns is None else now_ns
        body = cache.read(file, MAGIC) if file else b""
        self._kept: dict[str, Any] = json.loads(body) if body else {}

    def find(self, tree: Tree) -> dict[str, Any] | None:
        """Return what was seen if it holds still; ``tree`` is of now."""
        kept = self._kept
        if kept.get("key") != self._key(tree) or kept["beside"] != _ask(kept["beside"]):
            return None
        facts: dict[str, Any] = kept["seen"]
        return facts

    def keep(self, facts: dict[str, Any], tree: Tree, beside: Iterable[str] | None) -> None:
        """Keep what was seen, that hangs on a tree and on paths beside it; None is for unknown."""
        if not self._file:
            return
        statuses = None if beside is None else _ask(beside)
        if statuses is None or self._is_recent(tree, statuses):
            cache.remove(self._file)
            return
        kept = {"key": self._key(tree), "beside": statuses, "seen": facts}
        cache.write(self._file, MAGIC, json.dumps(kept).encode("ascii"))

    def _key(self, tree: Tree) -> str:
        decides = (
            _program(),
            (sys.version, sys.prefix, sys.base_prefix, sys.executable, os.geteuid()),
            [os.environ.get(name) for name in _VARIABLES],
            self._path,
            tree.listed,
            ([*tree.around], [*tree.around.values()]),
        )
        return hashlib.sha256(marshal.dumps(decides, _ALIKE)).hexdigest()

    def _is_recent(self, tree: Tree, beside: dict[str, list[Any]]) -> bool:
        """Return whether anything may have changed since the look began, or change unnoticed.

        What is gone leaves no time behind but that of the folder that it was in.
        """
        of_tree = tree.statuses().values()
        of_beside = (status for both in beside.values() for status in both if status)
        gone = [_above(path) for path, (own, _) in beside.items() if own is None]
        return any(
            file_status.is_recent(status, self._now_ns)
            for statuses in (of_tree, of_beside, filter(None, map(file_status.ask, gone)))
            for status in statuses
        )


def _ask(paths: Iterable[str]) -> dict[str, list[Any]]:
    """Return of each path its own status and that of what it leads to, as JSON gives them back."""
    return {path: [_listed(path, follow=False), _listed(path, follow=True)] for path in paths}


def _listed(path: str, *, follow: bool) -> list[int] | None:
    status: Status | None = file_status.ask(path, follow=follow)
    return status and [*status]


def _above(path: str) -> str:
    """Return the nearest folder above that is there."""
    above = os.path.dirname(path)
    return above if above == path or os.path.isdir(above) else _above(above)


def _program() -> str:
    """Identify this program: another one may see the same otherwise."""
    if os.path.isfile(start.PROGRAM):
        with open(start.PROGRAM, "rb") as stream:
            return hashlib.sha256(stream.read()).hexdigest()
    place = os.path.dirname(__file__)
    return repr(sorted(_ask(entry.path for entry in os.scandir(place)).items()))
