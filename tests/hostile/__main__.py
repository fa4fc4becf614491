"""Let registries and indexes answer wrongly at every request of every command; print counts."""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path

from tests.hostile.cases import CASES
from tests.hostile.lies import LIES
from tests.hostile.making import stage
from tests.hostile.trials import attempt, do_undisturbed, wrongs


def main() -> int:
    """Do as the options say; exit with 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--command", action="append", help="only this; may be repeated")
    parser.add_argument("--lie", action="append", help="only this; may be repeated")
    parser.add_argument("--request", default="", help="only those whose line has this")
    parser.add_argument("--once", action="store_true", help="lie to one request, not for ever too")
    parser.add_argument("--tell", action="store_true", help="print how each command ended")
    parser.add_argument("--sample", type=int, help="only so many of each command")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    words = parser.parse_args()
    tried, codes, bad = Counter[str](), Counter[tuple[str, int]](), Counter[str]()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):  # what was tried until then is told
        _try_all(words, tried, codes, bad)
    sys.stdout.write(_table(tried, codes) + f"\n{tried.total()} in all, {bad.total()} wrong\n")
    return bool(bad.total())


def _try_all(
    words: argparse.Namespace,
    tried: Counter[str],
    codes: Counter[tuple[str, int]],
    bad: Counter[str],
) -> None:
    lies = tuple(lie for lie in LIES if not words.lie or lie.name in words.lie)
    for which, all_cases in CASES.items():
        cases = [case for case in all_cases if not words.command or case.name in words.command]
        if not cases:
            continue
        with (
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
            stage(Path(folder), which) as scene,
        ):
            for case in cases:
                usual = do_undisturbed(scene, case)
                every = list(
                    wrongs(usual, lies, for_ever=(False,) if words.once else (False, True))
                )
                known = len(every)
                every = [each for each in every if words.request in usual.asked[each.number - 1]]
                if words.sample is not None:
                    chance = random.Random(f"{words.seed} {case.name}")
                    every = chance.sample(every, min(words.sample, known))
                sys.stdout.write(
                    f"{case.name}: {len(usual.asked)} requests, {known} wrong answers to them, "
                    f"{len(every)} to be tried\n"
                )
                for wrong in every:
                    came = attempt(scene, case, wrong, usual)
                    tried[case.name] += 1
                    codes[case.name, came.code] += 1
                    bad[case.name] += bool(came.wrong)
                    if words.tell:
                        sys.stdout.write(f"{case.name}, {wrong}: {came.code} {came.said}\n")
                    sys.stdout.writelines(f"{case.name}, {wrong}: {one}\n" for one in came.wrong)
                    sys.stdout.flush()


def _table(tried: Counter[str], codes: Counter[tuple[str, int]]) -> str:
    known = sorted({code for _, code in codes})
    lines = [
        f"| command | wrong answers | {' | '.join(f'exit {code}' for code in known)} |",
        "| --- |" + " ---: |" * (len(known) + 1),
    ]
    for name, count in tried.items():
        numbers = " | ".join(str(codes[name, code]) for code in known)
        lines.append(f"| `{name}` | {count} | {numbers} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
