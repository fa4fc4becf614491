"""A libnvidia-ml.so.1 whose GPUs work as recorded curves say, for as long as anybody looks.

``STUB_CURVES`` is a folder: file ``N`` is the curve of GPU N, lines of a length in milliseconds, a
utilisation in percent, a power in watts, memory in MiB and NVML's throttle reasons. It is played
over and over since 1970, so every process that looks sees the same. A GPU without a file is not
there. A process is on GPU N where its environment has ``STUB_ON_GPU=N``, with ``STUB_MARK`` before N,
so that tests that run at once do not see one another's.
``STUB_ALONE`` shows no process. ``STUB_GPM`` gives the GPUs GPM, ``STUB_MIG`` divides GPU 0 into two instances, ``STUB_LOST`` are
numbers of GPUs that no longer answer, with spaces around each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.probe.environments import compile_library

if TYPE_CHECKING:
    from pathlib import Path

PULSES = "1000 100 400 20000 0\n1000 0 120 20000 0\n"
"""Every other second, as a training that waits for its images."""

BUSY = "60000 97 650 60000 0\n"
IDLE = "60000 0 75 4 1\n"
DEADLOCK = "60000 100 120 60000 0\n"
"""A kernel that waits for another GPU for ever: NVML calls it busy, its power tells."""

HOT = "60000 90 700 60000 36\n"
"""Held back by its power cap (4) and by heat (32)."""


def gpu_uuid(number: int) -> str:
    """Return what the stub calls a GPU, or by 101 and 103 the MIG instances of GPU 0."""
    kind = "MIG" if number > 100 else "GPU"
    return f"{kind}-00000000-0000-4000-8000-{number:012d}"


def working_gpus(folder: Path, *curves: str) -> dict[str, str]:
    """Make the library, and a curve for each GPU; return the variables that lead to them."""
    library, played = folder / "nvml", folder / "curves"
    played.mkdir(parents=True, exist_ok=True)
    for number, curve in enumerate(curves):
        (played / str(number)).write_text(curve)
    if not library.exists():
        library.mkdir()
        compile_library(library / "libnvidia-ml.so.1", _SOURCE)
    return {"LD_LIBRARY_PATH": str(library), "STUB_CURVES": str(played)}


_SOURCE = r"""
#define _GNU_SOURCE
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
typedef unsigned long long u64;
typedef struct { u64 length, percent, watts, mib, reasons; } Step;
typedef struct { u64 time_us; union { double d; unsigned u; u64 whole; } value; } Sample;
static u64 now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * 1000000ULL + t.tv_nsec / 1000;
}
static long number(void *device) { return (long)device > 100 ? 0 : (long)device - 1; }
static int steps(long gpu, Step *of) {
    char path[4096];
    int count = 0;
    snprintf(path, sizeof path, "%s/%ld", getenv("STUB_CURVES"), gpu);
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    while (count < 64 && fscanf(file, "%llu %llu %llu %llu %llu", &of[count].length,
           &of[count].percent, &of[count].watts, &of[count].mib, &of[count].reasons) == 5) count++;
    fclose(file);
    return count;
}
static int at(void *device, u64 time_ms, Step *found) {
    Step all[64];
    char spaced[32];
    const char *lost = getenv("STUB_LOST");
    snprintf(spaced, sizeof spaced, " %ld ", number(device));
    if (lost && strstr(lost, spaced)) return 15;
    u64 cycle = 0, sum = 0;
    int count = steps(number(device), all);
    if (!count) return 15;
    for (int i = 0; i < count; i++) cycle += all[i].length;
    for (int i = 0; i < count; i++)
        if ((sum += all[i].length) > time_ms % cycle) { *found = all[i]; return 0; }
    return 999;
}
static double area(void *device, u64 until_ms, int of_power) {
    Step all[64];
    u64 cycle = 0, left;
    double whole = 0, part = 0;
    int count = steps(number(device), all);
    for (int i = 0; i < count; i++) {
        cycle += all[i].length;
        whole += (double)all[i].length * (of_power ? all[i].watts : all[i].percent);
    }
    left = until_ms % cycle;
    for (int i = 0; i < count; i++) {
        u64 here = left < all[i].length ? left : all[i].length;
        part += (double)here * (of_power ? all[i].watts : all[i].percent);
        left -= here;
    }
    return (double)(until_ms / cycle) * whole + part;
}
int nvmlInitWithFlags(unsigned flags) { return 0; }
const char *nvmlErrorString(int code) { return "refused"; }
int nvmlDeviceGetCount_v2(unsigned *count) {
    Step all[64];
    for (*count = 0; steps(*count, all); ++*count);
    return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    *device = (void *)(long)(index + 1);
    return 0;
}
int nvmlDeviceGetUUID(void *device, char *text, unsigned size) {
    long id = (long)device > 100 ? (long)device : (long)device - 1;
    return snprintf(text, size, "%s-00000000-0000-4000-8000-%012ld", id > 100 ? "MIG" : "GPU", id) < 0;
}
int nvmlDeviceGetName(void *device, char *text, unsigned size) {
    return snprintf(text, size, (long)device > 100 ? "NVIDIA H200 MIG 1g.18gb" : "NVIDIA H200") < 0;
}
int nvmlDeviceGetMigMode(void *device, unsigned *current, unsigned *pending) {
    *pending = *current = getenv("STUB_MIG") && device == (void *)1;
    return 0;
}
int nvmlDeviceGetMaxMigDeviceCount(void *device, unsigned *count) { *count = 7; return 0; }
int nvmlDeviceGetMigDeviceHandleByIndex(void *device, unsigned index, void **mig) {
    *mig = (void *)(long)(index + 101);
    return index == 0 || index == 2 ? 0 : 6;
}
int nvmlDeviceGetGpuInstanceId(void *mig, unsigned *id) { *id = (long)mig - 94; return 0; }
int nvmlDeviceGetMemoryInfo(void *device, u64 *memory) {
    Step now;
    int lost = at(device, now_us() / 1000, &now);
    if (lost) return lost;
    memory[0] = 141ULL << 30;
    memory[2] = now.mib << 20;
    memory[1] = memory[0] - memory[2];
    return 0;
}
int nvmlDeviceGetSamples(void *device, int type, u64 since_us, int *kind, unsigned *count, Sample *into) {
    u64 period = 1000000 / 6, now = now_us(), first = since_us / period + 1, last = now / period;
    Step step;
    if ((long)device > 100 || type != 1) return 3;
    if (last > 119 && first < last - 119) first = last - 119;
    if (first > last) return 6;
    *kind = 1;
    if (into)
        for (unsigned i = 0; i < *count && first + i <= last; i++) {
            memset(&into[i], 0, sizeof *into);
            into[i].time_us = (first + i) * period;
            int lost = at(device, into[i].time_us / 1000, &step);
            if (lost) return lost;
            into[i].value.u = step.percent;
        }
    *count = last - first + 1;
    return 0;
}
int nvmlDeviceGetUtilizationRates(void *device, unsigned *rates) {
    Step now;
    int lost = at(device, now_us() / 1000, &now);
    if ((long)device > 100) return 3;
    rates[0] = now.percent;
    return lost;
}
int nvmlDeviceGetPowerUsage(void *device, unsigned *mw) {
    Step now;
    int lost = at(device, now_us() / 1000, &now);
    *mw = now.watts * 1000;
    return lost;
}
int nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned *mw) { *mw = 700000; return 0; }
int nvmlDeviceGetTotalEnergyConsumption(void *device, u64 *mj) {
    *mj = (u64)area(device, now_us() / 1000 - 1700000000000ULL, 1);
    return 0;
}
int nvmlDeviceGetClockInfo(void *device, int type, unsigned *mhz) { *mhz = 1980; return 0; }
int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *c) { *c = 61; return 0; }
int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, u64 *bits) {
    Step now;
    int lost = at(device, now_us() / 1000, &now);
    *bits = now.reasons;
    return lost;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *count, unsigned *into) {
    char path[300], text[65536], wanted[256];
    const char *mark = getenv("STUB_MARK");
    unsigned found = 0, room = *count;
    struct dirent *entry;
    *count = 0;
    if (getenv("STUB_ALONE")) return 0;
    DIR *processes = opendir("/proc");
    int length = snprintf(wanted, sizeof wanted, "STUB_ON_GPU=%s%ld", mark ? mark : "", number(device));
    while ((entry = readdir(processes))) {
        if (!atoi(entry->d_name)) continue;
        snprintf(path, sizeof path, "/proc/%s/environ", entry->d_name);
        FILE *file = fopen(path, "r");
        if (!file) continue;
        size_t size = fread(text, 1, sizeof text - 1, file);
        fclose(file);
        text[size] = 0;
        for (char *one = text; one < text + size; one += strlen(one) + 1)
            if (!strncmp(one, wanted, length + 1)) {
                if (found < room && into) {
                    memset(into + 6 * found, 0, 24);
                    into[6 * found] = atoi(entry->d_name);
                }
                found++;
                break;
            }
    }
    closedir(processes);
    *count = found;
    return found > room ? 7 : 0;
}
int nvmlGpmQueryDeviceSupport(void *device, unsigned *support) {
    support[1] = getenv("STUB_GPM") != 0;
    return 0;
}
int nvmlGpmSampleAlloc(void **sample) { *sample = calloc(3, 8); return 0; }
int nvmlGpmSampleFree(void *sample) { free(sample); return 0; }
int nvmlGpmSampleGet(void *device, u64 *sample) {
    sample[0] = now_us() / 1000;
    sample[1] = (u64)device;
    return 0;
}
int nvmlGpmMigSampleGet(void *device, unsigned instance, u64 *sample) {
    return instance == 7 || instance == 9 ? nvmlGpmSampleGet(device, sample) : 2;
}
typedef struct { unsigned id; int refused; double value; char *names[3]; } Metric;
typedef struct { unsigned version, count; u64 *from, *to; Metric metrics[]; } Asked;
int nvmlGpmMetricsGet(Asked *asked) {
    void *device = (void *)asked->to[1];
    double length = (double)(asked->to[0] - asked->from[0]);
    for (unsigned i = 0; i < asked->count; i++) {
        double shares = area(device, asked->to[0], 0) - area(device, asked->from[0], 0);
        asked->metrics[i].refused = asked->metrics[i].id > 2 ? 3 : 0;
        asked->metrics[i].value = length ? shares / length * (asked->metrics[i].id == 2 ? 0.8 : 1) : 0;
    }
    return length ? 0 : 2;
}
"""
