"""A restore as a venv, beside uv installing the same wheels: with all of them in its cache, and cold.

uv is given the snapshot's ``pylock.toml``, and the pins that it lists itself. snapenv also compares
every file with the lock. What is asked for: at most 2 s, warm, of an environment of 5 GB.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from snapenv.index.wheels import IndexWheels
from tests.benchmarks.bench import SNAPENV, UV, forget, home_of
from tests.benchmarks.measure import Work, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.benchmarks.bench import Bench
    from tests.benchmarks.results import Table

PINS = "uv pip sync, pins"


def measure(bench: Bench) -> Iterator[Table]:
    folder = bench.folder / "restore"
    folder.mkdir()
    index = IndexWheels(None).variables()
    warm, cold = ({**home_of(folder / name), **index} for name in ("warm", "cold"))
    captured = (*SNAPENV, "capture", "--python", bench.exact, "--no-smoke")
    run(Work(name="capture", argv=(*captured, "-o", str(folder / "snapshot")), environment=warm))
    freeze = (UV, "pip", "freeze", "--python", bench.exact)
    pins = subprocess.run(freeze, check=True, capture_output=True).stdout
    (folder / "pins.txt").write_bytes(pins)
    yield bench.table(
        "Warm: 59 packages with torch, 5 GB, every wheel in the cache",
        works(bench.exact, folder, warm),
        rounds=2,
        against=PINS,
    )
    yield bench.table(
        "Cold: the same, 2.9 GB from the index",
        [work for work in works(bench.exact, folder, cold) if "pylock" not in work.name],
        rounds=1,
        against=PINS,
        warm=False,
    )


def works(python: str, folder: Path, home: Mapping[str, str]) -> list[Work]:
    into, cold = folder / "restored", folder / "cold"
    install = (
        'set -e; "$1" venv -q --no-config -p "$2" "$3"; "$1" pip sync -q -p "$3/bin/python" "$4"'
    )
    sync = ("sh", "-c", install, "sh", UV, python, str(into))
    snapshot = str(folder / "snapshot")
    restore = (*SNAPENV, "restore", snapshot, "--engine", "venv", "--into", str(into))
    programs = {
        PINS: (*sync, str(folder / "pins.txt")),
        "uv pip sync, pylock.toml": (*sync, f"{snapshot}/pylock.toml"),
        "snapenv restore": (*restore, "--no-smoke", "--device", "cpu"),
    }
    return [
        Work(name=name, argv=argv, environment=home, before=lambda: forget(into, cold))
        for name, argv in programs.items()
    ]
