"""What the suite takes, by worker, by group and by fixture: waiting, and of its own processor.

    SNAPENV_TEST_TIMES=FOLDER PYTEST_ADDOPTS="-p tests.timing" make test
    python -m tests.timing FOLDER

Processor time is that of the worker and of the children it has waited for; what an engine's
daemon takes is in none.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

FOLDER = "SNAPENV_TEST_TIMES"
_MOST = 25
_LEAST_S = 0.05  # of a fixture

Row = dict[str, Any]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Write down a test from its set-up to its teardown, with the group that it belongs to."""
    group = item.get_closest_marker("xdist_group")
    with _taken("test", item.nodeid) as row:
        answer = yield
        row["group"] = group.args[0] if group else ""
    return answer


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, Any, Any]:
    """Write down a fixture, with what it asks for."""
    del request
    with _taken("fixture", f"{fixturedef.baseid}::{fixturedef.argname}"):
        answer = yield
    return answer


@contextlib.contextmanager
def _taken(kind: str, name: str) -> Iterator[Row]:
    """Write down what a block takes, with what it adds to the row that is yielded."""
    row: Row = {"kind": kind, "name": name, "start_s": time.time()}
    before = _cpu_s()
    yield row
    row |= {"wall_s": time.time() - row["start_s"], "cpu_s": _cpu_s() - before}
    if kind == "fixture" and row["wall_s"] < _LEAST_S:
        return
    folder = Path(os.environ[FOLDER])
    folder.mkdir(parents=True, exist_ok=True)
    worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    with (folder / f"{worker}.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")


def _cpu_s() -> float:
    """Return the processor time of this process, and of the children that it has waited for."""
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def tell(rows_by_worker: Mapping[str, Iterable[Row]]) -> Iterable[str]:
    """Yield what the suite took: the longest groups of each worker, then the longest parts."""
    everything = [row for rows in rows_by_worker.values() for row in rows]
    begun_s = min((row["start_s"] for row in everything), default=0.0)
    for worker, rows in sorted(rows_by_worker.items()):
        yield f"{worker}: from minute, wall s, cpu s, tests, group"
        groups = _sums((row for row in rows if row["kind"] == "test"), lambda row: row["group"])
        for name, (start_s, wall_s, cpu_s, count) in groups[:_MOST]:
            minute = (start_s - begun_s) / 60
            yield f"  {minute:5.1f} {wall_s:7.1f} {cpu_s:7.1f} {count:5} {name}"
    tests = [row for row in everything if row["kind"] == "test"]
    fixtures = [row for row in everything if row["kind"] == "fixture"]
    for title, chosen, key in (
        ("module", tests, lambda row: row["name"].partition("::")[0]),
        ("test", tests, lambda row: row["name"]),
        ("fixture, with what it asks for", fixtures, lambda row: row["name"]),
    ):
        yield f"wall s, cpu s, count, {title}"
        for name, (_, wall_s, cpu_s, count) in _sums(chosen, key)[:_MOST]:
            yield f"  {wall_s:7.1f} {cpu_s:7.1f} {count:5} {name[:150]}"


def _sums(
    rows: Iterable[Row], key: Callable[[Row], str]
) -> list[tuple[str, tuple[float, float, float, int]]]:
    """Return, by a key, when the first began, wall and processor seconds, and how many; most first."""
    sums: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        sums[key(row)].append(row)
    told = {
        name: (
            min(row["start_s"] for row in of_it),
            sum(row["wall_s"] for row in of_it),
            sum(row["cpu_s"] for row in of_it),
            len(of_it),
        )
        for name, of_it in sums.items()
    }
    return sorted(told.items(), key=lambda pair: -pair[1][1])


def main(folder: Path) -> None:
    """Print what a run that was written down took."""
    rows = {
        file.stem: [json.loads(line) for line in file.read_text().splitlines()]
        for file in folder.glob("*.jsonl")
    }
    sys.stdout.write("".join(f"{line}\n" for line in tell(rows)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
