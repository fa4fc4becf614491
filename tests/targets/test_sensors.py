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


def waited_s(sensors: MachineSensors, seconds: float, *pids: int) -> float:
    before = time.monotonic()
    sensors.wait(seconds, pids)
    return time.monotonic() - before


def test_a_wait_ends_with_a_process(pipe: Path) -> None:
    with subprocess.Popen(["sleep", "0.2"]) as process, subprocess.Popen(["sleep", "5"]) as other:
        assert 0.1 < waited_s(MachineSensors(pipe), 5, other.pid, process.pid) < 2
        other.kill()


def test_a_wait_ends_where_somebody_wakes_it_and_does_so_once(pipe: Path) -> None:
    sensors = MachineSensors(pipe)
    assert waited_s(sensors, 0.0) < 1
    threading.Timer(0.2, wake, (pipe,)).start()

    assert 0.1 < waited_s(sensors, 5) < 2
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


def test_both_clocks_go_on_alike(pipe: Path) -> None:
    sensors = MachineSensors(pipe)
    first = sensors.now()
    time.sleep(0.2)
    second = sensors.now()

    assert 190 <= second.boot_ms - first.boot_ms < 2000
    assert abs(second.wall_ms - first.wall_ms - (second.boot_ms - first.boot_ms)) <= 5
    assert abs(second.wall_ms - time.time() * 1000) < 2000
    assert len(sensors.boot_id()) == 36
