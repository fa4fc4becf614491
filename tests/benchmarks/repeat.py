"""Train again and again in one environment, and count the alarms: there must be none.

``python -m tests.benchmarks.repeat [N] [ENV]``; 50 times, in the tests' own environment with
torch and ultralytics, on the GPU if there is one. Exits with 1 after an alarm.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv.targets.local import LocalTarget
from snapenv.verify.fingerprint import compare_fingerprints, fingerprint_check
from snapenv.verify.libraries import compare_libraries
from snapenv.verify.operators import compare_operators
from snapenv.verify.smoke_train import smoke_train
from snapenv.verify.speed import compare_speed
from tests.engines.exact import make_exact
from tests.engines.place import Place
from tests.verify.told import Told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.fingerprint import Fingerprint
    from snapenv.model.outcome import Check


def main(times: int, python: Path) -> int:
    """Compare each training with the first; give the number of alarms."""
    first, alarms, slow = train(python), 0, 0
    for number in range(2, times + 1):
        began = time.perf_counter()
        actual = train(python)
        odd = [check for check in compare(first, actual) if not check.ok]
        alarms += bool(odd)
        slow += is_slow(first, actual)
        for check in odd:
            print(f"{number}: {check.id} {check.severity}: {check.actual}; {check.fix}")
        print(f"{number}/{times} {time.perf_counter() - began:.1f} s, {alarms} alarms", flush=True)
    print(f"{times} runs on {first.conditions.device}: {alarms} alarms, {slow} slow")
    return alarms


def train(python: Path) -> Fingerprint:
    return smoke_train(LocalTarget(str(python)), device="auto", task=Told())


def compare(first: Fingerprint, actual: Fingerprint) -> Iterator[Check]:
    """Yield the checks of all that must repeat; an alarm is one that is not identical."""
    match = compare_fingerprints(first, actual, same_packages=True)
    yield replace(fingerprint_check(match), ok=match.tier == "identical")
    yield from compare_operators(first, actual)
    yield from compare_libraries(first, actual)


def is_slow(first: Fingerprint, actual: Fingerprint) -> bool:
    """Return whether a training was slower; other programs on the machine make it so."""
    check = compare_speed(first, actual)
    return bool(check and not check.ok)


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    place = Path(sys.argv[2]) / "bin" / "python" if len(sys.argv) > 2 else None
    sys.exit(bool(main(wanted, place or make_exact(Place.default()))))
