"""One GPU after the other, and the ways between them; a question that one cannot answer is None.

Source: https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceQueries.html
"""

from __future__ import annotations

import os
import re
from itertools import combinations
from typing import Any, Callable

_MIB = 1 << 20
# From compute capability to cores in one multiprocessor. Source: _ConvertSMVer2Cores in
# https://github.com/NVIDIA/cuda-samples/blob/master/Common/helper_cuda.h
_CORES_PER_SM = {
    (5, 0): 128,
    (5, 2): 128,
    (5, 3): 128,
    (6, 0): 64,
    (6, 1): 128,
    (6, 2): 128,
    (7, 0): 64,
    (7, 2): 64,
    (7, 5): 64,
    (8, 0): 64,
    (8, 6): 128,
    (8, 7): 128,
    (8, 9): 128,
    (9, 0): 128,
    (10, 0): 128,
    (10, 3): 128,
    (11, 0): 128,
    (12, 0): 128,
    (12, 1): 128,
}
# nvmlGpuTopologyLevel_t, in the order of NVML
_LEVELS = {
    0: "board",
    10: "pcie switch",
    20: "pcie switches",
    30: "host bridge",
    40: "numa node",
    50: "system",
}


def handles() -> list[Any]:
    """Give NVML's handle of each GPU, in its order."""
    import pynvml

    count = pynvml.nvmlDeviceGetCount()
    return [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]


def describe(handle: Any) -> dict[str, object]:  # noqa: ANN401 - a pointer of NVML's
    """Describe one GPU as snapenv's ``Gpu``."""
    import pynvml

    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    mig = _asked(pynvml.nvmlDeviceGetMigMode, handle)
    ecc = _asked(pynvml.nvmlDeviceGetEccMode, handle)
    power_mw = _asked(pynvml.nvmlDeviceGetPowerManagementLimit, handle)
    return {
        "name": pynvml.nvmlDeviceGetName(handle),
        "memory_mib": _memory_bytes(handle) // _MIB,
        "compute_capability": [major, minor],
        "sm_count": _sm_count(_asked(pynvml.nvmlDeviceGetNumGpuCores, handle), (major, minor)),
        "ecc": bool(ecc[0]) if ecc else None,
        "mig": bool(mig[0]) if mig else None,
        "mig_devices": _mig_devices(handle) if mig and mig[0] else [],
        "power_limit_w": round(power_mw / 1000) if power_mw else None,
    }


def topology(devices: list[Any]) -> dict[str, list[str]]:
    """Give the pairs of GPUs by the way between them, as snapenv's ``Hardware`` has it."""
    ways: dict[str, list[str]] = {}
    for (one, first), (other, second) in combinations(enumerate(devices), 2):
        way = _way(first, second)
        if way:
            ways.setdefault(way, []).append("%d-%d" % (one, other))  # noqa: UP031
    return ways


def _way(first: Any, second: Any) -> str | None:  # noqa: ANN401
    import pynvml

    nvlink = pynvml.NVML_P2P_CAPS_INDEX_NVLINK
    if _asked(pynvml.nvmlDeviceGetP2PStatus, first, second, nvlink) == pynvml.NVML_P2P_STATUS_OK:
        return "nvlink"
    level = _asked(pynvml.nvmlDeviceGetTopologyCommonAncestor, first, second)
    return _LEVELS.get(level) if level is not None else None


def _asked(question: Callable[..., Any], *about: object) -> Any:  # noqa: ANN401
    """Ask; None where the GPU does not support it or the driver does not know the question."""
    import pynvml

    try:
        return question(*about)
    except pynvml.NVMLError:
        return None


def _sm_count(cores: int | None, capability: tuple[int, int]) -> int | None:
    """Give multiprocessors where their cores are known and divide evenly."""
    in_each = _CORES_PER_SM.get(capability)
    if not cores or not in_each or cores % in_each:
        return None
    return int(cores // in_each)


def _mig_devices(handle: Any) -> list[str]:  # noqa: ANN401
    """Give the profiles of a GPU's MIG devices; there are gaps in their numbers."""
    import pynvml

    count = _asked(pynvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0
    found = (
        _asked(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, index) for index in range(count)
    )
    names = (_asked(pynvml.nvmlDeviceGetName, device) or "" for device in found if device)
    profiles = (re.search(r"\bMIG (\S+)", name) for name in names)
    return [profile.group(1) for profile in profiles if profile]


def _memory_bytes(handle: Any) -> int:  # noqa: ANN401
    """Give the GPU's memory, or the machine's where both are one (GB10)."""
    import pynvml

    try:
        return int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)
    except pynvml.NVMLError_NotSupported:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
