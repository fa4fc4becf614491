"""Looking at every file of an environment, beside hashlib alone, and what is kept of it.

What is asked for: a look at every file within 1.1 of hashlib on as many threads, in less than
200 MiB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.kept import Kept
from snapenv.targets.local import LocalTarget
from snapenv.travel.pack import pack, pack_compiled
from tests.benchmarks.bench import SNAPENV, forget, home_of
from tests.benchmarks.measure import Work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.benchmarks.bench import Bench
    from tests.benchmarks.results import Table

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
ALONE = "hashlib alone"


def measure(bench: Bench) -> Iterator[Table]:
    title = "Every file of 59 packages, 5 GB in memory already"
    works = looks(bench.exact, bench.folder / "hashing")
    yield bench.table(title, works, rounds=4, against=ALONE)


def looks(python: str, folder: Path) -> list[Work]:
    folder.mkdir(exist_ok=True)
    probe, hashes, snapshot = folder / "probe.pyz", folder / "hashes", folder / "snapshot"
    compiled = pack_compiled(
        "snapenv_probe", LocalTarget(python), Kept(None)
    )  # as a capture has it
    probe.write_bytes(compiled or pack("snapenv_probe"))
    look = (python, "-B", str(probe))
    capture = (*SNAPENV, "capture", "--no-smoke", "--python", python, "-o", str(snapshot))

    def forget_snapshot() -> None:
        forget(snapshot)

    def forget_answer() -> None:
        forget(*hashes.glob("*.answer"))

    def work(name: str, *argv: str, before: Callable[[], object] = forget_snapshot) -> Work:
        return Work(name=name, argv=argv, environment=home_of(folder), before=before)

    kept = (*look, "--index", str(hashes))
    return [
        work(ALONE, python, "-c", HASHLIB),
        work("snapenv's probe, every file", *look),
        work("snapenv capture --rehash", *capture, "--rehash"),
        work("snapenv's probe, hashes kept", *kept, before=forget_answer),
        work("snapenv's probe, nothing changed", *kept),
    ]
