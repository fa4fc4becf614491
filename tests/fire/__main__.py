"""Put commands under fire, and print what was seen."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.fire.attempts import attempt, do_undisturbed
from tests.fire.blows import KINDS, Kind, blows
from tests.fire.cases import LOCAL, Case
from tests.fire.faults import Injector
from tests.fire.making import furnished


def main() -> int:
    """Do as the options say; exit with 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.fire", description=__doc__)
    parser.add_argument("--kind", choices=KINDS, action="append", help="only this; may be repeated")
    parser.add_argument("--command", action="append", help="only this; may be repeated")
    parser.add_argument("--times", type=int, default=10, help="of each kind, for each command")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    cases = [case for case in LOCAL if not asked.command or case.name in asked.command]
    counts, wrong = Counter[tuple[str, Kind]](), 0
    with tempfile.TemporaryDirectory() as folder, furnished(Path(folder)) as room:
        injector = Injector(Path(folder, "injector"))
        for case in cases:
            usual = do_undisturbed(room, case, injector)
            calls, lasts_s = len(usual.calls), usual.done.lasted_s
            for kind in asked.kind or KINDS:
                chance = random.Random(f"{asked.seed} {case.name} {kind}")
                asked_for = blows(
                    kind, calls=calls, lasts_s=lasts_s, times=asked.times, chance=chance
                )
                for blow in asked_for:
                    found = attempt(room, case, blow, injector, usual)
                    counts[case.name, kind] += 1
                    wrong += bool(found)
                    sys.stdout.writelines(f"{case.name}, {blow}: {one}\n" for one in found)
                    sys.stdout.flush()
    sys.stdout.write(_table(cases, counts) + f"\n{sum(counts.values())} in all, {wrong} wrong\n")
    return bool(wrong)


def _table(cases: list[Case], counts: Counter[tuple[str, Kind]]) -> str:
    lines = [f"| {'command':16} | {' | '.join(KINDS)} |", "| --- |" + " ---: |" * len(KINDS)]
    for case in cases:
        numbers = " | ".join(f"{counts[case.name, kind]:5}" for kind in KINDS)
        lines.append(f"| {case.name:16} | {numbers} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
