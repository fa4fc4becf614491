"""Run programs by turns, so that what else runs here hits all alike.

They run as a user's do: ``PYTHONDONTWRITEBYTECODE``, which many containers set, is taken away
unless a program is to have it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Work:
    """A program to measure, and what is done before each run of it.

    ``codes`` are the exit codes with which it has done its work.
    """

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    before: Callable[[], object] = lambda: None
    folder: Path | None = None
    codes: tuple[int, ...] = (0,)


@dataclass(frozen=True, kw_only=True, order=True)
class Cost:
    """What one run took.

    ``cpu_s`` is of all its processes together, ``memory_mib`` the most that one of them held.
    """

    seconds: float
    cpu_s: float = 0.0
    memory_mib: float = 0.0


def by_turns(works: Sequence[Work], *, rounds: int, warm: bool = True) -> dict[str, list[Cost]]:
    """Run every work once a round; with ``warm``, after a round that is not counted."""
    costs = [{work.name: run(work) for work in works} for _ in range(rounds + warm)][warm:]
    return {work.name: [cost[work.name] for cost in costs] for work in works}


def run(work: Work) -> Cost:
    """Run a program once.

    Raises:
        RuntimeError: It failed; the message ends with the last of what it said.
    """
    work.before()
    with tempfile.TemporaryFile() as said, tempfile.NamedTemporaryFile() as told:
        subprocess.run(
            (sys.executable, "-I", "-S", "-c", _LAUNCHER, told.name, *work.argv),
            check=True,
            cwd=work.folder,
            env={**_usual(os.environ), **work.environment},
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        code, seconds, cpu_s, memory_kib = json.load(told)
        if code not in work.codes:
            said.seek(0)
            words = said.read()[-2000:].decode(errors="replace")
            raise RuntimeError(f"{work.name} ended with {code}: {words}")
    return Cost(seconds=seconds, cpu_s=cpu_s, memory_mib=memory_kib / 1024)


# Linux counts what the process that starts a program holds as the program's own.
_LAUNCHER = """
import json, os, sys, time
began = time.perf_counter()
pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(pid, 0)
seconds = time.perf_counter() - began
code = os.waitstatus_to_exitcode(status)
with open(sys.argv[1], "w") as told:
    json.dump((code, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss), told)
"""


def _usual(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name != "PYTHONDONTWRITEBYTECODE"}
