"""The NVIDIA driver and its GPUs, asked through NVML. CUDA_VISIBLE_DEVICES plays no part there.

Source: https://docs.nvidia.com/deploy/nvml-api/
"""

from __future__ import annotations

import ctypes
import os

_MIB = 1 << 20


def look() -> dict[str, object]:
    """Give ``driver`` and ``gpus`` as snapenv's ``Hardware`` has them.

    Raises:
        OSError: There is no NVML here.
        pynvml.NVMLError: The driver does not answer, such as after an update without a reboot.
    """
    ctypes.CDLL("libnvidia-ml.so.1")  # before the 8,000 lines of pynvml are compiled for nothing
    import pynvml

    pynvml.nvmlInit()
    cuda = pynvml.nvmlSystemGetCudaDriverVersion_v2()
    driver = {
        "version": pynvml.nvmlSystemGetDriverVersion(),
        "cuda": [cuda // 1000, cuda % 1000 // 10],
    }
    return {"driver": driver, "gpus": [_gpu(index) for index in range(pynvml.nvmlDeviceGetCount())]}


def _gpu(index: int) -> dict[str, object]:
    import pynvml

    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    return {
        "name": pynvml.nvmlDeviceGetName(handle),
        "memory_mib": _memory_bytes(handle) // _MIB,
        "compute_capability": list(pynvml.nvmlDeviceGetCudaComputeCapability(handle)),
    }


def _memory_bytes(handle: object) -> int:
    """Give the GPU's memory, or the machine's where both are one (GB10)."""
    import pynvml

    try:
        return int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)
    except pynvml.NVMLError_NotSupported:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
