"""The NVIDIA driver and its GPUs, asked through NVML. CUDA_VISIBLE_DEVICES plays no part there.

NVML is asked in a child process, which tells each fact as soon as it has it: what a crash or a hang
costs is one GPU, and the facts that were told before it stay.

Source: https://docs.nvidia.com/deploy/nvml-api/
"""

# Paths are plain strings: pathlib takes longer to import than all that is read here.
# ruff: noqa: PTH110, PTH119, PTH123

from __future__ import annotations

import os
import re
import time

from snapenv_probe.apart import Values

TYPE_CHECKING = False  # as in file_tree
if TYPE_CHECKING:
    from typing import Any, Iterator

SILENCE_S = 10.0
"""How long NVML may take for one answer; without persistence mode a GPU starts for seconds."""

_MOST_S = 25.0  # for all children together
_HEARD = ("done", "raised")
_LIBRARY = "libnvidia-ml.so.1"
_KERNEL_MODULE = "/proc/driver/nvidia/version"
_NODES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg")
_VERSION = r"\d{3,}(?:\.\d+)+"
"""A driver's version. ``libcuda.so.1.1`` of WSL and Jetson holds none."""


class Driver:
    """The driver and its GPUs, being asked since this was made."""

    def __init__(self, *, states: bool = False, silence_s: float = SILENCE_S) -> None:
        """Start asking; with ``states`` also what the GPUs are doing, and their UUIDs."""
        self._states, self._silence_s = states, silence_s
        self._late = time.monotonic() + _MOST_S
        self._asked = Values(_ask, 0, states)

    def answer(self) -> dict[str, Any]:
        """Return snapenv's ``Hardware`` without ``system``, and ``gpu_states`` if asked for.

        A GPU at which NVML crashes or hangs is left out, and the others are asked anew.
        """
        facts: dict[str, Any] = {"gpus": {}, "gpu_faults": {}, "gpu_states": {}}
        child: Values | None = self._asked
        first, end = 0, ""
        while child is not None:
            facts["at"] = first
            end = self._hear(facts, child)
            first = facts.pop("at") + 1
            again = end not in _HEARD and first < facts.get("count", 0)
            if end not in _HEARD:
                _blame(facts, first - 1, end, self._silence_s)
            child = Values(_ask, first, self._states) if again and not self._is_late() else None
        for number in range(first, facts.get("count", 0)):
            _blame(facts, number, end, self._silence_s)
        if end not in _HEARD and "count" not in facts and "driver_fault" not in facts:
            facts["driver_fault"] = {
                "kind": "hang" if end == "hang" else "crash",
                "error": _words(end, self._silence_s),
                "kernel_module": kernel_module(_read(_KERNEL_MODULE)),
            }
        return _ordered(facts, states=self._states)

    def _is_late(self) -> bool:
        return time.monotonic() > self._late

    def _hear(self, facts: dict[str, Any], child: Values) -> str:
        end: str
        values, end = child.read(silence_s=self._silence_s)
        for key, value in values:
            if key in {"gpus", "gpu_faults", "gpu_states"}:
                number = value["number"]
                facts[key][number] = value.pop("gpu") if key == "gpus" else value
            else:
                facts[key] = value
        return end


def _blame(facts: dict[str, Any], number: int, end: str, silence_s: float) -> None:
    """Put a GPU of which nothing was told down as one that does not answer."""
    if number < facts.get("count", 0) and number not in {*facts["gpus"], *facts["gpu_faults"]}:
        facts["gpu_faults"][number] = {"number": number, "error": _words(end, silence_s)}


def _words(end: str, silence_s: float) -> str:
    if end == "hang":
        return "NVML gave no answer within %.0f s" % silence_s  # noqa: UP031
    return "NVML crashed with " + end


def _ordered(facts: dict[str, Any], *, states: bool) -> dict[str, Any]:
    count = facts.pop("count", 0)
    gpu_states = facts.pop("gpu_states")
    for key in ("gpus", "gpu_faults"):
        facts[key] = [facts[key][number] for number in range(count) if number in facts[key]]
    if states:
        facts["gpu_states"] = [gpu_states[number] for number in sorted(gpu_states)]
    return facts


def _ask(first: int, states: bool) -> Iterator[tuple[str, Any]]:  # noqa: FBT001
    """Tell the driver, then one GPU after the other from ``first`` on, as they are known."""
    import ctypes  # in the child alone

    try:
        ctypes.CDLL(_LIBRARY)  # before the 8,000 lines of pynvml are compiled for nothing
    except OSError as error:
        fault = _without_library(str(error))
        if fault:
            yield "driver_fault", fault
        return
    import snapenv_pynvml as pynvml

    from snapenv_probe import gpus

    try:
        pynvml.nvmlInit()
        yield "driver", _driver()
        count = pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError as error:
        yield (
            "driver_fault",
            {
                "error": str(
                    pynvml.nvmlErrorString(error.value)
                ),  # the words that are searched for
                "kernel_module": kernel_module(_read(_KERNEL_MODULE)),
                "library": _loaded_library(_read("/proc/self/maps")),
            },
        )
        return
    yield "count", count
    yield from gpus.inspect(range(first, count), states=states)


def _without_library(error: str) -> dict[str, object] | None:
    """Tell a driver whose library does not load; None where there is no driver either.

    In a container that was given no GPU, /proc tells of the machine's driver all the same: its
    device nodes decide.
    """
    absent = "No such file or directory" in error
    if absent and not any(os.path.exists(node) for node in _NODES):
        return None
    return {
        "kind": "missing" if absent else "library",
        "error": _LIBRARY + " is not found" if absent else error,
        "kernel_module": kernel_module(_read(_KERNEL_MODULE)),
    }


def _driver() -> dict[str, object]:
    import snapenv_pynvml as pynvml

    from snapenv_probe import gpus

    cuda = gpus.ask_nvml(pynvml.nvmlSystemGetCudaDriverVersion_v2)
    module = kernel_module(_read(_KERNEL_MODULE))
    version = gpus.ask_nvml(pynvml.nvmlSystemGetDriverVersion)
    return {
        "version": version or module or _loaded_library(_read("/proc/self/maps")) or "unknown",
        "cuda": [cuda // 1000, cuda % 1000 // 10] if cuda else None,
        "kernel_module": module,
    }


def kernel_module(text: str) -> str | None:
    """Find the version in ``NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue …``."""
    match = re.search(r"^NVRM version:.*?\s(\d+(?:\.\d+)+)\s", text, re.MULTILINE)
    return match.group(1) if match else None


def library_version(text: str) -> str | None:
    """Find the driver's version in the first name of a library of its: ``libcuda.so.550.54.15``."""
    match = re.search(r"\blib(?:cuda|nvidia-ml)\.so\.(" + _VERSION + r")(?![\w.])", text)
    return match.group(1) if match else None


def _loaded_library(maps: str) -> str | None:
    """Find the version in the name of the file that the loader took for NVML."""
    paths = (line.split(maxsplit=5)[-1] for line in maps.splitlines() if "libnvidia-ml" in line)
    names = (os.path.basename(os.path.realpath(path)) for path in paths)
    return next((version for name in names if (version := library_version(name))), None)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
