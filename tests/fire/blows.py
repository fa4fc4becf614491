"""What is done to a command, and how many such things there are to do."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Literal

from tests.fire import faults
from tests.fire.faults import NO_FAULT, Fault

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Mapping

Kind = Literal[
    "kill", "term", "power", "disk", "slow", "clock", "home", "crowd", "engine", "inodes", "writes"
]
KINDS: tuple[Kind, ...] = (
    "kill",
    "term",
    "power",
    "disk",
    "slow",
    "clock",
    "home",
    "crowd",
    "engine",
    "inodes",
)
LONG: tuple[Kind, ...] = ("writes",)  # done where it is asked for alone

HOUR_S = 3600
ENDS = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGHUP: 129}
BROKEN = "EIO from then on"
_DISK: Mapping[str, Callable[[int], Fault]] = {
    "ENOSPC": faults.full_from,
    "EDQUOT": faults.over_quota_from,
    "EIO": faults.broken_at,
    BROKEN: faults.broken_from,
}
_JUMPS_S = (HOUR_S, -HOUR_S, 10 * 365 * 24 * HOUR_S, -10 * 365 * 24 * HOUR_S)


@dataclass(frozen=True, kw_only=True)
class Blow:
    """One thing that is done to one command: a fault, or a signal after some seconds."""

    kind: Kind
    what: str
    fault: Fault = NO_FAULT
    number: signal.Signals | None = None
    after_s: float = 0

    @property
    def is_harmless(self) -> bool:
        """Whether the command must do all the same what it was asked for."""
        return self.kind in {"slow", "clock"}

    @property
    def ends_at_once(self) -> bool:
        """Whether the command could do nothing more: then the next one tidies up."""
        return self.kind in {"kill", "power"} or self.what == BROKEN

    @property
    def breaks_disk(self) -> bool:
        """Whether the command finds its disk full or broken."""
        return self.kind in {"disk", "writes"}

    @property
    def leaves_work(self) -> bool:
        """Whether it is for the next command to take away what is left in an engine."""
        return self.ends_at_once or self.kind == "engine"

    def __str__(self) -> str:
        at = (
            f"{self.after_s:.3f} s"
            if self.number or self.kind == "engine"
            else f"call {self.fault.first}"
        )
        return f"{self.what} at {at}"


def blows(
    kind: Kind, *, calls: int, lasts_s: float, times: int, chance: random.Random
) -> Iterator[Blow]:
    """Yield so many blows against a command that lasts so long and writes so often.

    Where it writes no more often than that, each of its calls is met once; ``writes`` meets each of
    them twice, however many they are.
    """
    makers: Mapping[Kind, Callable[[int, float, int, random.Random], Iterator[Blow]]] = {
        "kill": _kills,
        "term": _terms,
        "power": _power_cuts,
        "disk": _disks,
        "slow": _slow,
        "clock": _clocks,
        "engine": _engine_kills,
        "writes": _every_write,
    }
    every = makers[kind](calls, lasts_s, times, chance)
    return every if kind in LONG else islice(every, times)


def _kills(calls: int, lasts_s: float, times: int, chance: random.Random) -> Iterator[Blow]:
    at_calls = iter(_some(calls, times // 2, chance))
    while True:
        moment = chance.uniform(0, lasts_s)
        yield Blow(kind="kill", what="SIGKILL", number=signal.SIGKILL, after_s=moment)
        first = next(at_calls, None)
        if first:
            yield Blow(kind="kill", what="SIGKILL", fault=faults.killed_at(first))


def _terms(calls: int, lasts_s: float, times: int, chance: random.Random) -> Iterator[Blow]:
    del calls, times
    while True:
        number = chance.choice([signal.SIGTERM, signal.SIGTERM, *ENDS])
        moment = chance.uniform(0.05, lasts_s)
        yield Blow(kind="term", what=number.name, number=number, after_s=moment)


def _power_cuts(calls: int, lasts_s: float, times: int, chance: random.Random) -> Iterator[Blow]:
    del lasts_s
    yield Blow(kind="power", what="power cut after its end")
    for first in _some(calls, times - 1, chance):
        yield Blow(kind="power", what="power cut", fault=faults.dark_from(first))


def _disks(calls: int, lasts_s: float, times: int, chance: random.Random) -> Iterator[Blow]:
    del lasts_s
    for number, first in enumerate(_some(calls, times, chance)):
        what = list(_DISK)[number % len(_DISK)]
        yield Blow(kind="disk", what=what, fault=_DISK[what](first))


def _every_write(calls: int, lasts_s: float, times: int, chance: random.Random) -> Iterator[Blow]:
    del lasts_s, times, chance
    for first in range(1, calls + 1):
        yield Blow(kind="writes", what="ENOSPC once", fault=faults.full_at(first))
        yield Blow(kind="writes", what="EIO once", fault=faults.broken_at(first))


def _slow(calls: int, lasts_s: float, times: int, chance: random.Random) -> Iterator[Blow]:
    del lasts_s, times, chance
    if calls:
        yield Blow(kind="slow", what="slow disk", fault=faults.slow(max(1, min(20, 4000 // calls))))


def _clocks(calls: int, lasts_s: float, times: int, chance: random.Random) -> Iterator[Blow]:
    del lasts_s
    for number, first in enumerate(_some(calls, times, chance)):
        jump = _JUMPS_S[number % len(_JUMPS_S)]
        yield Blow(kind="clock", what=f"clock {jump:+} s", fault=faults.clock_jumps(first, jump))


def _engine_kills(calls: int, lasts_s: float, times: int, chance: random.Random) -> Iterator[Blow]:
    del calls, times
    while True:
        moment = chance.uniform(0, lasts_s)
        yield Blow(kind="engine", what="the engine is killed", after_s=moment)


def _some(calls: int, times: int, chance: random.Random) -> list[int]:
    """Return so many of the calls, from 1 on, each but once; where they are few, all."""
    every = range(1, calls + 1)
    return list(every) if calls <= times else sorted(chance.sample(every, times))
