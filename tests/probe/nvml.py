"""A libnvidia-ml.so.1 that tests make with cc; variables say what it answers.

``STUB_DRIVER`` is the version, 550.54.15 by default, of CUDA 12.4.
``STUB_GPUS`` is how many GPUs there are: an H200, which ``STUB_MIG`` divides, and L4s.
``STUB_REFUSE`` are names of questions, with spaces around each, that are refused with
``STUB_CODE``; ``STUB_LOST``, ``STUB_CRASH_AT`` and ``STUB_HANG_AT`` are numbers of GPUs, with
spaces around each, at which every question fails, ends the process, or is never answered.
``STUB_DETAILS_ERROR`` refuses what a GPU need not tell. A UUID is told with ``STUB_UUIDS`` alone.
"""

from __future__ import annotations

QUESTIONS = (
    "DriverVersion",
    "CudaVersion",
    "Name",
    "Capability",
    "Memory",
    "Cores",
    "Ecc",
    "MigMode",
    "MigCount",
    "Attributes",
    "Power",
    "P2P",
    "Ancestor",
    "ComputeMode",
    "UUID",
)
"""What may be refused one by one."""

NVML = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int number(const char *name) { const char *v = getenv(name); return v ? atoi(v) : 0; }
static int names(const char *variable, const char *word) {
    char spaced[64];
    const char *v = getenv(variable);
    snprintf(spaced, sizeof spaced, " %s ", word);
    return v && strstr(v, spaced);
}
static int of_gpu(const char *variable, void *device) {
    char word[16];
    snprintf(word, sizeof word, "%ld", (long)device > 100 ? 0L : (long)device - 1);
    return names(variable, word);
}
static int ask(const char *question, void *device) {
    if (device && of_gpu("STUB_CRASH_AT", device)) abort();
    if (device && of_gpu("STUB_HANG_AT", device)) sleep(600);
    if (device && of_gpu("STUB_LOST", device)) return 15;
    return names("STUB_REFUSE", question) ? number("STUB_CODE") : 0;
}
static int detail(const char *question, void *device) {
    int refused = ask(question, device);
    return refused ? refused : number("STUB_DETAILS_ERROR");
}
int nvmlInitWithFlags(unsigned flags) {
    if (write(1, "\\nsnapenv-facts: {}\\n", 19) < 0) return 1;
    if (number("STUB_CRASH")) abort();
    if (number("STUB_HANG")) sleep(600);
    return number("STUB_ERROR");
}
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) {
    switch (code) {
        case 4: return "Insufficient Permissions";
        case 15: return "GPU is lost";
        case 18: return "Driver/library version mismatch";
    }
    return "Driver Not Loaded";
}
int nvmlSystemGetDriverVersion(char *text, unsigned size) {
    const char *driver = getenv("STUB_DRIVER");
    int refused = ask("DriverVersion", 0);
    return refused ? refused : snprintf(text, size, "%s", driver ? driver : "550.54.15") < 0;
}
int nvmlSystemGetCudaDriverVersion_v2(int *version) {
    *version = 12040;
    return ask("CudaVersion", 0);
}
int nvmlDeviceGetCount_v2(unsigned *count) { *count = number("STUB_GPUS"); return ask("Count", 0); }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    *device = (void *)(long)(index + 1);
    return ask("Handle", *device);
}
int nvmlDeviceGetName(void *device, char *text, unsigned size) {
    long index = (long)device;
    int refused = ask("Name", device);
    if (refused) return refused;
    if (index > 100) return snprintf(text, size, "NVIDIA H200 MIG %ldg.18gb", index - 100) < 0;
    return snprintf(text, size, index == 1 ? "NVIDIA H200" : "NVIDIA L4") < 0;
}
int nvmlDeviceGetUUID(void *device, char *text, unsigned size) {
    if (!number("STUB_UUIDS")) abort();
    snprintf(text, size, "%s-%ld", (long)device > 100 ? "MIG" : "GPU", (long)device);
    return ask("UUID", device);
}
int nvmlDeviceGetSerial(void *device, char *text, unsigned size) { abort(); }
int nvmlDeviceGetNumGpuCores(void *device, unsigned *cores) {
    *cores = device == (void *)1 ? 132 * 128 : 58 * 128 + number("STUB_ODD_CORES");
    return detail("Cores", device);
}
int nvmlDeviceGetEccMode(void *device, unsigned *current, unsigned *pending) {
    *current = device == (void *)1;
    *pending = 0;
    return detail("Ecc", device);
}
int nvmlDeviceGetMigMode(void *device, unsigned *current, unsigned *pending) {
    *current = number("STUB_MIG") && device == (void *)1;
    *pending = 0;
    return detail("MigMode", device);
}
int nvmlDeviceGetMaxMigDeviceCount(void *device, unsigned *count) {
    *count = 7;
    return ask("MigCount", device);
}
int nvmlDeviceGetMigDeviceHandleByIndex(void *device, unsigned index, void **mig) {
    *mig = (void *)(long)(index + 101);
    return number("STUB_MIG") && device == (void *)1 && (index == 0 || index == 2) ? 0 : 6;
}
int nvmlDeviceGetAttributes_v2(void *device, unsigned *of) {
    memset(of, 0, 10 * sizeof *of);
    of[6] = (unsigned)((long)device - 100);
    ((unsigned long long *)of)[4] = 18 << 10;
    return ask("Attributes", device);
}
int nvmlDeviceGetPowerManagementLimit(void *device, unsigned *limit_mw) {
    *limit_mw = device == (void *)1 ? 700000 : 72000;
    return detail("Power", device);
}
int nvmlDeviceGetP2PStatus(void *one, void *other, int index, int *status) {
    *status = index == 2 && one == (void *)1 && other == (void *)2 ? 0 : 5;
    return detail("P2P", one);
}
int nvmlDeviceGetTopologyCommonAncestor(void *one, void *other, int *level) {
    *level = ((long)one + 3) / 4 == ((long)other + 3) / 4 ? 20 : 50;
    return detail("Ancestor", one);
}
int nvmlDeviceGetMemoryInfo(void *device, unsigned long long *memory) {
    int refused = ask("Memory", device);
    memory[0] = 24ULL << 30;
    memory[1] = (24ULL << 30) - ((unsigned long long)number("STUB_USED_GIB") << 30);
    return refused ? refused : number("STUB_MEMORY_ERROR");
}
int nvmlDeviceGetCudaComputeCapability(void *device, int *major, int *minor) {
    *major = device == (void *)1 ? 9 : 8;
    *minor = device == (void *)1 ? 0 : 9;
    return ask("Capability", device);
}
int nvmlDeviceGetComputeMode(void *device, int *mode) {
    *mode = number("STUB_COMPUTE_MODE");
    return ask("ComputeMode", device);
}
"""
