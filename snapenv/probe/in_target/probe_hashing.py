"""Hash many files on all processors; ``hashlib`` and reading let other threads work meanwhile."""

# mypy: disable-error-code="import-not-found"
# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH116, PTH123

from __future__ import annotations

import hashlib
import os
import stat
import threading
from typing import Iterable, NamedTuple

import probe_machine

BUFFER_BYTES = 1 << 18


class Hashed(NamedTuple):
    """One file as its bytes are now."""

    sha256: str
    size_bytes: int


def hash_files(paths: Iterable[str]) -> dict[str, Hashed]:
    """Hash each plain file; what is no plain file, or cannot be read, is left out."""
    sizes = {path: size for path in paths for size in [_size_bytes(path)] if size is not None}
    queue = sorted(sizes, key=sizes.__getitem__)  # its end is taken first: the largest
    found: dict[str, Hashed] = {}
    threads = [
        threading.Thread(target=_drain, args=(queue, found))
        for _ in range(min(len(queue), probe_machine.cpu_count()))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def _drain(queue: list[str], found: dict[str, Hashed]) -> None:
    buffer = bytearray(BUFFER_BYTES)
    while True:
        try:
            path = queue.pop()
        except IndexError:
            return
        try:
            found[path] = _hash_file(path, buffer)
        except OSError:
            continue


def _hash_file(path: str, buffer: bytearray) -> Hashed:
    view, digest, size_bytes = memoryview(buffer), hashlib.sha256(), 0
    with open(path, "rb", buffering=0) as file:
        while True:
            count = file.readinto(buffer)
            if not count:
                return Hashed(digest.hexdigest(), size_bytes)
            digest.update(view[:count])
            size_bytes += count


def _size_bytes(path: str) -> int | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
