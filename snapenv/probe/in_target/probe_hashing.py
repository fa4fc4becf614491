"""Hash many files on all processors; ``hashlib`` and reading let other threads work meanwhile."""

# mypy: disable-error-code="import-not-found"
# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH116, PTH123

from __future__ import annotations

import functools
import hashlib
import os
import stat
import threading
from typing import TYPE_CHECKING, Iterable, NamedTuple

import probe_index
import probe_machine

if TYPE_CHECKING:
    from probe_index import Index

BUFFER_BYTES = 1 << 18


class Hashed(NamedTuple):
    """One file as its bytes are now."""

    sha256: str
    size_bytes: int


def hash_files(paths: Iterable[str], index: Index | None = None) -> dict[str, Hashed]:
    """Hash each plain file; what is no plain file, or cannot be read, is left out.

    What ``index`` knows is taken from there, and what it does not know it learns.
    """
    index = index or probe_index.Index(None)
    found: dict[str, Hashed] = {}
    unknown: dict[str, os.stat_result] = {}
    for path in paths:
        status = _status(path)
        known = index.find(path, status) if status else None
        if status and known:
            found[path] = Hashed(known, status.st_size)
        elif status:
            unknown[path] = status
    _on_all_processors(unknown, found, index)
    return found


def _on_all_processors(
    unknown: dict[str, os.stat_result], found: dict[str, Hashed], index: Index
) -> None:
    # The end is taken first: the largest.
    queue = sorted(unknown.items(), key=lambda item: item[1].st_size)
    threads = [
        threading.Thread(target=_drain, args=(queue, found, index))
        for _ in range(min(len(queue), probe_machine.cpu_count()))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _drain(queue: list[tuple[str, os.stat_result]], found: dict[str, Hashed], index: Index) -> None:
    buffer = bytearray(BUFFER_BYTES)
    while True:
        try:
            path, before = queue.pop()
        except IndexError:
            return
        try:
            found[path] = _hash_file(path, buffer)
        except OSError:
            continue
        index.learn(path, found[path].sha256, before)


def _hash_file(path: str, buffer: bytearray) -> Hashed:
    view, digest, size_bytes = memoryview(buffer), hashlib.sha256(), 0
    with open(path, "rb", buffering=0) as file:
        while True:
            count = file.readinto(buffer)
            if not count:
                return Hashed(digest.hexdigest(), size_bytes)
            digest.update(view[:count])
            size_bytes += count


def _status(path: str) -> os.stat_result | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    is_file = stat.S_ISREG(status.st_mode) and status.st_dev not in _of_kernel()
    return status if is_file else None


@functools.lru_cache(maxsize=None)
def _of_kernel() -> frozenset[int]:
    """Give the devices whose files have no end, or wait to be read, such as /proc/kmsg."""
    places = filter(os.path.isdir, ("/proc", "/sys", "/sys/kernel/debug", "/sys/kernel/tracing"))
    return frozenset(os.stat(place).st_dev for place in places)
