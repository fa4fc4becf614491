"""One GPU after the other, and the ways between them; a question that one cannot answer is None.

Source: https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceQueries.html
"""

from __future__ import annotations

import os
import re
from itertools import combinations
from typing import Any, Callable, Iterator

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


_NAMELESS = "NVIDIA GPU"
_COMPUTE_MODES = ("default", "exclusive thread", "prohibited", "exclusive process")
_MOST_INSTANCES = 7  # that MIG divides a GPU into


def inspect(numbers: range, *, states: bool) -> Iterator[tuple[str, Any]]:
    """Tell each GPU, or why it does not answer, and the ways between those that do.

    With ``states`` also what each is doing: its free memory, compute mode and UUIDs.
    """
    import snapenv_pynvml as pynvml

    handles: dict[int, Any] = {}
    for number in numbers:
        yield "at", number
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(number)
            gpu = _describe(handle)
        except pynvml.NVMLError as error:
            words = str(pynvml.nvmlErrorString(error.value))
            yield "gpu_faults", {"number": number, "error": words}
            continue
        handles[number] = handle
        yield "gpus", {"number": number, "gpu": gpu}
        if states:
            yield "gpu_states", _state(number, handle)
    yield "topology", _topology(handles)


def ask_nvml(question: Callable[..., Any], *about: object) -> Any:  # noqa: ANN401
    """Ask; None where the GPU does not support it, or the driver does not know or allow it."""
    import snapenv_pynvml as pynvml

    try:
        return question(*about)
    except pynvml.NVMLError:
        return None


def _describe(handle: Any) -> dict[str, object]:  # noqa: ANN401 - a pointer of NVML's
    """Describe one GPU as snapenv's ``Gpu``.

    Raises:
        NVMLError: It tells neither its name nor its compute capability: it does not answer.
    """
    import snapenv_pynvml as pynvml

    capability = ask_nvml(pynvml.nvmlDeviceGetCudaComputeCapability, handle)
    name = ask_nvml(pynvml.nvmlDeviceGetName, handle)
    if capability is None and name is None:
        pynvml.nvmlDeviceGetName(handle)  # for its error
    mode = ask_nvml(pynvml.nvmlDeviceGetMigMode, handle)
    instances = _instances(handle) if mode is None or mode[0] else []
    ecc = ask_nvml(pynvml.nvmlDeviceGetEccMode, handle)
    power_mw = ask_nvml(pynvml.nvmlDeviceGetPowerManagementLimit, handle)
    memory = _memory_bytes(handle)
    return {
        "name": name or _NAMELESS,
        "memory_mib": memory // _MIB if memory else None,
        "compute_capability": capability and list(capability),
        "sm_count": _sm_count(ask_nvml(pynvml.nvmlDeviceGetNumGpuCores, handle), capability),
        "ecc": bool(ecc[0]) if ecc else None,
        "mig": bool(mode[0]) if mode else bool(instances) or None,
        "mig_devices": [_profile(instance) for instance in instances],
        "power_limit_w": round(power_mw / 1000) if power_mw else None,
    }


def _state(number: int, handle: Any) -> dict[str, object]:  # noqa: ANN401
    """Return snapenv's ``GpuState``."""
    import snapenv_pynvml as pynvml

    memory = ask_nvml(pynvml.nvmlDeviceGetMemoryInfo, handle)
    mode = ask_nvml(pynvml.nvmlDeviceGetComputeMode, handle)
    return {
        "number": number,
        "uuid": ask_nvml(pynvml.nvmlDeviceGetUUID, handle),
        "mig_uuids": [
            ask_nvml(pynvml.nvmlDeviceGetUUID, instance) for instance in _instances(handle)
        ],
        "free_mib": memory.free // _MIB if memory else None,
        "compute_mode": dict(enumerate(_COMPUTE_MODES)).get(mode),
    }


def _topology(devices: dict[int, Any]) -> dict[str, list[str]]:
    """Return the pairs of GPUs by the way between them, as snapenv's ``Hardware`` has it."""
    ways: dict[str, list[str]] = {}
    for (device, first), (other, second) in combinations(devices.items(), 2):
        way = _way(first, second)
        if way:
            ways.setdefault(way, []).append("%d-%d" % (device, other))  # noqa: UP031
    return ways


def _way(first: Any, second: Any) -> str | None:  # noqa: ANN401
    import snapenv_pynvml as pynvml

    nvlink = pynvml.NVML_P2P_CAPS_INDEX_NVLINK
    if ask_nvml(pynvml.nvmlDeviceGetP2PStatus, first, second, nvlink) == pynvml.NVML_P2P_STATUS_OK:
        return "nvlink"
    level = ask_nvml(pynvml.nvmlDeviceGetTopologyCommonAncestor, first, second)
    return _LEVELS.get(level) if level is not None else None


def _sm_count(cores: int | None, capability: tuple[int, int] | None) -> int | None:
    """Return multiprocessors where their cores are known and divide evenly."""
    in_each = _CORES_PER_SM.get(capability) if capability else None
    if not cores or not in_each or cores % in_each:
        return None
    return int(cores // in_each)


def _instances(handle: Any) -> list[Any]:  # noqa: ANN401
    """Return the handles of a GPU's MIG instances; there are gaps in their numbers."""
    import snapenv_pynvml as pynvml

    count = ask_nvml(pynvml.nvmlDeviceGetMaxMigDeviceCount, handle)
    numbers = range(_MOST_INSTANCES if count is None else count)
    handles = (
        ask_nvml(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, number) for number in numbers
    )
    return [instance for instance in handles if instance]


def _profile(instance: Any) -> str:  # noqa: ANN401
    """Name the profile of a MIG instance, by its name, else by its size: ``3g.40gb``."""
    import snapenv_pynvml as pynvml

    match = re.search(r"\bMIG (\S+)", ask_nvml(pynvml.nvmlDeviceGetName, instance) or "")
    if match:
        return match.group(1)
    size = ask_nvml(pynvml.nvmlDeviceGetAttributes, instance)
    if size is None:
        return "unknown"
    return "%dg.%dgb" % (size.gpuInstanceSliceCount, round(size.memorySizeMB / 1024))  # noqa: UP031


def _memory_bytes(handle: Any) -> int | None:  # noqa: ANN401
    """Return the GPU's memory, or the machine's where both are one (GB10)."""
    import snapenv_pynvml as pynvml

    try:
        return int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)
    except pynvml.NVMLError_NotSupported:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except pynvml.NVMLError:
        return None
