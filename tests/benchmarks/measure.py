"""Run programs by turns, so that what else runs here hits all alike.

They run as a user's do: ``PYTHONDONTWRITEBYTECODE``, which many containers set, is taken away
unless a program is to have it.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
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
    with tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        process = subprocess.Popen(
            work.argv,
            cwd=work.folder,
            env={**_usual(os.environ), **work.environment},
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in work.codes:
            said.seek(0)
            words = said.read()[-2000:].decode(errors="replace")
            raise RuntimeError(f"{work.name} ended with {process.returncode}: {words}")
    cpu_s = usage.ru_utime + usage.ru_stime
    return Cost(seconds=seconds, cpu_s=cpu_s, memory_mib=usage.ru_maxrss / 1024)


def _usual(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name != "PYTHONDONTWRITEBYTECODE"}
