"""Measure a capture of what has not changed against ``pip freeze`` in the same environment.

``python -m tests.benchmarks.capture [ROUNDS] [ENV/bin/python ...]``; without a Python, that of the
tests with torch and ultralytics (5 GB, 59 packages), and an everyday one of 378 packages (see
``everyday``). Both programs by turns, with bytecode as on a user's machine, and without any:
then neither finds bytecode of an earlier run. A round that is not counted makes the bytecode, and
what a capture keeps; all of that lies in a temporary folder.

``pip freeze`` is one process of the environment's own Python with this environment's pip, as where
pip is installed in there; ``pip --python`` starts two, and takes longer.

What is asked for: at most 1.0 of ``pip freeze``.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.everyday import make_everyday
from tests.benchmarks.measure import Work, by_turns
from tests.engines.exact import make_exact
from tests.engines.place import Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.benchmarks.measure import Cost

PIP, OURS = "pip freeze", "capture, nothing changed"


def main(pythons: Sequence[str], rounds: int) -> None:
    load = os.getloadavg()[0]
    print(f"medians of {rounds} rounds (lowest to highest), at a load of {load:.1f}")
    for python in pythons:
        with tempfile.TemporaryDirectory() as folder:
            for bytecode in (True, False):
                costs = by_turns(works(python, Path(folder), bytecode=bytecode), rounds=rounds)
                print(f"\n{python}, {'with' if bytecode else 'without'} bytecode")
                for row in rows(costs):
                    print(row)


def works(python: str, folder: Path, *, bytecode: bool) -> tuple[Work, ...]:
    """Return the programs; the snapshot of each round is removed before the next."""
    snapshot = folder / "snapshot"
    environment = {
        "XDG_CACHE_HOME": str(folder / "cache"),
        "PYTHONPYCACHEPREFIX": str(folder / ("bytecode" if bytecode else "none")),
        **({} if bytecode else {"PYTHONDONTWRITEBYTECODE": "1"}),
    }

    def work(name: str, *argv: str) -> Work:
        forget = lambda: shutil.rmtree(snapshot, ignore_errors=True)  # noqa: E731
        return Work(name=name, argv=argv, environment=environment, before=forget)

    capture = ("-m", "snapenv", "capture", "--no-smoke", "--python", python, "-o", str(snapshot))
    return (
        work(PIP, python, _pip(), "freeze"),
        work(OURS, sys.executable, *capture),
        work("snapenv --help", sys.executable, "-m", "snapenv", "--help"),
    )


def _pip() -> str:
    pip = find_spec("pip")
    if pip is None or pip.origin is None:
        raise RuntimeError("pip is not installed beside the tests")
    return str(Path(pip.origin).with_name("__pip-runner__.py"))


def rows(costs: Mapping[str, Sequence[Cost]]) -> Iterator[str]:
    """Say what each took, and as a multiple of pip freeze in the same round."""
    for name, found in costs.items():
        seconds, cpu_s = [one.seconds for one in found], [one.cpu_s for one in found]
        pairs = list(zip(found, costs[PIP], strict=True))
        wall = statistics.median(one.seconds / other.seconds for one, other in pairs)
        cpu = statistics.median(one.cpu_s / other.cpu_s for one, other in pairs)
        yield (
            f"{name:26} {_spread(seconds)} s, {_spread(cpu_s)} s of the processor; "
            f"{wall:.2f} x, {cpu:.2f} x of the processor"
        )


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def environments() -> Iterator[str]:
    """Yield the two environments, made if they are not there."""
    place = Place.default()
    yield str(make_exact(place))
    yield str(make_everyday(place))


if __name__ == "__main__":
    words = sys.argv[1:]
    main(words[1:] or list(environments()), int(words[0]) if words else 9)
