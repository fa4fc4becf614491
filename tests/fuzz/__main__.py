"""Fuzz the readers of foreign bytes: ``python -m tests.fuzz [--target NAME] [--minutes N]``.

What is new by its coverage is kept in a folder, from which the next run goes on; what was found
lies there too. With ``--replay`` the seeds are read, and nothing is changed in them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

_LEAST_S = 5  # for one target
_LINE = "{:20} {:>12} {:>7} {:>7} {:>9} {:>8}"


def main() -> int:
    sys.dont_write_bytecode = True  # nothing is written but what a reader writes
    arguments = _arguments()
    return replay(arguments.target) if arguments.replay else fuzz(arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--target", action="append", metavar="NAME", help="only these")
    parser.add_argument("--minutes", type=float, default=10, help="of all targets together")
    parser.add_argument("--jobs", type=int, default=1, help="how many targets at once")
    parser.add_argument("--replay", action="store_true", help="read the seeds, print JSON lines")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("~/.cache/snapenv-tests/fuzz").expanduser(),
        help="for what was found, and what the next run begins with",
    )
    return parser.parse_args()


def replay(names: list[str] | None) -> int:
    """Let each target read its seeds; print a line of JSON for each seed."""
    from tests.fuzz.target import try_reader
    from tests.fuzz.targets import SEEDS, TARGETS

    bad = False
    for target in (one for one in TARGETS if not names or one.name in names):
        for seed in sorted((SEEDS / target.name).iterdir()):
            finding, taken = try_reader(target, seed.read_bytes())
            bad = bad or finding is not None
            told = {"target": target.name, "seed": seed.name, "taken": taken}
            print(json.dumps({**told, "finding": finding and f"{finding.what}\n{finding.details}"}))
    return bad


def fuzz(arguments: argparse.Namespace) -> int:
    """Fuzz, print a line for each target, and what all came to."""
    from tests.fuzz import engine

    names = arguments.target or _all_names()
    seconds = max(_LEAST_S, round(arguments.minutes * 60 / len(names)))
    print(_LINE.format("target", "executions", "edges", "new", "findings", "seconds"), flush=True)
    began_s, ran = time.monotonic(), list[engine.Ran]()
    for one in engine.fuzz(names, seconds=seconds, jobs=arguments.jobs, folder=arguments.folder):
        ran.append(one)
        numbers = (f"{one.executions:,}", one.edges, one.new, one.findings, f"{one.fuzzed_s:.0f}")
        print(_LINE.format(one.name, *numbers), one.failure, flush=True)
    print(
        f"{len(ran)} targets, {sum(one.executions for one in ran):,} executions, "
        f"{sum(one.edges for one in ran):,} edges, {sum(one.findings for one in ran)} findings in "
        f"{sum(one.fuzzed_s for one in ran) / 60:.1f} minutes of fuzzing, "
        f"{sum(one.cpu_s for one in ran) / 60:.1f} of the processor, {(time.monotonic() - began_s) / 60:.1f} by the clock"
    )
    return any(one.findings or one.failure for one in ran)


def _all_names() -> list[str]:
    """Return the names of all targets; each has a folder of seeds.

    The targets themselves are imported where their readers are instrumented.
    """
    return sorted(path.name for path in (Path(__file__).parent / "seeds").iterdir())


if __name__ == "__main__":
    sys.exit(main())
