"""Measure a warm restore against what the engine itself needs for the same container.

``python -m tests.benchmarks.restore IMAGE [ROUNDS]``; the image is a local one of snapenv's, and
DOCKER_HOST says where. By turns: ``snapenv restore IMAGE --no-smoke`` as a program, and one
container of the image, asked of the engine alone: make it, put the probe into it, start its
Python, wait, remove it. Medians, after a round that is not counted.

What is asked for: at most 1.0 s between the two.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import TYPE_CHECKING

from snapenv.content import Tar
from snapenv.engine.address import find_address
from snapenv.engine.connection import connect
from snapenv.model.snapshot import IMAGE_PYTHON
from snapenv.travel.pack import pack
from tests.benchmarks.measure import Work, run

if TYPE_CHECKING:
    from docker import APIClient

MOST_S = 1.0


def main(image: str, rounds: int) -> None:
    argv = (sys.executable, "-m", "snapenv", "restore", image, "--no-smoke", "--device", "cpu")
    restore = Work(name="restore", argv=argv, environment={})
    client = connect(find_address())
    pairs = [(run(restore).seconds, container(client, image)) for _ in range(rounds + 1)][1:]
    ours, engines = (statistics.median(seconds) for seconds in zip(*pairs, strict=True))
    print(f"restore {ours:.3f} s, the engine {engines:.3f} s, medians of {rounds}")
    print(f"{ours - engines:.3f} s more; at most {MOST_S} s is asked for")


def container(client: APIClient, image: str) -> float:
    """Return the seconds of one container's life."""
    began = time.perf_counter()
    made = client.create_container(
        image,
        command=[IMAGE_PYTHON, "-c", "pass"],
        host_config=client.create_host_config(network_mode="none"),
    )
    try:
        client.put_archive(made["Id"], "/tmp", iter(Tar({"probe.pyz": pack("snapenv_probe")}, ".")))
        client.start(made["Id"])
        client.wait(made["Id"])
    finally:
        client.remove_container(made["Id"], v=True, force=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 9)
