"""Measure looking for secrets against hashing the same bytes, in one process and one run.

``python -m tests.benchmarks.leaks [ENV] [ROUNDS]``; without an environment, that of the tests with
torch and ultralytics. Machine code, text and drawn bytes of it are held in memory.
"""

from __future__ import annotations

import hashlib
import os
import random
import string
import sys
import time
from itertools import islice
from typing import TYPE_CHECKING

from snapenv.secrets.model import Location, Secret
from snapenv.secrets.search import find_leaks
from tests.engines.exact import make_exact
from tests.engines.place import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

MOST = 128 << 20  # bytes, of each kind
CHUNK = 1 << 20
X = Location(name="x")


def main(environment: Path, rounds: int) -> None:
    (site,) = environment.glob("lib/python*/site-packages")
    kinds = {
        "machine code": read(site, ".so", ".so.13", ".so.9"),
        "text": read(site, ".py", ".json", ".yaml", "METADATA"),
        "drawn bytes": os.urandom(MOST // 2),
    }
    print(f"{'MB/s of one core':18} " + "".join(f"{name:>26}" for name in works()))
    for kind, data in kinds.items():
        speeds = (f"{best(work, data, rounds):26.0f}" for work in works().values())
        print(f"{kind:18} " + "".join(speeds))


def works() -> dict[str, Callable[[bytes], object]]:
    """Return what is measured by its name; a machine has some ten secrets."""
    return {
        "hashlib.sha256": digest,
        "forms": lambda data: find_leaks(X, chunks(data), ()),
        "forms, 10 long secrets": lambda data: find_leaks(X, chunks(data), secrets(10, 40)),
        "forms, 10 short secrets": lambda data: find_leaks(X, chunks(data), secrets(10, 10)),
        "10 long secrets": lambda data: find_leaks(X, chunks(data), secrets(10, 40), forms=False),
    }


def best(work: Callable[[bytes], object], data: bytes, rounds: int) -> float:
    """Return the best speed in MB/s, by the time that this process computed."""
    seconds = []
    for _ in range(rounds):
        began = time.process_time()
        work(data)
        seconds.append(time.process_time() - began)
    return len(data) / 1e6 / min(seconds)


def digest(data: bytes) -> str:
    hashed = hashlib.sha256()
    for chunk in chunks(data):
        hashed.update(chunk)
    return hashed.hexdigest()


def chunks(data: bytes) -> Iterator[bytes]:
    return (data[start : start + CHUNK] for start in range(0, len(data), CHUNK))


def secrets(count: int, length: int) -> Sequence[Secret]:
    draw = random.Random(length)
    letters = string.ascii_letters + string.digits
    return [Secret(value="".join(draw.choices(letters, k=length)), what="x") for _ in range(count)]


def read(site: Path, *ends: str) -> bytes:
    """Read files of some kinds, of each its first 32 MiB, until there is enough."""
    paths = (path for path in sorted(site.rglob("*")) if path.name.endswith(ends))
    data = bytearray()
    for path in islice(paths, 20_000):
        with path.open("rb") as file:
            data += file.read(32 << 20)
        if len(data) >= MOST:
            break
    return bytes(data[:MOST])


if __name__ == "__main__":
    from pathlib import Path

    words = sys.argv[1:]
    main(
        Path(words[0]) if words else make_exact(Place.default()).parent.parent,
        int(words[1]) if len(words) > 1 else 3,
    )
