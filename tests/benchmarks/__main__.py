"""Measure snapenv beside others: ``python -m tests.benchmarks [--only NAME] [--rounds N]``.

Each part writes what it found as soon as it has it, so that one that fails loses nothing of the
others; the exit code is then 1. ``--record`` writes where ``make docs`` reads.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
import time
import traceback
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks.bench import Bench
from tests.benchmarks.results import (
    RECORDED,
    Conditions,
    Outcome,
    Result,
    Table,
    describe_machine,
    today,
    write_result,
)
from tests.benchmarks.shown import lines_of

PARTS = (
    "capture",
    "hashing",
    "locking",
    "faithfulness",
    "restore",
    "images",
    "smoke_train",
    "listing",
    "growth",
    "leaks",
    "sampler",
)


def main(words: argparse.Namespace) -> int:
    folder = RECORDED if words.record else Path("build", "benchmarks")
    failed = [name for name in words.only or PARTS if not _measured(name, folder, words)]
    if failed:
        print(f"failed: {', '.join(failed)}")
    return bool(failed)


def _measured(name: str, folder: Path, words: argparse.Namespace) -> bool:
    """Measure one part and write all that it finds; return whether it came to its end."""
    part = importlib.import_module(f"tests.benchmarks.{name}")
    print(f"\n== {name}", flush=True)
    began, load = time.perf_counter(), os.getloadavg()[0]
    found: list[Table | Outcome] = []
    with tempfile.TemporaryDirectory(prefix="snapenv-bench-") as place:
        bench = Bench(folder=Path(place), asked_rounds=words.rounds, large=words.large)
        bench.versions.update({name: version(name) for name in ("snapenv", "pip", "uv")})
        try:
            for one in part.measure(bench):
                found.append(one)
                _say(one)
                conditions = _conditions(bench, load, time.perf_counter() - began)
                write_result(folder, _result(name, conditions, found))
        except Exception:  # noqa: BLE001 - whatever it is, the other parts go on
            traceback.print_exc()
            return False
    print(f"{name} took {time.perf_counter() - began:.0f} s", flush=True)
    return True


def _say(found: Table | Outcome) -> None:
    if isinstance(found, Table):
        print(*lines_of(found), sep="\n", flush=True)
    else:
        print(f"{found.case}: {found.tool}: {found.outcome} {found.why}", flush=True)


def _conditions(bench: Bench, load: float, seconds: float) -> Conditions:
    return Conditions(
        date=today(),
        machine=describe_machine(),
        load=(round(load, 2), round(os.getloadavg()[0], 2)),
        seconds=round(seconds, 1),
        versions=dict(sorted(bench.versions.items())),
    )


def _result(name: str, conditions: Conditions, found: list[Table | Outcome]) -> Result:
    return Result(
        name=name,
        conditions=conditions,
        tables=tuple(one for one in found if isinstance(one, Table)),
        outcomes=tuple(one for one in found if isinstance(one, Outcome)),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", action="append", choices=PARTS, help="measure this part")
    parser.add_argument("--rounds", type=int, help="of every program, instead of what is usual")
    parser.add_argument("--large", action="store_true", help="grow to 100 GB and 100 million")
    parser.add_argument("--record", action="store_true", help="write what the documents show")
    sys.exit(main(parser.parse_args()))
