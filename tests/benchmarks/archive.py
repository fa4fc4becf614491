"""Measure an export against ``docker save | zstd -T0 -3``, in one run, and the sizes of both.

``python -m tests.benchmarks.archive IMAGE [ROUNDS]``, with DOCKER_HOST set; the image is one that
``snapenv build`` made, and its base is here too. Also the import of what was written, where the
image is here already, which is the check of every byte. What is written lies in TMPDIR.

The figures are medians of all rounds. On a machine that others use too, the seconds are theirs as
much as ours: compare the processor's seconds. Those of the engine itself are not among them.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.measure import Cost, Work, run, show

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PIPE = "docker save"
REPOSITORY = "snapenv-benchmark"


def main(image: str, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        works = [
            pipe(image, folder / PIPE),
            export(image, folder / "export"),
            export(image, folder / "export --delta", "--delta"),
            check(folder / "export"),
        ]
        costs = medians(works, rounds=rounds)
        show(costs, against=(PIPE,))
        show_cpu(costs)
        whole = (folder / PIPE).stat().st_size
        for path in sorted(folder.iterdir()):
            size = path.stat().st_size
            print(f"{path.name:34} {size / 1e6:9.1f} MB {size / whole:7.2%}")
        tag = image.rpartition(":")[2]
        subprocess.run(["docker", "rmi", f"{REPOSITORY}:{tag}"], check=True, capture_output=True)


def medians(works: Sequence[Work], *, rounds: int) -> Mapping[str, Cost]:
    """Run the works by turns, each once a round, after a round that is not counted."""
    costs = [{work.name: run(work) for work in works} for _ in range(rounds + 1)][1:]
    return {work.name: median([cost[work.name] for cost in costs]) for work in works}


def median(costs: Sequence[Cost]) -> Cost:
    """Return the middle of each figure by itself; of the memory the most."""
    return Cost(
        seconds=statistics.median(cost.seconds for cost in costs),
        cpu_s=statistics.median(cost.cpu_s for cost in costs),
        memory_mib=max(cost.memory_mib for cost in costs),
    )


def show_cpu(costs: Mapping[str, Cost]) -> None:
    """Print the processor's seconds as multiples of the pipe's."""
    for name, cost in costs.items():
        print(f"{name:34} {cost.cpu_s / costs[PIPE].cpu_s:7.2f} x the cpu s of {PIPE}")


def pipe(image: str, path: Path) -> Work:
    words = 'docker save "$1" | zstd -T0 -3 -q -o "$2"'
    return Work(
        name=path.name,
        argv=("sh", "-c", words, "sh", image, str(path)),
        environment={},
        before=lambda: path.unlink(missing_ok=True),
    )


def export(image: str, path: Path, *words: str) -> Work:
    return Work(
        name=path.name,
        argv=(sys.executable, "-m", "snapenv", "export", image, "-o", str(path), *words),
        environment={},
        before=lambda: path.unlink(missing_ok=True),
    )


def check(path: Path) -> Work:
    argv = (sys.executable, "-m", "snapenv", "import", str(path), "--repository", REPOSITORY)
    return Work(name="import, already here", argv=argv, environment={})


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3)
