"""Looking for secrets, beside hashing the same bytes, in one process.

Machine code, text and drawn bytes of the environment with torch and ultralytics are held in memory.
"""

from __future__ import annotations

import hashlib
import os
import random
import string
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from snapenv.secrets.model import Location, Secret
from snapenv.secrets.search import find_leaks
from tests.benchmarks.measure import Cost
from tests.benchmarks.results import Table, make_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.benchmarks.bench import Bench

HASH = "hashlib.sha256"
MOST = 128 << 20  # bytes, of each kind
CHUNK = 1 << 20
X = Location(name="x")


def measure(bench: Bench) -> Iterator[Table]:
    site = next(Path(bench.exact).parents[1].glob("lib/python*/site-packages"))
    kinds = {
        "machine code": read(site, ".so", ".so.13", ".so.9"),
        "text": read(site, ".py", ".json", ".yaml", "METADATA"),
        "drawn bytes": os.urandom(MOST // 2),
    }
    for kind, data in kinds.items():
        costs = {
            name: [time_of(work, data) for _ in range(bench.rounds(3))]
            for name, work in works().items()
        }
        rows = tuple(make_row(name, found) for name, found in costs.items())
        title = f"The search for secrets in {len(data) / 1e6:.0f} MB of {kind}, on one core"
        yield Table(title=title, rows=rows, against=HASH)


def works() -> dict[str, Callable[[bytes], object]]:
    """Return what is measured by its name; a machine has some ten secrets."""
    return {
        HASH: digest,
        "snapenv, forms of tokens": lambda data: find_leaks(X, chunks(data), ()),
        "snapenv, forms and 10 long secrets": lambda data: find_leaks(
            X, chunks(data), secrets(10, 40)
        ),
        "snapenv, forms and 10 short secrets": lambda data: find_leaks(
            X, chunks(data), secrets(10, 10)
        ),
        "snapenv, 10 long secrets": lambda data: find_leaks(
            X, chunks(data), secrets(10, 40), forms=False
        ),
    }


def time_of(work: Callable[[bytes], object], data: bytes) -> Cost:
    """Return what this process computed for it."""
    began = time.process_time()
    work(data)
    return Cost(seconds=time.process_time() - began)


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
