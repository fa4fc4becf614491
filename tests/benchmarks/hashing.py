"""Measure looking at an environment against hashlib alone, and what is kept of it.

``python -m tests.benchmarks.hashing [ENV/bin/python] [ROUNDS]``; without a Python, the
environment of the tests with torch and ultralytics. Each is also given as a multiple of hashlib.

What is asked for: "probe, every file" within 1.2 of hashlib alone, in less than 200 MiB. What a
whole capture takes is in ``tests.benchmarks.capture``.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from snapenv.travel.pack import pack
from tests.benchmarks.measure import Work, best, show
from tests.engines.exact import make_exact
from tests.engines.place import Place

if TYPE_CHECKING:
    from collections.abc import Callable

HASHLIB = """
import hashlib, os, sys, sysconfig
from concurrent.futures import ThreadPoolExecutor

def hash_file(path):
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(1 << 18):
            digest.update(chunk)
    return digest.hexdigest()

files = [os.path.join(folder, name)
         for folder, _, names in os.walk(sysconfig.get_path("purelib"))
         for name in names if not name.endswith(".pyc")]
with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
    print(len(list(threads.map(hash_file, files))))
"""


def main(python: str, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        costs = best(works(python, Path(folder)), rounds=rounds)
    show(costs, against=("hashlib alone",))


def works(python: str, folder: Path) -> list[Work]:
    probe, hashes, snapshot = folder / "probe.pyz", folder / "hashes", folder / "snapshot"
    probe.write_bytes(pack("snapenv_probe"))
    look = (python, "-B", str(probe))
    capture = ("-m", "snapenv", "capture", "--no-smoke", "--python", python, "-o", str(snapshot))
    cache = {"XDG_CACHE_HOME": str(folder / "cache")}

    def forget() -> None:
        shutil.rmtree(snapshot, ignore_errors=True)

    def forget_answer() -> None:
        for file in hashes.glob("*.answer"):
            file.unlink()

    def work(name: str, *argv: str, before: Callable[[], object] = forget) -> Work:
        return Work(name=name, argv=argv, environment=cache, before=before)

    return [
        work("hashlib alone", python, "-c", HASHLIB),
        work("probe, every file", *look),
        work("probe, every file kept", *look, "--index", str(hashes), "--rehash"),
        work("probe, nothing changed", *look, "--index", str(hashes)),
        work("probe, hashes alone kept", *look, "--index", str(hashes), before=forget_answer),
        work("capture, every file", sys.executable, *capture, "--rehash"),
    ]


if __name__ == "__main__":
    words = sys.argv[1:]
    main(
        words[0] if words else str(make_exact(Place.default())),
        int(words[1]) if len(words) > 1 else 5,
    )
