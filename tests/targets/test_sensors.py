"""The sampler's wait and clocks, with real processes."""

from __future__ import annotations

import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest

from snapenv.targets.sensors import MachineSensors, wake

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    return tmp_path / "wake"


LONG_S = 60  # no machine is so slow that what happens in a moment takes as long


def waited_s(sensors: MachineSensors, seconds: float, *pids: int) -> float:
    before = time.monotonic()
    sensors.wait(seconds, pids)
    return time.monotonic() - before


def test_a_wait_ends_with_a_process(pipe: Path) -> None:
    with subprocess.Popen(["sleep", "0.5"]) as process, subprocess.Popen(["sleep", "99"]) as other:
        assert waited_s(MachineSensors(pipe), LONG_S, other.pid, process.pid) < LONG_S
        assert (process.poll(), other.poll()) == (0, None)
        other.kill()


def test_a_wait_ends_where_somebody_wakes_it_and_does_so_once(pipe: Path) -> None:
    sensors = MachineSensors(pipe)
    sensors.wait(0.0, ())
    woken = threading.Event()

    def wake_it() -> None:
        woken.set()
        wake(pipe)

    threading.Timer(0.5, wake_it).start()

    assert waited_s(sensors, LONG_S) < LONG_S
    assert woken.is_set()
    assert waited_s(sensors, 0.2) >= 0.2


def test_a_process_that_is_gone_wakes_nobody(pipe: Path) -> None:
    process = subprocess.Popen(["true"])
    process.wait()

    assert waited_s(MachineSensors(pipe), 0.2, process.pid) >= 0.2


def test_waking_nobody_does_nothing(pipe: Path) -> None:
    wake(pipe)
    assert not pipe.exists()

    MachineSensors(pipe).wait(0.0, ())
    wake(pipe)


def test_both_clocks_are_those_of_the_machine(pipe: Path) -> None:
    sensors = MachineSensors(pipe)

    for _ in range(2):
        before = (time.time(), time.clock_gettime(time.CLOCK_BOOTTIME))
        now = sensors.now()
        after = (time.time(), time.clock_gettime(time.CLOCK_BOOTTIME))
        assert round(before[0] * 1000) <= now.wall_ms <= round(after[0] * 1000)
        assert round(before[1] * 1000) <= now.boot_ms <= round(after[1] * 1000)
        time.sleep(0.2)
    assert len(sensors.boot_id()) == 36
