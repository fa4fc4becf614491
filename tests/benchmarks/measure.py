"""Run programs by turns, so that what else runs here hits all alike.

They run as a user's do: ``PYTHONDONTWRITEBYTECODE``, which many containers set, is taken away
unless a program is to have it.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Work:
    """A program to measure, and what is done before each run of it."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    before: Callable[[], object] = lambda: None


@dataclass(frozen=True, kw_only=True, order=True)
class Cost:
    """What one run took.

    ``cpu_s`` is of all its processes together, ``memory_mib`` the most that one of them held.
    """

    seconds: float
    cpu_s: float
    memory_mib: float


def best(works: Sequence[Work], *, rounds: int) -> dict[str, Cost]:
    """Run every work once a round, after a round that is not counted."""
    return {name: min(costs) for name, costs in by_turns(works, rounds=rounds).items()}


def by_turns(works: Sequence[Work], *, rounds: int) -> dict[str, list[Cost]]:
    """Run every work once a round, after a round that is not counted; give all costs."""
    costs = [{work.name: run(work) for work in works} for _ in range(rounds + 1)][1:]
    return {work.name: [cost[work.name] for cost in costs] for work in works}


def run(work: Work) -> Cost:
    """Run a program once.

    Raises:
        RuntimeError: It failed.
    """
    work.before()
    began = time.perf_counter()
    process = subprocess.Popen(
        work.argv,
        env={**_usual(os.environ), **work.environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{work.name} ended with {process.returncode}: {work.argv}")
    cpu_s = usage.ru_utime + usage.ru_stime
    return Cost(seconds=seconds, cpu_s=cpu_s, memory_mib=usage.ru_maxrss / 1024)


def _usual(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name != "PYTHONDONTWRITEBYTECODE"}


def show(costs: Mapping[str, Cost], *, against: Sequence[str]) -> None:
    """Print a table, with each one's time as a multiple of some of them."""
    print(
        f"{'':34} {'s':>7} {'cpu s':>7} {'MiB':>6} "
        + "".join(f"{f'/ {name}':>22}" for name in against)
    )
    for name, cost in costs.items():
        ratios = "".join(f"{cost.seconds / costs[other].seconds:22.2f}" for other in against)
        took = f"{cost.seconds:7.3f} {cost.cpu_s:7.3f} {cost.memory_mib:6.0f}"
        print(f"{name:34} {took} {ratios}")
