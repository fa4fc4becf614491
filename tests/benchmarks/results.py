"""What a part of the benchmarks found, as it is recorded: raw figures, and under which conditions."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.measure import Cost

RECORDED = Path(__file__).with_name("recorded")


class Row(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One program in a table: a figure for each round, in the order of the rounds.

    ``size`` is how much there was of what grows, ``size_bytes`` what was written or is to be moved.
    """

    name: str
    seconds: tuple[float, ...] = ()
    cpu_s: tuple[float, ...] = ()
    memory_mib: float | None = None  # the most of any round
    size_bytes: int | None = None
    size: float | None = None


class Table(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Programs that were run by turns; those of the same ``series`` differ in their size alone.

    ``against`` is the row that all others are given as multiples of.
    """

    title: str
    rows: tuple[Row, ...]
    against: str | None = None
    unit: str | None = None  # of the rows' size
    note: str = ""


class Outcome(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a tool brought back of one odd environment."""

    group: str
    case: str
    tool: str
    outcome: str
    why: str = ""


class Conditions(Struct, frozen=True, kw_only=True):
    """Where and when a part was measured; nothing in it names the machine."""

    date: str
    machine: str
    load: tuple[float, float]  # of the last minute, before and after
    seconds: float  # that the part took in all
    versions: dict[str, str]


class Result(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that one part found."""

    name: str
    conditions: Conditions
    tables: tuple[Table, ...] = ()
    outcomes: tuple[Outcome, ...] = ()


def make_row(name: str, costs: Sequence[Cost], *, size: float | None = None) -> Row:
    return Row(
        name=name,
        seconds=tuple(round(cost.seconds, 4) for cost in costs),
        cpu_s=tuple(round(cost.cpu_s, 4) for cost in costs),
        memory_mib=round(max(cost.memory_mib for cost in costs), 1),
        size=size,
    )


def write_result(folder: Path, result: Result) -> None:
    """Write what was found so far, in the place of what is there."""
    folder.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(result), indent=1)
    (folder / f"{result.name}.json").write_bytes(text + b"\n")


def read_result(name: str) -> Result | None:
    """Return what was recorded of a part; None where nothing was."""
    path = RECORDED / f"{name}.json"
    return msgspec.json.decode(path.read_bytes(), type=Result) if path.exists() else None


def today() -> str:
    return dt.datetime.now(tz=dt.timezone.utc).date().isoformat()


def describe_machine() -> str:
    """Return the kind of this machine: its processor, memory and system."""
    cores = len(os.sched_getaffinity(0))
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    kernel = ".".join(platform.release().split(".")[:2])
    return f"{cores} cores of {_processor()}, {memory_gb:.0f} GB, Linux {kernel}"


def _processor() -> str:
    names = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return next((" ".join(name.split()) for name in names), platform.machine())
