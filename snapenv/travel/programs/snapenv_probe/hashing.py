"""Hash many files on all processors; ``hashlib`` and reading let other threads work meanwhile."""

# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH123

from __future__ import annotations

import hashlib
import threading
from collections import deque
from typing import TYPE_CHECKING, Callable, Iterable, NamedTuple

from snapenv_probe import file_status, hash_index, machine
from snapenv_probe.file_status import SIZE

if TYPE_CHECKING:
    from snapenv_probe.file_status import Status
    from snapenv_probe.file_tree import Statuses
    from snapenv_probe.hash_index import Index

BUFFER_BYTES = 1 << 18


class Hashed(NamedTuple):
    """One file as its bytes are now."""

    sha256: str
    size_bytes: int
    is_executable: bool = False  # by its owner


def hash_files(
    paths: Iterable[str], index: Index | None = None, statuses: Statuses | None = None
) -> dict[str, Hashed]:
    """Hash each plain file; what is no plain file, or cannot be read, is left out.

    What ``index`` knows is taken from there, and what it does not know it learns. ``statuses``
    are those that were asked for before, and are not asked for again.
    """
    index = index or hash_index.Index(None)
    known: dict[str, Hashed] = {}
    unknown: dict[str, Status] = {}
    known_statuses = statuses or {}
    for path in paths:
        status = known_statuses.get(path)
        if status is None or not file_status.is_plain(status):  # a link may lead to a plain one
            status = file_status.ask(path)
        if status is not None and file_status.is_plain(status):
            sha256 = index.find(path, status)
            if sha256:
                known[path] = Hashed(sha256, status[SIZE], file_status.is_executable(status))
            else:
                unknown[path] = status
    _on_all_processors(unknown, known, index)
    return known


def _on_all_processors(unknown: dict[str, Status], known: dict[str, Hashed], index: Index) -> None:
    """Hash the largest files first, and in one thread the smallest.

    Of small files most of the time goes into Python, whose lock one thread holds at a time, and of
    large ones nearly none: this takes three quarters of the time that all threads take together
    where they meet at the small files.
    """
    queue = deque(sorted(unknown.items(), key=lambda item: item[1][SIZE]))
    count = min(len(queue), machine.cpu_count())
    takes = [queue.pop] * count
    if count > 1:
        takes[0] = queue.popleft
    threads = [threading.Thread(target=_drain, args=(take, known, index)) for take in takes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _drain(take: Callable[[], tuple[str, Status]], known: dict[str, Hashed], index: Index) -> None:
    buffer = bytearray(BUFFER_BYTES)
    while True:
        try:
            path, before = take()
        except IndexError:
            return
        try:
            hashed = _hash_file(path, buffer)
            known[path] = hashed._replace(is_executable=file_status.is_executable(before))
        except OSError:
            continue
        index.learn(path, known[path].sha256, before)


def _hash_file(path: str, buffer: bytearray) -> Hashed:
    view, digest, size_bytes = memoryview(buffer), hashlib.sha256(), 0
    with open(path, "rb", buffering=0) as file:
        while True:
            count = file.readinto(buffer)
            if not count:
                return Hashed(digest.hexdigest(), size_bytes)
            digest.update(view[:count])
            size_bytes += count
