"""The NVIDIA driver and its GPUs, asked through NVML. CUDA_VISIBLE_DEVICES plays no part there.

Source: https://docs.nvidia.com/deploy/nvml-api/
"""

# mypy: disable-error-code="import-not-found"
# Paths are plain strings: pathlib takes longer to import than all that is read here.
# ruff: noqa: PTH119, PTH123

from __future__ import annotations

import ctypes
import os
import re

_LIBRARY = "libnvidia-ml.so.1"
_KERNEL_MODULE = "/proc/driver/nvidia/version"


def look() -> dict[str, object]:
    """Give ``driver``, ``gpus`` and ``topology``, or ``driver_fault``, as ``Hardware`` has them.

    Raises:
        OSError: There is no NVML here.
    """
    ctypes.CDLL(_LIBRARY)  # before the 8,000 lines of pynvml are compiled for nothing
    import probe_gpus
    import pynvml

    try:
        pynvml.nvmlInit()
        handles = probe_gpus.handles()
        return {
            "driver": _driver(),
            "gpus": [probe_gpus.describe(handle) for handle in handles],
            "topology": probe_gpus.topology(handles),
        }
    except pynvml.NVMLError as error:
        fault = {
            "error": str(pynvml.nvmlErrorString(error.value)),  # the words that are searched for
            "kernel_module": kernel_module(_read(_KERNEL_MODULE)),
            "library": _loaded_library(_read("/proc/self/maps")),
        }
        return {"driver_fault": fault}


def _driver() -> dict[str, object]:
    import pynvml

    cuda = pynvml.nvmlSystemGetCudaDriverVersion_v2()
    return {
        "version": pynvml.nvmlSystemGetDriverVersion(),
        "cuda": [cuda // 1000, cuda % 1000 // 10],
        "kernel_module": kernel_module(_read(_KERNEL_MODULE)),
    }


def kernel_module(text: str) -> str | None:
    """Find the version in ``NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue …``."""
    found = re.search(r"^NVRM version:.*?\s(\d+(?:\.\d+)+)\s", text, re.MULTILINE)
    return found.group(1) if found else None


def _loaded_library(maps: str) -> str | None:
    """Find the version in the name of the file that the loader took for NVML."""
    paths = (line.split(maxsplit=5)[-1] for line in maps.splitlines() if "libnvidia-ml" in line)
    names = (os.path.basename(os.path.realpath(path)) for path in paths)
    found = (re.search(r"\.so\.(\d+\.\d+(?:\.\d+)*)$", name) for name in names)
    return next((one.group(1) for one in found if one), None)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
