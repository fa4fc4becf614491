"""Put commands under fire, and print what was seen."""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.engines.place import UnavailableError
from tests.fire.attempts import do_undisturbed
from tests.fire.blows import KINDS, LONG, Kind
from tests.fire.burning import AT_ONCE, Asked, burn
from tests.fire.cases import LOCAL, WITH_ENGINE
from tests.fire.faults import Injector
from tests.fire.image_cases import WITH_IMAGE
from tests.fire.making import with_engine, with_image, without_engine
from tests.fire.together import mixed_crowd

if TYPE_CHECKING:
    from collections.abc import Sequence

_ROOMS = ((LOCAL, without_engine), (WITH_ENGINE, with_engine), (WITH_IMAGE, with_image))


def main() -> int:
    """Do as the options say; exit with 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.fire", description=__doc__)
    parser.add_argument(
        "--kind",
        choices=(*KINDS, *LONG),
        action="append",
        help="only this; may be repeated. writes, which fails each write once, is done only so",
    )
    parser.add_argument("--command", action="append", help="only this; may be repeated")
    parser.add_argument("--times", type=int, default=10, help="of each kind, for each command")
    parser.add_argument(
        "--mixed", type=int, default=0, help=f"so often, {AT_ONCE} different commands at once"
    )
    parser.add_argument("--seed", type=int, default=1)
    words = parser.parse_args()
    counts, wrong = Counter[tuple[str, Kind]](), list[str]()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):  # what was counted until then is told
        _burn_all(words, counts, wrong)
    sys.stdout.write(_table(counts) + f"\n{sum(counts.values())} in all, {len(wrong)} wrong\n")
    return bool(wrong)


def _burn_all(
    words: argparse.Namespace, counts: Counter[tuple[str, Kind]], wrong: list[str]
) -> None:
    asked = Asked(tuple(words.kind or KINDS), words.times, words.seed)
    with tempfile.TemporaryDirectory() as folder:
        injector = Injector(Path(folder, "injector"))
        for group, make in _ROOMS:
            every = not words.command and not words.mixed
            cases = [case for case in group if every or case.name in (words.command or ())]
            if cases:
                with make(Path(folder, make.__name__)) as room:
                    for case in cases:
                        try:
                            for met in burn(room, case, injector, asked):
                                counts[case.name, met.kind] += met.times
                                _tell(wrong, f"{case.name}, {met.what}", met.wrong)
                        except (AssertionError, UnavailableError) as error:  # others can be met
                            _tell(wrong, case.name, [f"it cannot be tried: {error}"])
                        sys.stdout.write(f"{case.name}: done\n")
                        sys.stdout.flush()
        for number in range(words.mixed):
            seed = words.seed + number
            _tell(
                wrong,
                f"{AT_ONCE} different at once, seed {seed}",
                _mix(Path(folder, f"mixed{number}"), injector, seed=seed),
            )


def _tell(wrong: list[str], what: str, found: Sequence[str]) -> None:
    """Say what is wrong at once, and count it once."""
    sys.stdout.writelines(f"{what}: {one}\n" for one in found)
    sys.stdout.flush()
    wrong.extend([what] * bool(found))


def _mix(folder: Path, injector: Injector, *, seed: int) -> list[str]:
    """Start different commands at once in one home, with one engine; return what is wrong."""
    every = [case for case in (*LOCAL, *WITH_ENGINE) if "DATABASE" not in case.words]
    cases = random.Random(seed).sample(every, AT_ONCE)
    with with_engine(folder) as room:
        usual = {case.name: do_undisturbed(room, case, injector) for case in cases}
        wrong = mixed_crowd(room, cases, usual)
        sys.stdout.write(f"at once: {', '.join(case.name for case in cases)}\n")
    return wrong


def _table(counts: Counter[tuple[str, Kind]]) -> str:
    kinds = [kind for kind in (*KINDS, *LONG) if any(of == kind for _, of in counts)]
    lines = [f"| {'command':22} | {' | '.join(kinds)} |", "| --- |" + " ---: |" * len(kinds)]
    for name in dict.fromkeys(name for name, _ in counts):
        numbers = " | ".join(f"{counts[name, kind]:5}" for kind in kinds)
        lines.append(f"| {name:22} | {numbers} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
