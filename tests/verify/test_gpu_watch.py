"""Watching a GPU, through a real shared object that stands in for NVIDIA's NVML."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from snapenv.travel.pack import pack
from tests.probe.environments import compile_library

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

NVML = r"""
#include <stdlib.h>
#include <string.h>
static int number(const char *name) { const char *v = getenv(name); return v ? atoi(v) : 0; }
static int calls, energy;
int nvmlInitWithFlags(unsigned flags) { return number("STUB_ERROR"); }
const char *nvmlErrorString(int code) { return "Driver Not Loaded"; }
int nvmlDeviceGetHandleByPciBusId_v2(const char *id, void **device) {
    *device = (void *)7;
    return strcmp(id, "00000000:3B:00.0") ? 6 : 0;
}
int nvmlDeviceGetUtilizationRates(void *device, unsigned *rates) {
    rates[0] = device == (void *)7 ? 80 : 0;
    return number("STUB_NOT_SUPPORTED");
}
int nvmlDeviceGetPowerUsage(void *device, unsigned *mw) {
    *mw = calls++ % 2 ? 500000 : 400000;
    return number("STUB_NOT_SUPPORTED");
}
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *mj) {
    *mj = 1000000 + 90000 * energy++;
    return number("STUB_NO_ENERGY") ? 3 : number("STUB_NOT_SUPPORTED");
}
int nvmlDeviceGetClockInfo(void *device, int type, unsigned *mhz) {
    *mhz = type == 1 ? 1410 : 0;
    return number("STUB_NOT_SUPPORTED");
}
int nvmlDeviceGetMaxClockInfo(void *device, int type, unsigned *mhz) {
    *mhz = type == 1 ? 1980 : 0;
    return number("STUB_NOT_SUPPORTED");
}
int nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned *mw) {
    *mw = 450000;
    return number("STUB_NOT_SUPPORTED");
}
int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *bits) {
    *bits = calls == 1 ? 0x1 : 0x24;
    return number("STUB_NOT_SUPPORTED");
}
int nvmlDeviceGetCurrPcieLinkGeneration(void *device, unsigned *generation) {
    *generation = calls == 1 ? 1 : 4;
    return number("STUB_NOT_SUPPORTED");
}
int nvmlDeviceGetCurrPcieLinkWidth(void *device, unsigned *width) {
    *width = 16;
    return number("STUB_NOT_SUPPORTED");
}
int nvmlDeviceGetMaxPcieLinkGeneration(void *device, unsigned *generation) {
    *generation = 5;
    return number("STUB_NOT_SUPPORTED");
}
int nvmlDeviceGetMaxPcieLinkWidth(void *device, unsigned *width) {
    *width = 16;
    return number("STUB_NOT_SUPPORTED");
}
"""
CUDA = r"""
#include <string.h>
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
int cuDeviceGetPCIBusId(char *text, int size, int device) {
    strncpy(text, device ? "00000000:5E:00.0" : "00000000:3B:00.0", size);
    return 0;
}
"""
WATCHED = """
import json, sys, time; sys.path.insert(0, {program!r})
import snapenv_train.gpu as gpu
watch = gpu.watch_gpu()
if watch:
    began = time.monotonic()
    watch.start()
    while len(watch._samples) < 4:
        time.sleep(0.01)
    seen = watch.stop(images=36, seconds=0.5)
    at_most = 2 + (time.monotonic() - began) * 20
    print(json.dumps([seen, len(watch._samples) <= at_most, watch._thread.is_alive()]))
else:
    print(json.dumps([None, True, False]))
"""
NOT_SUPPORTED, NOT_LOADED = "3", "9"  # nvmlReturn_t
Watched = tuple["dict[str, object] | None", bool, bool]  # no more than 20 a second; still alive


@pytest.fixture
def watch(tmp_path: Path) -> Callable[[Mapping[str, str]], Watched]:
    """Watch the GPU of the stubs until it was looked at four times."""
    program, libraries = tmp_path / "smoke_train.pyz", tmp_path / "libraries"
    program.write_bytes(pack("snapenv_train"))
    compile_library(libraries / "libnvidia-ml.so.1", NVML)
    compile_library(libraries / "libcuda.so.1", CUDA)

    def run(stub: Mapping[str, str]) -> Watched:
        done = subprocess.run(
            (sys.executable, "-c", WATCHED.format(program=str(program))),
            env={**os.environ, "LD_LIBRARY_PATH": str(libraries), **stub},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        seen, seldom, alive = json.loads(done.stdout)
        return seen, seldom, alive

    return run


def test_a_gpu_is_watched_while_it_works(watch: Callable[[Mapping[str, str]], Watched]) -> None:
    seen, seldom, alive = watch({})

    assert seen
    assert 440 <= float(str(seen.pop("watts"))) <= 460
    assert seen == {
        "gpu_utilization": 0.8,
        "joules_per_image": 2.5,  # 90 J
        "clock_mhz": 1410,
        "max_clock_mhz": 1980,
        "power_limit_w": 450.0,
        "throttled": ["power cap", "thermal"],
        "pcie": "gen 4 x16",
        "pcie_max": "gen 5 x16",
    }
    assert seldom
    assert not alive


def test_energy_is_power_times_time_where_the_gpu_does_not_count_it(
    watch: Callable[[Mapping[str, str]], Watched],
) -> None:
    seen, _, _ = watch({"STUB_NO_ENERGY": "1"})

    assert seen
    assert seen["joules_per_image"] == pytest.approx(float(str(seen["watts"])) * 0.5 / 36, abs=1e-3)


def test_what_a_gpu_cannot_say_is_absent(watch: Callable[[Mapping[str, str]], Watched]) -> None:
    seen, _, _ = watch({"STUB_NOT_SUPPORTED": NOT_SUPPORTED})

    assert seen
    assert seen.pop("throttled") == []
    assert set(seen.values()) == {None}


@pytest.mark.parametrize(
    "stub", [{"STUB_ERROR": NOT_LOADED}, {"LD_LIBRARY_PATH": "/nowhere"}], ids=["dead", "absent"]
)
def test_a_gpu_that_cannot_be_watched_still_trains(
    stub: Mapping[str, str], watch: Callable[[Mapping[str, str]], Watched]
) -> None:
    assert watch(stub) == (None, True, False)
