"""A first capture, which locks what is installed, beside uv locking the same pins.

All begin with empty caches. uv is told the pins that pip freeze lists, without their dependencies
where it can be: it need not look at a file. A capture also hashes 5 GB, and proves every package by
the RECORD of its index.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from snapenv.index.wheels import IndexWheels
from tests.benchmarks.bench import SNAPENV, UV, forget, home_of
from tests.benchmarks.measure import Work

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.benchmarks.bench import Bench
    from tests.benchmarks.results import Table

PROJECT = """
[project]
name = "project"
version = "1.0"
requires-python = ">=3.11,<3.12"
dependencies = {pins}
[tool.uv]
override-dependencies = ["opencv-python ; sys_platform == 'never'"]
"""


def measure(bench: Bench) -> Iterator[Table]:
    folder = bench.folder / "locking"
    folder.mkdir()
    pins = subprocess.run(
        (UV, "pip", "freeze", "--python", bench.exact), check=True, capture_output=True, text=True
    ).stdout.split()
    yield bench.table(
        "A lock with hashes of 59 packages, nothing known of the index",
        works(bench.exact, pins, folder),
        rounds=2,
        against="uv pip compile",
        warm=False,
    )


def works(python: str, pins: list[str], folder: Path) -> list[Work]:
    home, snapshot, locked = folder / "home", folder / "snapshot", folder / "uv.lock"
    (folder / "pins.txt").write_text("\n".join(pins))
    (folder / "pyproject.toml").write_text(PROJECT.format(pins=pins))
    compiled = ("--no-deps", "--generate-hashes", "--python", python, "-o", str(folder / "out.txt"))
    capture = ("capture", "--no-smoke", "--python", python, "-o", str(snapshot))
    programs = {
        "snapenv capture": (*SNAPENV, *capture),
        "uv pip compile": (UV, "pip", "compile", str(folder / "pins.txt"), *compiled),
        "uv lock": (UV, "lock", "--directory", str(folder), "--python", python),
    }
    return [
        Work(
            name=name,
            argv=argv,
            environment={**home_of(home), **IndexWheels(None).variables()},
            before=lambda: forget(home, snapshot, locked, folder / "out.txt"),
        )
        for name, argv in programs.items()
    ]
