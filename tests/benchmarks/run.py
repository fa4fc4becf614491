"""Measure ``snapenv run`` against the equal ``docker run``.

``python -m tests.benchmarks.run IMAGE [ROUNDS]``; the image is a local one of snapenv's, and
DOCKER_HOST says where. By turns, of ``true`` in a container: snapenv's command, and docker's own
client with what ``--dry-run`` prints. The median of the differences, after a round that is not
counted.

What is asked for: at most 0.3 s between the two.
"""

from __future__ import annotations

import shlex
import statistics
import subprocess
import sys

from tests.benchmarks.measure import Work, by_turns

MOST_S = 0.3


def main(image: str, rounds: int) -> None:
    program = (sys.executable, "-m", "snapenv", "run", image)
    words = (*program, "--dry-run", "--", "true")
    shown = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
    equal = shlex.split(shown)
    at = equal.index("--name")  # another one each time
    del equal[at : at + 2]
    costs = by_turns(
        (
            Work(name="snapenv", argv=(*program, "--", "true"), environment={}),
            Work(name="docker", argv=equal, environment={}),
        ),
        rounds=rounds,
    )
    ours, dockers = ([cost.seconds for cost in costs[name]] for name in ("snapenv", "docker"))
    more = statistics.median(a - b for a, b in zip(ours, dockers, strict=True))
    print(
        f"snapenv run {statistics.median(ours):.3f} s, docker run {statistics.median(dockers):.3f} s"
    )
    print(f"{more:.3f} s more, the median of {rounds}; at most {MOST_S} s is asked for")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 15)
