"""Looking at GPUs through a real shared object that stands in for NVIDIA's NVML."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from snapenv.targets.gpu_samples import NvmlGpus
from tests.working_gpus import BUSY, DEADLOCK, HOT, IDLE, PULSES, gpu_uuid, working_gpus

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_LOOK = """
import json, sys, time
import msgspec
from snapenv.targets.gpu_samples import NvmlGpus
gpus = NvmlGpus()
looks = [gpus.read(60_000)]
for wait_s in map(float, sys.argv[1:]):
    time.sleep(wait_s)
    looks.append(gpus.read(round(wait_s * 1000)))
print(json.dumps(msgspec.to_builtins(looks)))
"""

Looks = list[list[dict[str, object]]]


@pytest.fixture
def look(tmp_path: Path) -> Callable[..., Looks]:
    """Return how to look, in a fresh process, at GPUs of these curves."""

    def ask(*curves: str, waits: tuple[float, ...] = (), **variables: str) -> Looks:
        environment = {**os.environ, **working_gpus(tmp_path, *curves), **variables}
        words = [sys.executable, "-c", _LOOK, *map(str, waits)]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
        looks: Looks = json.loads(done.stdout)
        return looks

    return ask


def percents(reading: dict[str, object]) -> list[float]:
    utilizations = reading["utilizations"]
    assert isinstance(utilizations, list)
    return [one[1] if isinstance(one, list) else one["percent"] for one in utilizations]


def test_every_sample_of_the_drivers_ring_is_read(look: Callable[..., Looks]) -> None:
    ((pulses, idle),) = look(PULSES, IDLE)

    assert len(percents(pulses)) == 120  # a minute was asked for, of which the ring has 20 s
    assert percents(pulses).count(100) in range(55, 66)
    assert set(percents(idle)) == {0}
    assert pulses["util_source"] == idle["util_source"] == "nvml"


def test_without_a_new_sample_the_latest_rate_counts(look: Callable[..., Looks]) -> None:
    (_, (busy,)) = look(BUSY, waits=(0.001,))

    assert percents(busy) == [97]


def test_what_a_gpu_tells_of_itself(look: Callable[..., Looks]) -> None:
    ((hot,),) = look(HOT)

    told = {name: hot[name] for name in ("gpu", "number", "model", "throttle", "temperature_c")}
    assert told == {
        "gpu": gpu_uuid(0),
        "number": "0",
        "model": "NVIDIA H200",
        "throttle": 36,
        "temperature_c": 61,
    }
    assert (hot["power_mw"], hot["power_limit_mw"], hot["clock_mhz"]) == (700_000, 700_000, 1980)
    assert hot["memory_bytes"] == 60_000 << 20


def test_a_deadlock_looks_busy_and_takes_little_power(look: Callable[..., Looks]) -> None:
    ((first,), (second,)) = look(DEADLOCK, waits=(0.4,))

    assert set(percents(second)) == {100}
    energy = int(str(second["energy_mj"])) - int(str(first["energy_mj"]))
    assert 0.39 * 120_000 <= energy < 4 * 120_000


def test_gpm_averages_the_time_between_two_looks(look: Callable[..., Looks]) -> None:
    ((first,), (second,)) = look(BUSY, waits=(0.3,), STUB_GPM="1")

    assert (percents(first), first["util_source"]) == ([], None)
    assert percents(second) == [pytest.approx(77.6)]  # the multiprocessors' share of 97
    assert second["util_source"] == "gpm_sm"


def test_mig_instances_have_memory_and_no_utilization(look: Callable[..., Looks]) -> None:
    ((_, one, other),) = look(BUSY, STUB_MIG="1")

    assert [one["gpu"], other["gpu"]] == [gpu_uuid(101), gpu_uuid(103)]
    assert [one["number"], other["number"]] == ["0.7", "0.9"]
    assert one["parent"] == other["parent"] == gpu_uuid(0)
    assert (percents(one), one["util_source"], one["power_mw"]) == ([], None, None)
    assert one["memory_bytes"] == 60_000 << 20


def test_gpm_tells_the_utilization_of_a_mig_instance(look: Callable[..., Looks]) -> None:
    (_, (_, one, _)) = look(BUSY, waits=(0.3,), STUB_MIG="1", STUB_GPM="1")

    assert percents(one) == [pytest.approx(77.6)]
    assert one["util_source"] == "gpm_sm"


def test_processes_on_a_gpu_are_told(look: Callable[..., Looks]) -> None:
    process = subprocess.Popen(["sleep", "60"], env={"STUB_ON_GPU": "alone-1"})
    try:
        ((first, second),) = look(BUSY, BUSY, STUB_MARK="alone-")
    finally:
        process.kill()
        process.wait()

    assert (first["pids"], second["pids"]) == ([], [process.pid])


def test_a_lost_gpu_is_left_out(look: Callable[..., Looks]) -> None:
    ((only,),) = look(BUSY, BUSY, STUB_LOST=" 1 ")

    assert only["gpu"] == gpu_uuid(0)


def test_without_a_driver_there_are_no_gpus() -> None:
    assert NvmlGpus().read(1000) == ()
